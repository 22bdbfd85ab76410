"""What is looked over before the first step: data, learning rates, options that nothing reads, disk."""

import dataclasses
import logging
import math
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.doctor import NOTE, examine, refuse_serious
from nlp_adapt.data.label_spaces import what_was_read
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.escaping import one_line
from nlp_adapt.methods import Stage, learns_from_twin
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted
from nlp_adapt.objectives import OBJECTIVES, objective_class
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.optimization import build_scheduler, in_steps, phases
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.schedule import Schedule
from nlp_adapt.usual_names import nearest

LOGGER = logging.getLogger(__name__)
FLOAT_BYTES = 4
ADAM_MOMENTS = 2
# Tokenizers, logs and results, for which the estimate need not be exact.
OTHER_BYTES = 1024**2
# Of a learning-rate schedule: given by us, or following from what else is given.
OUR_ARGUMENTS = frozenset(
    ("optimizer", "num_warmup_steps", "num_training_steps", "num_stable_steps", "last_epoch")
)


def check_domains(
    config: AdaptationConfig, inputs: Inputs, tokenizer: Any, max_length: int, say: bool = True
) -> list[dict[str, Any]]:
    """Examine a run's domains; log what is found, where `say` is set.

    Returns:
        The findings as plain values, for results.json; empty where `data_doctor` is off.
    """
    if config.data_doctor == "off":
        return []
    findings = examine(
        inputs.sources,
        inputs.targets,
        few_shot=inputs.few_shot,
        tokenizer=tokenizer,
        max_length=max_length,
    )
    if config.data_doctor == "refuse":
        refuse_serious(findings)
    for finding in findings if say else ():
        LOGGER.log(logging.INFO if finding.severity == NOTE else logging.WARNING, "%s", finding)
    return [finding.to_dict() for finding in findings]


def check_every_stage(schedule: Schedule) -> None:
    """Refuse learning rates that one of a run's stages could not follow, before any trains.

    Raises:
        ConfigError: As `check_rates`.
    """
    for name, stages in schedule.models.items():
        for stage, steps in zip(stages, schedule.steps(name), strict=True):
            if steps:
                check_rates(schedule.config, steps, stage.learning_rate)


