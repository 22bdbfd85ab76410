"""What the options of `transformers.TrainingArguments` are here, and why some are none.

transformers is not imported: an object that a user has made of that class is read by its fields.
"""

import dataclasses
from collections.abc import Collection
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import USUAL_NAMES

# They say nothing of how to train; some are set by TrainingArguments itself.
WITHOUT_EFFECT = {
    "do_train", "do_eval", "do_predict", "greater_is_better", "local_rank", "deepspeed_plugin",
    "log_level", "log_level_replica", "log_on_each_node", "mp_parameters", "tpu_num_cores",
}  # fmt: skip


def answer(name: str, known: Collection[str]) -> str:
    """What becomes of a field: the option's name here, an empty text, or why it is refused.

    Args:
        known: The names of our options.
    """
    if name in WITHOUT_EFFECT:
        return ""
    ours = name if name in known else USUAL_NAMES.get(name, "")
    return ours if ours in known or " " in ours else "there is no such option here"


def read_training_arguments(args: Any, known: Collection[str]) -> dict[str, Any]:
    """The options that a `TrainingArguments` sets, by our names.

    What stands at its default there is left at our default.

    Args:
        known: The names of our options.

    Raises:
        ConfigError: If one is set that has no meaning here; says why.
    """
    plain = next(kind for kind in type(args).__mro__ if kind.__name__ == "TrainingArguments")
    # Without a GPU, others follow by themselves.
    default = plain(output_dir=args.output_dir, use_cpu=args.use_cpu)
    options: dict[str, Any] = {"output_dir": str(args.output_dir)}
    for field in dataclasses.fields(plain):
        value, usual = getattr(args, field.name, None), getattr(default, field.name, None)
        if (value == usual and field.name != "use_cpu") or _is_implied(field.name, value, args):
            continue
        ours = answer(field.name, known)
        if " " in ours:
            raise ConfigError(f"TrainingArguments: {field.name} is {value!r}, but {ours}.")
        if ours:
            options[ours] = _converted(ours, value)
    return options


def is_training_arguments(args: Any) -> bool:
    """Whether `args` is a `transformers.TrainingArguments`, or of a class derived from it."""
    return any(
        kind.__name__ == "TrainingArguments" and kind.__module__.startswith("transformers.")
        for kind in type(args).__mro__
    )


def _is_implied(name: str, value: Any, args: Any) -> bool:
    """Whether TrainingArguments has set it by itself, where another option asked for that."""
    return name == "metric_for_best_model" and value == "loss" and args.load_best_model_at_end


def _converted(name: str, value: Any) -> Any:
    if name == "fsdp":
        return bool(value)
    if name == "optim_args" and isinstance(value, str):
        pairs = (part.split("=", 1) for part in value.replace(" ", "").split(",") if part)
        return {key: _number(text[0]) if text else True for key, *text in pairs}
    if name == "metric_for_best_model":
        return str(value).removeprefix("eval_")
    return value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text.lower(), text)
