"""What the options of `transformers.TrainingArguments` are here, and why some are none.

transformers is not imported: an object that a user has made of that class is read by its fields.
"""

import dataclasses
from collections.abc import Collection
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import USUAL_NAMES

RENAMED = {
    "activation_checkpointing": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "gradient_checkpointing_kwargs",
}
# They say nothing of how to train; some are set by TrainingArguments itself.
WITHOUT_EFFECT = frozenset(
    {
        *(
            "do_train",
            "do_eval",
            "do_predict",
            "greater_is_better",
            "local_rank",
            "deepspeed_plugin",
        ),
        *("log_level", "log_level_replica", "log_on_each_node", "mp_parameters", "tpu_num_cores"),
    }
)
_BATCHES = "rows are tokenised before training and need no loader: leave it out"
_REPLICAS = "DDP needs no such setting here: leave it out"
_SCORES = "scores are computed on whole arrays: leave it out"
_TRACKIO = "trackers are told project and run_name alone: leave it out"
REASONS = {
    "optim_target_modules": "no optimizer here works on chosen modules: see freeze and lora",
    "average_tokens_across_devices": "losses count rows, which every process has as many of",
    "bf16_full_eval": "final scores are in float32; nlp-adapt evaluate has --precision",
    "fp16_full_eval": "final scores are in float32; nlp-adapt evaluate has --precision",
    "use_liger_kernel": "its kernels are for language models' large vocabularies: leave it out",
    "liger_kernel_config": "its kernels are for language models' large vocabularies: leave it out",
    "use_cache": "a classifier keeps no cache of earlier tokens: leave it out",
    "neftune_noise_alpha": "noise on embeddings is an objective: see fgm, pgd and vat",
    "torch_empty_cache_steps": "a step never empties the cache: lower per_device_train_batch_size",
    "auto_find_batch_size": "batches of two domains have a set size: lower "
    "per_device_train_batch_size, and raise gradient_accumulation_steps",
    "logging_nan_inf_filter": "a step whose loss is not finite is skipped, and its line says so",
    "include_num_input_tokens_seen": "log.jsonl counts tokens_per_second",
    "include_tokens_per_second": "log.jsonl counts tokens_per_second",
    **dict.fromkeys(("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), _TRACKIO),
    "eval_delay": "scores come from the first eval_steps on: leave it out",
    "prediction_loss_only": _SCORES,
    "eval_do_concat_batches": _SCORES,
    "eval_use_gather_object": _SCORES,
    "eval_accumulation_steps": _SCORES,
    "batch_eval_metrics": _SCORES,
    "include_for_metrics": "compute_metrics is given logits and labels",
    "include_inputs_for_metrics": "compute_metrics is given logits and labels",
    "save_on_each_node": "the main process writes: output_dir lies where every node reads",
    "enable_jit_checkpoint": "a signal always saves a checkpoint before the run leaves",
    "hub_always_push": "a run is pushed once, when it ends",
    "ignore_data_skip": "a resumed run always goes on with the next row",
    "restore_callback_states_from_checkpoint": "a resumed run always restores callbacks",
    "accelerator_config": "Accelerate is configured by `accelerate launch`",
    "parallelism_config": "DDP and fsdp are all there is",
    "dataloader_persistent_workers": _BATCHES,
    "dataloader_multiprocessing_context": _BATCHES,
    "dataloader_in_order": _BATCHES,
    "label_names": "the labels are those of the data: leave it out",
    "train_sampling_strategy": "rows are shuffled, and pairs of domains are drawn as a method needs",
    "length_column_name": "lengths are counted as rows are tokenised: leave it out",
    **dict.fromkeys(
        ("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"), _REPLICAS
    ),
    "ddp_static_graph": _REPLICAS,
    "ddp_backend": "it follows from the device: leave it out",
    "debug": "there is no such switch: --debug of the commands shows tracebacks",
    "skip_memory_metrics": "results.json says what a run needs: leave it out",
    "resume_from_checkpoint": "give it to train(): resume_from_checkpoint is its argument",
    "torchdynamo": "set torch_compile_backend",
    "jit_mode_eval": "nlp-adapt export serves without PyTorch",
    "half_precision_backend": "precision says all there is",
    "fp16_opt_level": "precision says all there is",
    "fp16_backend": "precision says all there is",
}


def answer(name: str, known: Collection[str]) -> str:
    """What becomes of a field: the option's name here, an empty text, or why it is refused.

    Args:
        known: The names of our options.
    """
    ours = RENAMED.get(name, name)
    if ours in known:
        return ours
    if name in WITHOUT_EFFECT:
        return ""
    reason = REASONS.get(name) or USUAL_NAMES.get(name, "")
    return reason if " " in reason else "there is no such option here"


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
