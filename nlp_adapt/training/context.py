"""What a run is made of, fixed before it begins: options, inputs, the model it starts from."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.files import write_folder
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.backbone import model_config
from nlp_adapt.modeling.freezing import hold
from nlp_adapt.modeling.lora import (
    NAMELESS,
    add_adapters,
    check_wrapper,
    has_adapters,
    save_task_model,
    without_wrapper,
)
from nlp_adapt.modeling.pretrained import fit_given, given_order, has_encoder_of, load_task_model
from nlp_adapt.modeling.tokenizers import save_tokenizer, training_limit
from nlp_adapt.prediction.evaluation import UsersMetrics, evaluate
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import Task
from nlp_adapt.training.inputs.augmented import RowAugmentation
from nlp_adapt.training.inputs.data import RunData, prepare_data
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.inputs.stream import TargetStream, encode_with
from nlp_adapt.training.saving.continuing import SavedRun
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.trainer_api.optimizers import Factories


@dataclass(frozen=True)
class StartingModel:
    """The model that both models of a run start from.

    Attributes:
        saved: An earlier run, if this one continues it.
    """

    name: str
    loaded: Any = None
    saved: SavedRun | None = None

    @classmethod
    def of(cls, model: Any) -> "StartingModel":
        """From a name, a loaded model, or what an earlier run saved."""
        if isinstance(model, (str, Path)):
            return cls(str(model))
        if isinstance(model, SavedRun):
            return cls(model.name, saved=model)
        check_wrapper(model)
        unnamed = f"{type(model).__name__} given as an object"  # no id, which a card would name
        return cls(str(getattr(model.config, "_name_or_path", "") or unnamed), loaded=model)

    @property
    def folder_or_id(self) -> str:
        """Where its files are."""
        return self.name if self.saved is None else str(self.saved.folder)

    @property
    def objectives(self) -> Mapping[str, Mapping[str, Tensor]]:
        """States of the objectives that an earlier run ended with, by name."""
        return {} if self.saved is None else self.saved.objectives

    @cached_property
    def config(self) -> Any:
        """The model's configuration, for which no weights are read."""
        return model_config(self.folder_or_id) if self.loaded is None else self.loaded.config

    @cached_property
    def is_named(self) -> bool:
        """Whether adapters of a model given as an object fit what its name leads to."""
        return has_encoder_of(self.loaded, self.name)

    def check(self, task: Task) -> None:
        """Refuse a loaded model whose head does not fit the task, before rows are read for it."""
        if self.loaded is not None:
            given_order(self.loaded, task.auto_class, task.label_names)

    def fresh(self, config: AdaptationConfig, task: Task) -> Any:
        """The task model as pretrained; its new head and adapters are drawn from the seed."""
        from transformers import set_seed

        if self.loaded is not None:
            model = hold(without_wrapper(copy.deepcopy(self.loaded)))
            model.float()  # half-precision weights lose small steps, and come unasked
            fit_given(model, task.auto_class, task.label_names)
            if config.lora or has_adapters(model):
                setattr(model, NAMELESS, not self.is_named)
            set_seed(config.seed)
        else:
            set_seed(config.seed)
            model = load_task_model(
                self.folder_or_id,
                task.auto_class,
                task.label_names,
                config.attn_implementation,
                new_head=self.saved is None,
            )
        if not config.lora or has_adapters(model):
            return model
        return add_adapters(
            model,
            config.lora_type,
            r=config.lora_r,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            targets=config.lora_targets,
        )