def check_rates(
    config: AdaptationConfig, steps: int = 10**9, learning_rate: float | None = None
) -> None:
    """Refuse learning rates that a stage of so many steps could not follow.

    Raises:
        ConfigError: If there is no such schedule, or it lacks an argument or cannot use one.
    """
    given, kind = config.lr_scheduler_kwargs, config.lr_scheduler_type
    _check_arguments(kind, given)
    name = f"lr_scheduler_type '{kind}'"
    rate = config.learning_rate if learning_rate is None else learning_rate
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    try:
        warmup, parts = in_steps(config.warmup_steps, steps), phases(config, steps)
        scheduler = build_scheduler(optimizer, config, steps)
        if not isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
            raise ConfigError(
                f"{name} follows a score of each step, which a run without target labels has not: "
                "use a schedule over steps, such as linear or cosine."
            )
        tried = {0, min(warmup, steps), steps // 2, steps}
        factors = [scheduler.lr_lambdas[0](step) for step in tried]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ConfigError(f"{name} with lr_scheduler_kwargs {given}: {error}") from error
    if parts and warmup + sum(parts.values()) > steps:
        listed = ", ".join(f"{part} {count}" for part, count in parts.items())
        raise ConfigError(
            f"{name}: warmup_steps {warmup} and {listed} are more than the {steps} steps of a "
            "stage; give shares of it, such as 0.1."
        )
    if not all(isinstance(one, (int, float)) and 0 <= one < math.inf for one in factors):
        raise ConfigError(f"{name} with lr_scheduler_kwargs {given} gives rates that are none.")


def _check_arguments(schedule: str, given: Mapping[str, Any]) -> None:
    """Compare the arguments of a schedule with those it takes; `get_scheduler` drops some."""
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    functions: dict[str, Any] = {
        str(kind.value): made for kind, made in TYPE_TO_SCHEDULER_FUNCTION.items()
    }
    if schedule not in functions:
        raise ConfigError(
            f"lr_scheduler_type is '{schedule}', but must be one of {', '.join(functions)}"
            f"{nearest(schedule, list(functions))}"
        )
    takes = {
        name: parameter.default is parameter.empty
        for name, parameter in signature(functions[schedule]).parameters.items()
        if name not in OUR_ARGUMENTS and parameter.kind is not parameter.VAR_KEYWORD
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


def describe_domains(inputs: Inputs) -> str:
    """A line for each domain: what was read of it, and every class with its count."""
    return "\n".join(
        one_line(f"{side} {domain.name}: {what_was_read(domain) or 'no labels'}")
        for side, domains in inputs.sides.items()
        for domain in domains
    )


def unread_options(config: AdaptationConfig, stages: Sequence[Stage]) -> list[str]:
    """Recipe-wide options that were set, though no objective of `stages` follows them.

    Where the units are texts, the weights of words are read by none either.
    """
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    used = [item for stage in stages for item in stage.objectives.items()]
    followed = {name for objective, own in used for name in _followed(objective, own)}
    every = dict.fromkeys(name for objective in OBJECTIVES for name in _followed(objective))
    unread = [name for name in every if name not in followed]
    if config.task != TOKEN_CLASSIFICATION:
        unread.append("domain_words")
    return [name for name in unread if getattr(config, name) != defaults[name]]


def _followed(objective: str, own: Collection[str] = ()) -> list[str]:
    """The recipe's options that an objective follows, but for those that its stage sets itself."""
    items = dataclasses.fields(objective_class(objective).config_class)
    names = [item.metadata["recipe"] for item in items if item.name not in own]
    return [name for name in names if name is not None]


def void_options(config: AdaptationConfig, stages: Sequence[Stage]) -> Iterator[str]:
    """Sentences on options of objectives that do nothing, or something else, beside another option."""
    for name, own in (item for stage in stages for item in stage.objectives.items()):
        items = {item.name: item for item in dataclasses.fields(objective_class(name).config_class)}
        for key in own:
            other, values = items[key].metadata.get("where") or (key, [own[key]])
            if own.get(other, items[other].default) not in values:
                yield f"{name}.{key} changes nothing: it is read where {other} is {' or '.join(values)}."
    if learns_from_twin(stages) and not config.compare_source_only:
        yield "compare_source_only is off: in place of a twin, the model as it was so far teaches."


def warn_of_unread(config: AdaptationConfig, stages: Sequence[Stage], longest: int) -> None:
    """Say which options do nothing; no error, since several methods may share a recipe.

    Args:
        longest: Most tokens of a row that the model takes.
    """
    if config.max_length > max(longest, AdaptationConfig.max_length):  # the default suits any model
        LOGGER.warning(
            "max_length is %d, but this model reads %d tokens at most, and so does the run.",
            config.max_length,
            longest,
        )
    for said in void_options(config, stages):
        LOGGER.warning("%s", said)
    unread = unread_options(config, stages)
    if unread:
        objectives = sorted({name for stage in stages for name in stage.objectives})
        LOGGER.warning(
            "%s: changes nothing, since no objective of this run reads it (it has %s).",
            ", ".join(unread),
            ", ".join(objectives) or "none",
        )


def estimate(
    config: AdaptationConfig,
    rows: Mapping[str, EncodedRows],
    steps: Mapping[str, int],
    global_batch: int,
    task_model: Any,
    portions: Mapping[str, float],
    copies: int = 0,
    keeps_best: bool = False,
) -> dict[str, Any]:
    """Sizes of a run.

    Args:
        task_model: The model, for its size; what is frozen is frozen already.
        portions: Rows of a side in a step, as a share of `global_batch`, where it is not 1.
        copies: Copies of the model that the objectives of a stage hold, such as a teacher.
        keeps_best: Whether the best weights so far are kept beside the checkpoints.

    Returns:
        `rows` and `tokens` by side (one pass), `steps` by model, `tokens_to_train` over the run,
        `parameters`, `trained_parameters`, `memory_bytes` for weights, gradients and the optimizer
        without activations, and `disk_bytes` for checkpoints and models.
    """
    parameters = sum(p.numel() for p in task_model.parameters())
    trained = sum(p.numel() for p in task_model.parameters() if p.requires_grad)
    tokens = {side: int(encoded.lengths.sum()) for side, encoded in rows.items()}
    mean = {side: tokens[side] / max(1, len(rows[side])) for side in rows}
    per_step = {
        name: global_batch
        * sum(mean[side] * portions.get(side, 1.0) for side in rows if _reads(name, side))
        for name in steps
    }
    to_train = int(sum(count * per_step[name] for name, count in steps.items()))
    averages = 1 if config.ema_decay else 0
    held = (1 + copies) * parameters
    checkpoint = FLOAT_BYTES * (held + (ADAM_MOMENTS + averages) * trained)
    # A new checkpoint is written before the oldest goes.
    kept = 0 if config.save_strategy == "no" else config.save_total_limit + 1
    # Models at the end, and the best weights of each with those that take their place.
    models = len(steps) + (len(steps) + 1 if keeps_best else 0)
    disk = kept * checkpoint + models * FLOAT_BYTES * parameters + OTHER_BYTES
    return {
        "rows": {side: len(encoded) for side, encoded in rows.items()},
        "tokens": tokens,
        "steps": dict(steps),
        "tokens_to_train": to_train,
        "parameters": parameters,
        "trained_parameters": trained,
        "memory_bytes": FLOAT_BYTES * (held + (1 + ADAM_MOMENTS + averages) * trained),
        "disk_bytes": disk,
    }


def _reads(model: str, side: str) -> bool:
    """The source-only twin reads the source alone."""
    return side == "source" or model != "source_only"


def refuse_full_disk(cost: dict[str, Any], folder: RunFolder) -> None:
    """Stop before the first step where the disk cannot hold what the run has still to write.

    The checkpoints and models of a run that is gone on with are there already.
    """
    free = shutil.disk_usage(folder.path).free
    needed = cost["disk_bytes"] - folder.saved_bytes()
    if free < needed:
        raise RunError(
            f"output_dir {folder.path}: the run needs about {_size(needed)} more for checkpoints and "
            f"models, but {_size(free)} are free; free some, lower save_total_limit, or choose "
            "another folder."
        )


def describe(cost: dict[str, Any]) -> str:
    """The estimate in two lines."""
    rows = ", ".join(
        f"{counted(count, side.replace('_', '-') + ' row')} ({counted(cost['tokens'][side], 'token')})"
        for side, count in cost["rows"].items()
    )
    steps = " + ".join(f"{count:,}" for count in cost["steps"].values())
    return (
        f"{rows}; {steps} steps, about {cost['tokens_to_train']:,} tokens in all.\n"
        f"{cost['parameters']:,} parameters ({cost['trained_parameters']:,} train): "
        f"{_size(cost['memory_bytes'])} of memory beside activations, up to "
        f"{_size(cost['disk_bytes'])} of disk."
    )


def _size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
