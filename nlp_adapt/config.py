"""What a run is told: every option, its type, its default and one line of help.

The same dataclass serves Python (`AdaptationConfig(...)`), recipes (YAML keys) and the command line
(flags), so that an option is written down once. `recipe.py` reads YAML and flags into it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from nlp_adapt.config_checks import check_config
from nlp_adapt.config_training import TrainingOptions
from nlp_adapt.names import ATTENTION
from nlp_adapt.options import (
    COUNT,
    NOT_NEGATIVE,
    PART,
    POSITIVE,
    SHARE,
    Bounds,
    given_by_name,
    option,
)

DOMAIN_FEATURES = ("classifier", "first", "mean", "max")
DOMAIN_WORDS = ("all", "balanced", "subsampled", "entities")
LAMBDA_SCHEDULES = ("sigmoid", "linear", "constant")
EDITS = ("delete", "mask", "replace", "swap", "infill", "domain_terms")
STRATEGIES = ("no", "steps", "epoch")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@given_by_name
@dataclass(kw_only=True)
class AdaptationConfig(TrainingOptions):
    """Options of one adaptation run, in the vocabulary of `transformers.TrainingArguments`.

    Batch sizes count rows **per domain**: a step sees `per_device_train_batch_size` source rows and
    as many target rows. Epochs count passes over the source. Schedules count applied steps.

    Raises:
        ConfigError: If a value is outside its range or options contradict each other.
    """

    # Adversary
    domain_features: str = option(
        "classifier",
        "what discriminators read: what the classifier reads (best when measured), or the first "
        "token, mean or max of the last hidden state",
        DOMAIN_FEATURES,
    )
    domain_words: str = option(
        "all",
        "token tasks: words that alignment terms count: all alike, entities and others in balance (by "
        "weight, or by drawing some of the others), or entities alone",
        DOMAIN_WORDS,
    )
    lambda_max: float = option(
        0.1,
        "final strength of the gradient reversal; at 1.0, the paper's, most pairs lost many points",
        bounds=NOT_NEGATIVE,
    )
    lambda_schedule: str = option("sigmoid", "how lambda grows over a stage", LAMBDA_SCHEDULES)
    source_warmup: float = option(
        0.0,
        "share of a stage at its start in which lambda stays 0 (the discriminator still learns)",
        bounds=SHARE,
    )
    discriminator_hidden_size: int = option(256, "width of a discriminator's hidden layers")
    discriminator_layers: int = option(
        2, "linear layers in a discriminator, 1 to 4", bounds=Bounds(at_least=1, at_most=4)
    )
    discriminator_dropout: float = option(0.1, "dropout inside a discriminator", bounds=SHARE)

    # What is known of the target
    target_class_shares: dict[str, float] = option(
        {}, "texts: how frequent you know the classes to be in the target, such as {positive: 0.7}"
    )
    keep_class_shares: bool | None = option(
        None,
        "let the adapted model say each class (of words: O) of the target as often as its teacher or "
        "source-only twin does; default: with auto and distillation, where nothing tells the shares",
    )
    few_shot_use: str = option(
        "train",
        "target_few_shot: train on its rows, estimate class shares from them (bias), or both",
        ("train", "bias", "both"),
    )
    few_shot_share: float = option(
        0.25, "target_few_shot: its rows in a batch, as a share of the source's", bounds=PART
    )

    # Auxiliary tasks
    auxiliary: dict[str, dict[str, Any]] = option(
        {},
        "labels of another kind to learn beside the main ones, by name, such as "
        "{stars: {label_column: stars, weight: 0.5}}; a reference names texts from elsewhere",
    )

    # Text
    max_length: int = option(
        128, "longest row in tokens; longer sentences are cut or windowed", bounds=COUNT
    )
    streaming: bool = option(
        False, "read the target as it trains, in constant memory: shards of files, or a Hub id"
    )
    shuffle_buffer_size: int = option(
        10_000, "rows of a streamed target that are shuffled together", bounds=COUNT
    )
    max_source_rows: int | None = option(
        None, "use at most this many labelled rows of each source", bounds=COUNT
    )
    max_target_rows: int | None = option(
        None, "use at most this many training rows of each target", bounds=COUNT
    )
    max_test_rows: int | None = option(None, "most test rows of each domain", bounds=COUNT)
    validation_fraction: float = option(
        0.1,
        "share of the source's training rows kept for validation when it brings none",
        bounds=Bounds(at_least=0, below=0.9),
    )
    data_doctor: str = option(
        "refuse",
        "look at both domains before training: refuse to train on serious findings, report them, "
        "or off",
        ("refuse", "report", "off"),
    )

    # Augmentation
    augment: str = option(
        "none",
        "train the adapted model also on edited copies of source rows: how they are edited",
        ("none", *EDITS),
    )
    augment_copies: int = option(1, "edited copies of each source row", bounds=COUNT)
    augment_rate: float = option(
        0.15,
        "share of the words of a copy that are edited; with domain_terms, of the source's terms",
        bounds=PART,
    )
    augment_model: str | None = option(
        None, "masked language model that infill asks; default: the run's own encoder"
    )

    # Machine
    precision: str = option("auto", "number format of the forward pass", PRECISIONS)
    bf16: bool = option(False, "the same as --precision bf16")
    fp16: bool = option(False, "the same as --precision fp16")
    attn_implementation: str | None = option(
        None, "how attention is computed; default: the model's own choice", ATTENTION
    )
    gradient_checkpointing: bool = option(
        False, "recompute activations in the backward pass: less memory, more time"
    )
    gradient_checkpointing_kwargs: dict[str, Any] = option(
        {}, "arguments of torch.utils.checkpoint, such as {use_reentrant: false}"
    )
    torch_compile: bool = option(False, "compile the encoder with torch.compile")
    torch_compile_backend: str | None = option(None, "backend of torch.compile; default: inductor")
    torch_compile_mode: str | None = option(
        None, "mode of torch.compile, such as reduce-overhead; default: torch's own"
    )
    tf32: bool | None = option(None, "TF32 in matrix products of a GPU; default: torch's own")
    use_cpu: bool = option(False, "train on the CPU even where there is a GPU")
    fsdp: bool = option(
        False, "on several processes: each keeps a share of weights and optimizer state (FSDP2)"
    )
    ddp_timeout: int = option(
        1800, "seconds a process waits for the others before it gives up", bounds=COUNT
    )
    seed: int = option(42, "seed of every random choice", bounds=Bounds(at_least=0, below=2**32))
    data_seed: int | None = option(
        None, "seed of the order of rows; default: seed", bounds=Bounds(at_least=0, below=2**32)
    )
    full_determinism: bool = option(
        False, "deterministic operations alone, in this process from then on: slower on a GPU"
    )

    # Evaluation, logging, saving
    eval_strategy: str = option("epoch", "when to score the validation rows", STRATEGIES)
    eval_steps: int | float = option(
        200, "steps between scores with eval_strategy steps; below 1, a share", bounds=POSITIVE
    )
    eval_on_start: bool = option(False, "also score before the first step of each model")
    logging_strategy: str = option("steps", "when to write a line into log.jsonl", STRATEGIES)
    logging_steps: int | float = option(
        10, "steps between lines with logging_strategy steps; below 1, a share", bounds=POSITIVE
    )
    logging_first_step: bool = option(False, "also write a line after the first step of a stage")
    save_strategy: str = option("steps", "when to save a checkpoint to resume from", STRATEGIES)
    save_steps: int | float = option(
        500, "steps between checkpoints with save_strategy steps; below 1, a share", bounds=POSITIVE
    )
    load_best_model_at_end: bool | None = option(
        None, "end with the weights that metric_for_best_model liked best, not with the last ones"
    )
    metric_for_best_model: str = option(
        "label_free",
        "label-free score that decides: label_free, estimated_accuracy, information_maximisation "
        "or source_risk",
    )
    fall_back: bool | None = option(
        None,
        "export the source-only twin where signs that need no target labels speak for it, or cannot "
        "tell and neither labels of the target nor a teacher taught more; on where a twin is trained",
    )
    save_total_limit: int = option(2, "checkpoints kept", bounds=COUNT)
    report_to: list[str] = option(
        [], "trackers, through Accelerate: tensorboard, wandb, trackio, ..."
    )
    project: str = option("nlp_adapt", "name of the project in trackers")
    run_name: str | None = option(None, "name in trackers; default: that of output_dir")
    disable_tqdm: bool = option(False, "no progress bar")
    overwrite: bool = option(False, "replace a run that is already in output_dir")
    resume: bool = option(False, "continue the run in output_dir from its last valid checkpoint")
    allow_inexact_resume: bool = option(
        False, "resume even where state is missing or the run has changed, and record it"
    )

    # Hub
    push_to_hub: bool = option(False, "push the model to the Hub when training ends")
    hub_model_id: str | None = option(
        None, "repository to push to, such as me/my-model; default: the name of output_dir"
    )
    hub_revision: str | None = option(None, "branch to push to; default: main")
    hub_private_repo: bool = option(False, "create the repository as private")
    hub_license: str | None = option(None, "license of the model for its card, such as apache-2.0")
    hub_widget: list[str] = option([], "texts to try on the model's page: yours, and public")
    hub_language: list[str] = option(
        [], "languages of the text for the model card, as codes such as en"
    )

    def __post_init__(self) -> None:
        check_config(self)

    @classmethod
    def from_training_arguments(cls, args: Any, **options: Any) -> "AdaptationConfig":
        """The options that a `transformers.TrainingArguments` sets, and others by name.

        What stands at its default there is left at our default.

        Raises:
            ConfigError: If it sets one that has no meaning here; says why.
        """
        from nlp_adapt.training_arguments import read_training_arguments

        known = [field.name for field in dataclasses.fields(cls)]
        return cls(**{**read_training_arguments(args, known), **options})

    def to_dict(self) -> dict[str, Any]:
        """Every option by name, as plain Python values."""
        return dataclasses.asdict(self)

    @property
    def resolved_precision(self) -> str:
        """`precision`, with the Trainer flags bf16 and fp16 taken into account."""
        return "bf16" if self.bf16 else "fp16" if self.fp16 else self.precision
