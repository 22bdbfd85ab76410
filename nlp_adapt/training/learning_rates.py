"""What the learning rates of a stage follow: a schedule of transformers, with its arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.options import nearest
from nlp_adapt.training.schedule import Schedule

# Of a schedule: given by us, or following from what else is given.
_OUR_ARGUMENTS = frozenset(
    ("optimizer", "num_warmup_steps", "num_training_steps", "num_stable_steps", "last_epoch")
)


def check_every_stage(schedule: Schedule) -> None:
    """Refuse learning rates that one of a run's stages could not follow, before any trains.

    Raises:
        ConfigError: As `build_scheduler`.
    """
    for name, stages in schedule.models.items():
        for stage, steps in zip(stages, schedule.steps(name), strict=True):
            if steps:
                check_rates(schedule.config, steps, stage.learning_rate)


def build_scheduler(optimizer: torch.optim.Optimizer, config: AdaptationConfig, steps: int) -> Any:
    """A schedule of `transformers.get_scheduler` over the stage's applied steps.

    Raises:
        ConfigError: If there is no such schedule, or it lacks an argument or cannot use one.
    """
    from transformers import get_scheduler

    given, name = config.lr_scheduler_kwargs, f"lr_scheduler_type '{config.lr_scheduler_type}'"
    _check_arguments(config.lr_scheduler_type, given)
    try:
        phases = {key: _in_steps(given[key], steps) for key in given if key.endswith("_steps")}
        warmup = _in_steps(config.warmup_steps, steps)
        if phases and warmup + sum(phases.values()) > steps:
            listed = ", ".join(f"{key} {count}" for key, count in phases.items())
            raise ConfigError(
                f"{name}: warmup_steps {warmup} and {listed} are more than the {steps} steps of a "
                "stage; give shares of it, such as 0.1."
            )
        scheduler = get_scheduler(
            config.lr_scheduler_type,
            optimizer,
            num_warmup_steps=warmup,
            num_training_steps=steps,
            scheduler_specific_kwargs={**given, **phases},
        )
        if not isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
            raise ConfigError(
                f"{name} follows a score of each step, which a run without target labels has not: "
                "use a schedule over steps, such as linear or cosine."
            )
        factors = [
            scheduler.lr_lambdas[0](step) for step in {0, min(warmup, steps), steps // 2, steps}
        ]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ConfigError(f"{name} with lr_scheduler_kwargs {given}: {error}") from error
    if not all(isinstance(one, (int, float)) and 0 <= one < math.inf for one in factors):
        raise ConfigError(
            f"{name} with lr_scheduler_kwargs {given} gives a rate that is no number."
        )
    return scheduler


def check_rates(
    config: AdaptationConfig, steps: int = 10**9, learning_rate: float | None = None
) -> None:
    """Refuse learning rates that a stage of so many steps could not follow.

    Raises:
        ConfigError: As `build_scheduler`.
    """
    weight = torch.zeros(1, requires_grad=True)
    rate = config.learning_rate if learning_rate is None else learning_rate
    build_scheduler(torch.optim.SGD([weight], lr=rate), config, steps)


def _check_arguments(schedule: str, given: Mapping[str, Any]) -> None:
    """Compare the arguments of a schedule with those it takes; `get_scheduler` drops some."""
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    functions = {str(kind.value): made for kind, made in TYPE_TO_SCHEDULER_FUNCTION.items()}
    if schedule not in functions:
        raise ConfigError(
            f"lr_scheduler_type is '{schedule}', but must be one of {', '.join(functions)}"
            f"{nearest(schedule, list(functions))}"
        )
    takes = {
        name: parameter.default is parameter.empty
        for name, parameter in signature(functions[schedule]).parameters.items()
        if name not in _OUR_ARGUMENTS and parameter.kind is not parameter.VAR_KEYWORD
    }
    for name in given:
        if name not in takes:
            raise ConfigError(
                f"lr_scheduler_kwargs: {schedule} takes no '{name}'{nearest(name, list(takes))} "
                f"(it takes {', '.join(takes) or 'nothing'})"
            )
    for name in (name for name, needed in takes.items() if needed and name not in given):
        raise ConfigError(
            f"lr_scheduler_type '{schedule}' needs {name}: set lr_scheduler_kwargs to {{{name}: ...}}."
        )


def _in_steps(number: float, steps: int) -> int:
    """A number of steps, or a share of them below 1, in steps."""
    return int(number if number >= 1 else number * steps)
