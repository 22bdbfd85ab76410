"""Methods: named presets of stages, and the reading of a recipe's own stages."""

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import TASKS, TOKEN_CLASSIFICATION
from nlp_adapt.options import coerce
from nlp_adapt.usual_names import nearest


@dataclass(frozen=True)
class Stage:
    """Weighted objectives, with a length and training choices; None means the recipe's.

    Attributes:
        objectives: Options of each objective by name; `weight` is one of them.
        epochs: Length in passes over the source; over the target in a stage that learns no task and
            models the language of the target alone.
        steps: Length in optimizer steps, instead of epochs.
        learning_rate: Of the encoder.
        freeze: What does not train.
        fit: Instead of training: a linear head fitted on frozen features, see `training.frozen.shallow`.
    """

    objectives: dict[str, dict[str, Any]]
    epochs: float | None = None
    steps: int | None = None
    learning_rate: float | None = None
    freeze: str | int | None = None
    fit: str | None = None


Stages = Callable[[AdaptationConfig], list[Stage]]


@dataclass(frozen=True)
class Method:
    """A named preset of stages.

    Attributes:
        stages: Makes the stages from the recipe's options.
        summary: One line; by default that of the objective of the method's name.
        paper: Reference, likewise.
        tasks: The tasks it serves.
        keeps_class_shares: Whether the option `keep_class_shares` is on by default.
    """

    stages: Stages
    summary: str = ""
    paper: str = ""
    tasks: tuple[str, ...] = TASKS
    keeps_class_shares: bool = False


def _beside_task(*names: str) -> Stages:
    """One stage: the task loss beside the named objectives."""
    return lambda config: [Stage({"task": {}, **{name: {} for name in names}})]


def _after_task(*names: str) -> Stages:
    """The task alone for a third of the run, then beside the named objectives."""

    def stages(config: AdaptationConfig) -> list[Stage]:
        first = config.num_train_epochs / 3
        (beside,) = _beside_task(*names)(config)
        rest = replace(beside, epochs=config.num_train_epochs - first)
        return [Stage({"task": {}}, epochs=first), rest]

    return stages


def _fit(name: str) -> Stages:
    """No training: a linear head fitted on the features of the encoder as it is."""
    return lambda config: [Stage({}, fit=name)]


def _udalm(config: AdaptationConfig) -> list[Stage]:
    """Masked words of the target, then beside the task, each by its rows' share of a batch: half."""
    mlm: dict[str, Any] = {"domains": "target"}
    mixed: dict[str, dict[str, Any]] = {"task": {"weight": 0.5}, "mlm": {**mlm, "weight": 0.5}}
    return [Stage({"mlm": mlm}), Stage(mixed)]


def _information_maximisation(config: AdaptationConfig) -> list[Stage]:
    """As strong as in the paper for texts; words, which it does not have, want less."""
    own: dict[str, Any] = {"weight": 0.1} if config.task == TOKEN_CLASSIFICATION else {}
    return [Stage({"task": {}, "information_maximisation": own})]


def _daat(config: AdaptationConfig) -> list[Stage]:
    post_training = {"mlm": {"domains": "target"}, "domain_distinguish": {}}
    return [Stage(post_training), Stage({"task": {}, "dann": {}})]


def _adda(config: AdaptationConfig) -> list[Stage]:
    source, both = _after_task("adda")(config)
    return [source, replace(both, objectives={"adda": {}})]


def _auto(config: AdaptationConfig) -> list[Stage]:
    """The source alone for two thirds of the run, then its twin's answers on the target beside it.

    The twin, which has trained to the end, knows more than the model after the first stage; a teacher
    that follows its student would carry its mistakes further. For texts a domain discriminator, at full
    strength from its first step, draws the domains together meanwhile, and the twin's answers keep it
    from mixing up the classes; for words they do better alone. All this moves class shares, of which
    the target's text says nothing: those stay as the twin has them.
    """
    last = config.num_train_epochs / 3
    answers = {
        "teacher": "twin",
        "weighting": "none",
        "balance": 0.0,
        "ramp": 0.0,
        "temperature": 1.0,
    }
    beside: dict[str, dict[str, Any]] = {"task": {}, "self_training": answers}
    if config.task != TOKEN_CLASSIFICATION:
        beside["dann"] = {"lambda_schedule": "constant", "lambda_max": 1.0}
    first = Stage({"task": {}}, epochs=config.num_train_epochs - last)
    return [first, Stage(beside, epochs=last)]


