"""The terms of the loss, one file each, and the dict that names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import METHODS, Stage, stages_for
from nlp_adapt.objectives.base import AuxiliarySpec, Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.options import nearest

# Name -> module of this package and class.
_PLACES = {
    "task": "task:TaskLoss",
    "dann": "dann:Dann",
    "cdan": "cdan:Cdan",
    "wasserstein": "wasserstein:Wasserstein",
    "mdd": "mdd:Mdd",
    "daln": "daln:Daln",
    "adda": "adda:Adda",
    "iw_dann": "iw_dann:IwDann",
    "iw_cdan": "iw_cdan:IwCdan",
    "mmd": "mmd:Mmd",
    "coral": "coral:Coral",
    "cmd": "cmd:Cmd",
    "lmmd": "lmmd:Lmmd",
    "mcc": "mcc:Mcc",
    "information_maximisation": "information_maximisation:InformationMaximisation",
    "entropy": "entropy:Entropy",
    "mlm": "mlm:Mlm",
    "domain_distinguish": "domain_distinguish:DomainDistinguish",
    "self_training": "self_training:SelfTraining",
    "consistency": "consistency:Consistency",
    "distillation": "distillation:Distillation",
    "fgm": "fgm:Fgm",
    "pgd": "pgd:Pgd",
    "vat": "vat:Vat",
    "auxiliary": "auxiliary:Auxiliary",
}


def _class_at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


OBJECTIVES: dict[str, type[Objective]] = {
    name: _class_at(f"{__name__}.{place}") for name, place in _PLACES.items()
}

__all__ = [
    "OBJECTIVES",
    "AuxiliarySpec",
    "Objective",
    "ObjectiveConfig",
    "Setup",
    "StepView",
    "about",
    "build_objective",
    "checked_stages",
    "module_name",
    "objective_class",
    "sides_read",
]


def objective_class(name: str) -> type[Objective]:
    """The class of the objective `name`.

    Args:
        name: A key of `OBJECTIVES`, or `package.module:Class` for a class of one's own.

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
    """What the objective `name` is called among the modules of a model, which allow no dots."""
    return name.replace(".", "_")


def checked_stages(config: AdaptationConfig) -> list[Stage]:
    """The stages of a run, their objectives checked before anything is read.

    Raises:
        ConfigError: If an objective is unknown, has a wrong option or cannot serve this run.
    """
    stages = stages_for(config)
    for kind, options in _options_in(stages):
        kind.check(options, config)
    return stages


def sides_read(stages: Iterable[Stage]) -> set[str]:
    """The sides of a batch that the objectives of any stage read."""
    return {side for kind, options in _options_in(stages) for side in kind.sides(options)}


def _options_in(stages: Iterable[Stage]) -> Iterator[tuple[type[Objective], ObjectiveConfig]]:
    for stage in stages:
        for name, options in stage.objectives.items():
            kind = objective_class(name)
            yield kind, kind.read_options(name, options)