@dataclass(frozen=True)
class RunContext:
    """All that the parts of a run read and none of them changes.

    Attributes:
        folder: Where the run writes.
        accelerator: The `accelerate.Accelerator` of the run; None outside of one, where rows are
            prepared and scored by this process alone.
        beside: Domains that both models are scored on as well, by name; of them nothing is trained,
            and no callback hears.
        compute_metrics: A user's metrics, which stand beside the task's.
        optimizers: A user's functions that make optimizer and schedule of each stage, or None.
        prepared: The rows, where they were prepared before the run began.
    """

    config: AdaptationConfig
    stages: list[Stage]
    inputs: Inputs
    task: Task
    tokenizer: Any
    start: StartingModel
    folder: RunFolder
    accelerator: Any = None
    beside: Mapping[str, Domain] = field(default_factory=dict)
    compute_metrics: Callable[[Any], Mapping[str, Any]] | None = None
    optimizers: Factories = (None, None)
    prepared: RunData | None = field(default=None, repr=False)

    @property
    def main(self) -> bool:
        """Whether this process reports and writes."""
        return self.accelerator is None or self.accelerator.is_main_process

    @property
    def method(self) -> str:
        """The method's name, or `custom` where the recipe spells out its own stages."""
        return self.config.method if self.config.stages is None else "custom"

    @property
    def pad_id(self) -> int:
        """Token id of padding."""
        return self.tokenizer.pad_token_id or 0

    @property
    def global_batch(self) -> int:
        """Rows per domain in one optimizer step, over all processes and micro-batches."""
        config = self.config
        rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
        return rows * self.accelerator.num_processes

    @cached_property
    def max_length(self) -> int:
        """Most tokens of a row in this run."""
        return min(self.config.max_length, training_limit(self.start.config, self.tokenizer))

    @cached_property
    def data(self) -> RunData:
        """The rows, split and tokenised; made on first use."""
        if self.prepared is not None:
            return self.prepared
        augmentation = None
        if self.config.augment != "none":
            augmentation = RowAugmentation(
                self.config,
                self.start.fresh(self.config, self.task),
                self.tokenizer,
                self.max_length,
                self.folder.augmented,
                self.accelerator,
            )
        teacher = None
        if self.config.teacher is not None:
            from nlp_adapt.training.inputs.teacher import Teacher

            teacher = Teacher(self.config, self.task, self.stages, self.accelerator)
        return prepare_data(
            self.config,
            self.task,
            self.inputs,
            self.tokenizer,
            self.max_length,
            augmentation,
            teacher,
        )

    @property
    def stream(self) -> TargetStream | None:
        """The target as training reads it, if it is streamed."""
        if self.inputs.stream is None:
            return None
        domain = len(self.inputs.sources)
        encode = encode_with(self.task, self.tokenizer, self.max_length, domain)
        return TargetStream(self.inputs.stream, encode, self.max_length)

    @cached_property
    def target_shares(self) -> np.ndarray | None:
        """`[classes]` shares that the user knows the target's classes to have; None if not told.

        Raises:
            ConfigError: If they do not fit the classes.
        """
        if not self.config.target_class_shares:
            return None
        from nlp_adapt.metrics.class_shares import told_shares

        return told_shares(self.config.target_class_shares, self.task.label_names)

    @property
    def scorer(self) -> Scorer:
        """Scores models on the run's labelled rows."""
        return Scorer(
            self.task,
            self.data,
            pad_id=self.pad_id,
            batch_size=self.config.per_device_eval_batch_size,
            accelerator=self.accelerator,
            target_shares=self.target_shares,
            users_metrics=self.users_metrics,
        )

    @property
    def users_metrics(self) -> UsersMetrics | None:
        """`compute_metrics` as it is called with logits and rows."""
        if self.compute_metrics is None:
            return None
        from nlp_adapt.training.trainer_api.metrics import computed

        return partial(computed, self.compute_metrics, self.task)

    def score_beside(self, model: Any) -> dict[str, Any]:
        """`eval_dataset`: the metrics of a model on each domain of `beside`, where there is any."""
        if not self.beside:
            return {}
        predictor = self.predictor(model)
        scores = {
            name: evaluate(predictor, one, users=self.users_metrics)["metrics"]
            for name, one in self.beside.items()
        }
        return {"eval_dataset": scores}

    def predictor(self, model: Any) -> Predictor:
        """Labels new texts as this run reads them."""
        return Predictor(
            model,
            self.tokenizer,
            self.task,
            batch_size=self.config.per_device_eval_batch_size,
            max_length=self.max_length,
        )

    def fresh_model(self) -> Any:
        """The task model as training begins with it."""
        model = self.start.fresh(self.config, self.task)
        bare = self.start.loaded is None and self.start.saved is None and not self.config.lora
        if bare and self.task.outside is None and self.encoder_is_frozen:
            from nlp_adapt.modeling.sentence_encoders.pooling import read_as_trained

            read_as_trained(model, self.start.name)
        return model

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether heads alone are trained or fitted, in every stage of both models."""
        frozen = {self.config.freeze if one.freeze is None else one.freeze for one in self.stages}
        all_fitted = all(stage.fit is not None for stage in self.stages)
        return all_fitted or (self.config.freeze == "all" and frozen == {"all"})


def save_plain(context: RunContext, model: Any, folder: Any) -> None:
    """Save a task model and the tokenizer as a plain Hugging Face folder."""

    def write(staged: Any) -> None:
        if has_adapters(model):
            save_task_model(model, staged, merge=context.config.merge_lora)
        else:
            model.save_pretrained(staged)
        save_tokenizer(context.tokenizer, staged, context.max_length)

    write_folder(folder, write)
