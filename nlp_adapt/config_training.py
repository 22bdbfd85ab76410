"""The first half of a run's options: what trains, for how long, and how it is optimized."""

from dataclasses import dataclass
from typing import Any

from nlp_adapt.names import TASKS
from nlp_adapt.options import COUNT, NOT_NEGATIVE, PART, SHARE, option

LORA_TYPES = ("lora", "rslora", "dora", "ia3")
OPTIMIZERS = ("adamw_torch_fused", "adamw_torch", "adafactor", "sgd", "rmsprop", "adagrad")


@dataclass(kw_only=True)
class TrainingOptions:
    """Stages, length of training, optimizer, adapters; see `AdaptationConfig`."""

    output_dir: str = option("runs/adaptation", "folder for the model, results and logs")
    task: str = option(TASKS[0], "what the labels mean", TASKS)
    method: str = option("auto", "adaptation method; `nlp-adapt methods` lists them")
    stages: list[dict[str, Any]] | None = option(
        None, "stages to run instead of a method's own: a list of {objectives, epochs | steps, ...}"
    )
    options: dict[str, dict[str, Any]] = option(
        {},
        "options of objectives by name, such as {dann: {weight: 0.5}}; --options.dann.weight 0.5",
    )
    compare_source_only: bool = option(
        True,
        "also train a source-only twin to compare with: same seed, same stages, the task alone",
    )

    # Length of training
    num_train_epochs: float = option(3.0, "passes over the source, or over a target read alone")
    max_steps: int = option(-1, "total optimizer steps; overrides num_train_epochs when positive")
    per_device_train_batch_size: int = option(
        32, "rows per domain, device and micro-batch", bounds=COUNT
    )
    per_device_eval_batch_size: int = option(
        64, "rows per device in evaluation and prediction", bounds=COUNT
    )
    gradient_accumulation_steps: int = option(1, "micro-batches per optimizer step", bounds=COUNT)

    # Optimizer
    learning_rate: float = option(
        5e-5, "learning rate of the pretrained encoder", bounds=NOT_NEGATIVE
    )
    head_learning_rate: float | None = option(
        None,
        "learning rate of new heads and discriminators; default: 10 x learning_rate, at most 1e-3",
        bounds=NOT_NEGATIVE,
    )
    discriminator_learning_rate: float | None = option(
        None, "learning rate of discriminators; default: that of the heads", bounds=NOT_NEGATIVE
    )
    weight_decay: float = option(
        0.01, "weight decay of everything but biases and norms", bounds=NOT_NEGATIVE
    )
    adam_beta1: float = option(0.9, "AdamW beta 1", bounds=SHARE)
    adam_beta2: float = option(0.999, "AdamW beta 2", bounds=SHARE)
    adam_epsilon: float = option(1e-8, "AdamW epsilon", bounds=NOT_NEGATIVE)
    lr_scheduler_type: str = option("linear", "any schedule of transformers.get_scheduler")
    lr_scheduler_kwargs: dict[str, Any] = option(
        {},
        "arguments of that schedule, such as {num_cycles: 2} for cosine_with_restarts; a number of "
        "steps below 1 is a share of a stage",
    )
    warmup_steps: float = option(
        0.1, "learning-rate warm-up: steps, or a share of them below 1", bounds=NOT_NEGATIVE
    )
    optim: str = option(
        OPTIMIZERS[0],
        "optimizer, as TrainingArguments names it; `adam_...` are for AdamW",
        OPTIMIZERS,
    )
    optim_args: dict[str, Any] = option({}, "arguments of that optimizer, such as {momentum: 0.9}")
    max_grad_norm: float = option(1.0, "gradient clipping; 0 turns it off", bounds=NOT_NEGATIVE)
    label_smoothing_factor: float = option(0.0, "label smoothing of the task loss", bounds=SHARE)
    ema_decay: float = option(
        0.0,
        "score and save a running average of the weights, not the last ones: how much of it stays in "
        "each step, such as 0.99; 0 turns it off",
        bounds=SHARE,
    )
    freeze: str | int = option(
        "none",
        "what does not train: none, embeddings, a number k (embeddings and the lower k layers), "
        "or all (the encoder); what is frozen in a model given as an object never trains",
    )
    cache_features: bool = option(
        True, "with freeze all: compute the encoder's output once, keep it on disk, train from it"
    )
    gradual_unfreezing: bool = option(
        False, "train the heads first, then one layer more at a time from the top"
    )
    layer_decay: float = option(
        1.0, "factor of the learning rate from each layer to the one below it", bounds=PART
    )

    # LoRA
    lora: bool = option(False, "train small adapters and the head instead of the whole encoder")
    lora_type: str = option("lora", "kind of adapter", LORA_TYPES)
    lora_r: int = option(8, "rank of the adapters", bounds=COUNT)
    lora_alpha: float | None = option(None, "scale of the adapters; default: 2 x lora_r")
    lora_dropout: float = option(0.05, "dropout in the adapters", bounds=SHARE)
    lora_targets: str | list[str] = option(
        "all", "adapted linear maps: all of the layers, their attention, or names of modules"
    )
    lora_learning_rate: float | None = option(
        None,
        "learning rate of the adapters; default: 10 x learning_rate, at most 1e-3",
        bounds=NOT_NEGATIVE,
    )
    teacher: str | None = option(
        None, "model, run or ensemble that method distillation learns from"
    )
    merge_lora: bool = option(
        False,
        "save a plain model with the adapters merged in, not an adapter folder",
        short="merge",
    )
