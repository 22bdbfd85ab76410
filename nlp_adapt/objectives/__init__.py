"""The terms of the loss, one file each, and the dict that names them."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import METHODS, Stage, stages_for
from nlp_adapt.objectives.base import AuxiliarySpec as AuxiliarySpec
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup
from nlp_adapt.objectives.base import StepView as StepView
from nlp_adapt.objectives.task import TaskLoss
from nlp_adapt.usual_names import nearest

# The class of `iw_dann` is `IwDann` of the module `iw_dann`, and so on.
_NAMES = (
    "dann", "cdan", "wasserstein", "mdd", "daln", "adda", "iw_dann", "iw_cdan", "mmd", "coral",
    "cmd", "lmmd", "mcc", "information_maximisation", "entropy", "mlm", "domain_distinguish",
    "self_training", "consistency", "distillation", "fgm", "pgd", "vat", "auxiliary",
)  # fmt: skip


def _class_at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


OBJECTIVES: dict[str, type[Objective]] = {"task": TaskLoss} | {
    name: _class_at(f"{__name__}.{name}:{name.title().replace('_', '')}") for name in _NAMES
}


def objective_class(name: str) -> type[Objective]:
    """The class at a key of `OBJECTIVES`, or at `package.module:Class` for a class of one's own.

    Raises:
        ConfigError: If there is none, or it is no objective.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    if ":" not in name:
        known = sorted(OBJECTIVES)
        raise ConfigError(
            f"unknown objective '{name}'{nearest(name, known)} (there are {', '.join(known)}; "
            "name one of your own as package.module:Class)"
        )
    try:
        found = _class_at(name)
    except Exception as error:  # whatever the module does when it is imported
        raise ConfigError(
            f"objective '{name}' cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Objective)):
        raise ConfigError(
            f"objective '{name}' is no objective: derive it from nlp_adapt.objectives.Objective."
        )
    return found


def build_objective(name: str, options: Mapping[str, object], setup: Setup) -> Objective:
    """Make the objective `name` with its options checked.

    Raises:
        ConfigError: If the name or an option is unknown, or a value has the wrong type.
    """
    kind = objective_class(name)
    return kind(kind.read_options(name, options), setup)


def about(method: str) -> tuple[str, str]:
    """Summary and paper of a method: its own, or those of the objective of its name."""
    own, kind = METHODS[method], OBJECTIVES.get(method, Objective)
    return own.summary or kind.summary, own.paper or kind.paper


def module_name(name: str) -> str:
    """The objective's name among the modules of a model, which allow no dots."""
    return name.replace(".", "_")


def checked_stages(config: AdaptationConfig) -> list[Stage]:
    """The stages of a run, their objectives checked before anything is read.

    Raises:
        ConfigError: If an objective is unknown, has a wrong option or cannot serve this run.
    """
    stages = stages_for(config)
    for kind, options in _options_in(stages):
        kind.check(options, config)
    answered = config.compare_source_only or "target" in taught_sides(stages)
    if config.keep_class_shares and not answered:
        raise ConfigError(
            "keep_class_shares keeps what the source-only twin, or a teacher, says of the target: "
            "leave compare_source_only on."
        )
    return stages


def sides_read(stages: Iterable[Stage]) -> set[str]:
    """The sides of a batch that the objectives of any stage read."""
    return {side for kind, options in _options_in(stages) for side in kind.sides(options)}


def taught_sides(stages: Iterable[Stage]) -> set[str]:
    """The sides of a batch whose rows a teacher answers before these stages."""
    asked = [kind.sides(options) for kind, options in _options_in(stages) if kind.asks_teacher]
    return set().union(*asked)


def _options_in(stages: Iterable[Stage]) -> Iterator[tuple[type[Objective], ObjectiveConfig]]:
    for stage in stages:
        for name, options in stage.objectives.items():
            kind = objective_class(name)
            yield kind, kind.read_options(name, options)