METHODS: dict[str, Method] = {
    "auto": Method(
        _auto,
        "for a first try: the task, then beside it the source-only model's answers on the target and, "
        "for texts, a domain discriminator; class shares stay as without adaptation",
        "Ganin et al. 2016, JMLR 17(59); Furlanello et al. 2018, ICML",
        keeps_class_shares=True,
    ),
    "source_only": Method(
        _beside_task(),
        "no adaptation: train on the source alone, the yardstick of every method",
    ),
    "dann": Method(_beside_task("dann")),
    "cdan": Method(_beside_task("cdan")),
    "wasserstein": Method(_beside_task("wasserstein")),
    "mdd": Method(_beside_task("mdd")),
    "daln": Method(_after_task("daln")),
    "adda": Method(
        _adda, "the task, then target features that pass for the source's, with distillation"
    ),
    "iw_dann": Method(_beside_task("iw_dann")),
    "iw_cdan": Method(_beside_task("iw_cdan")),
    "mmd": Method(_beside_task("mmd")),
    "coral": Method(_beside_task("coral")),
    "cmd": Method(_beside_task("cmd")),
    "lmmd": Method(_beside_task("lmmd")),
    "mcc": Method(_beside_task("mcc")),
    "information_maximisation": Method(_information_maximisation),
    "entropy": Method(_beside_task("entropy")),
    "mlm": Method(
        lambda config: [Stage({"mlm": {}}), Stage({"task": {}})],
        "masked-language modelling on both domains' text, then the task",
        "Gururangan et al. 2020, ACL",
    ),
    "udalm": Method(
        _udalm,
        "masked-language modelling on the target, then beside the task",
        "Karouzos et al. 2021, NAACL",
    ),
    "daat": Method(
        _daat,
        "post-training that tells the domains apart, then a discriminator that may not",
        "Du et al. 2020, ACL",
    ),
    "self_training": Method(
        _after_task("self_training"),
        "the task, then also soft labels of an averaged teacher on the target, class-balanced",
    ),
    "consistency": Method(
        _after_task("consistency"),
        "the task, then also agreement with an averaged teacher on edited target text",
    ),
    "distillation": Method(
        lambda config: [Stage({"distillation": {}})],
        "the predictions of a teacher (a model, run or ensemble) on the target's text",
        keeps_class_shares=True,
    ),
    "fgm": Method(_beside_task("fgm")),
    "pgd": Method(_beside_task("pgd")),
    "vat": Method(_beside_task("vat")),
    "logistic_regression": Method(
        _fit("logistic_regression"),
        "no adaptation: logistic regression on the frozen encoder's features, in seconds",
    ),
    "shallow_coral": Method(
        _fit("coral"),
        "logistic regression on source features given the target's covariance",
        "Sun et al. 2016, AAAI",
    ),
}


def stages_for(config: AdaptationConfig) -> list[Stage]:
    """The stages of a run, with the recipe's objective options applied.

    Raises:
        ConfigError: If the method, a stage key or an objective in `options` is unknown.
    """
    if config.stages is not None:
        stages = [_read_stage(number, raw) for number, raw in enumerate(config.stages, 1)]
        if not stages:
            raise ConfigError("stages is empty: list at least one stage, or leave it out.")
    else:
        stages = get_method(config.method, config.task).stages(config)
    if config.auxiliary:
        stages = _with_auxiliary(stages, config)
    used = {name for stage in stages for name in stage.objectives}
    for name in config.options:
        if name not in used:
            raise ConfigError(
                f"options.{name}: the run has no objective '{name}'{nearest(name, sorted(used))} "
                f"(it has {', '.join(sorted(used))})"
            )
    return [_with_options(stage, config.options) for stage in stages]


def learns_from_twin(stages: Sequence[Stage]) -> bool:
    """Whether a stage's teacher is the source-only twin, so that without one the method is another."""
    return any(own.get("teacher") == "twin" for one in stages for own in one.objectives.values())


def _with_auxiliary(stages: list[Stage], config: AdaptationConfig) -> list[Stage]:
    """The stages with auxiliary tasks beside the main one, unless a stage names them itself."""
    if any("auxiliary" in stage.objectives for stage in stages):
        return stages
    if not any("task" in stage.objectives for stage in stages):
        own = "these stages" if config.stages is not None else f"method '{config.method}'"
        raise ConfigError(
            f"auxiliary: no stage of {own} has the objective 'task', beside which auxiliary tasks "
            "train; choose another method, or list 'auxiliary' in a stage of your own."
        )
    return [
        replace(stage, objectives={**stage.objectives, "auxiliary": {}})
        if "task" in stage.objectives
        else stage
        for stage in stages
    ]


def get_method(name: str, task: str) -> Method:
    """The method `name`, if it exists and serves `task`."""
    if name not in METHODS:
        known = sorted(METHODS)
        raise ConfigError(
            f"unknown method '{name}'{nearest(name, known)} (there are {', '.join(known)})"
        )
    method = METHODS[name]
    if task not in method.tasks:
        raise ConfigError(f"method '{name}' does not serve {task}, only {', '.join(method.tasks)}.")
    return method


def _with_options(stage: Stage, options: dict[str, dict[str, Any]]) -> Stage:
    merged = {name: {**own, **options.get(name, {})} for name, own in stage.objectives.items()}
    return replace(stage, objectives=merged)


_STAGE_KEYS = typing.get_type_hints(Stage)


def _read_stage(number: int, raw: dict[str, Any]) -> Stage:
    where = f"stages[{number}]"
    raw = dict(raw)
    for key in raw:
        if key not in _STAGE_KEYS:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(key, sorted(_STAGE_KEYS))}")
    if "fit" in raw:
        if len(raw) > 1:
            raise ConfigError(f"{where}: a stage with `fit` has no other keys.")
        return Stage({}, fit=coerce(f"{where}.fit", raw["fit"], str))
    objectives = raw.get("objectives")
    if isinstance(objectives, list):
        if not all(isinstance(name, str) for name in objectives):
            raise ConfigError(
                f"{where}.objectives: a list holds names alone; for options write a mapping of names "
                "to options, such as {task: {}, dann: {weight: 0.5}}."
            )
        objectives = {name: {} for name in objectives}
    if not isinstance(objectives, dict) or not objectives:
        raise ConfigError(f"{where}: needs `objectives`, a mapping of names to options.")
    raw["objectives"] = {name: own if own is not None else {} for name, own in objectives.items()}
    values = {key: coerce(f"{where}.{key}", value, _STAGE_KEYS[key]) for key, value in raw.items()}
    if values.get("epochs") and values.get("steps"):
        raise ConfigError(f"{where}: epochs and steps exclude each other.")
    for key in ("epochs", "steps", "learning_rate"):
        if values.get(key) is not None and not values[key] > 0:
            raise ConfigError(f"{where}.{key} is {values[key]}, but must be above 0.")
    return Stage(**values)
