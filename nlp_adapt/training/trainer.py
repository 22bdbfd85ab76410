"""The trainer: a source-only twin and an adapted model, compared and saved as plain models."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nlp_adapt.config import AdaptationConfig, Recipe
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.files import write_folder
from nlp_adapt.hub.push import check_push
from nlp_adapt.methods import selects_best_model, stages_for
from nlp_adapt.modeling.architectures import longest_input
from nlp_adapt.modeling.backbone import load_task_model, load_tokenizer
from nlp_adapt.modeling.lora import add_adapters, has_adapters, save_task_model
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.inputs.augmented import check_augmentation, row_augmentation
from nlp_adapt.training.inputs.auxiliary_entries import read_entries
from nlp_adapt.training.inputs.auxiliary_tasks import gather_auxiliary
from nlp_adapt.training.inputs.data import RunData, make_task, prepare_data
from nlp_adapt.training.inputs.domains import check_options, gather_domains, is_reference
from nlp_adapt.training.inputs.stream import (
    open_stream,
    sample_domain,
)
from nlp_adapt.training.run import Run
from nlp_adapt.training.saving.random_state import load_random, random_tensors
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.stages import needs_target
from nlp_adapt.validators import selecting_validator


class AdaptationTrainer:
    """Adapts a pretrained encoder from a labelled source to a target without labels.

    The vocabulary is that of `transformers.Trainer`. `train()` first trains a source-only twin with
    the same seed and budget (unless `compare_source_only` is off), so that every result answers
    "is it better than doing nothing".

    Args:
        model: Hub id, local folder or `builtin:` encoder, or a loaded classification model.
        args: The options.
        source: The labelled domain, or a reference that `load_domain` reads; several as a list of
            domains, or as a mapping of names to domains or references.
        target: The domain to adapt to, or a reference, or several; its labels are never trained on.
        target_few_shot: Labelled target rows that may be trained on all the same: a domain, a
            reference, or a number of rows of each class (of sentences, for words) to draw from the
            target's training rows; with several targets, a mapping of their names to these.
        auxiliary: Labels of the auxiliary tasks in `args.auxiliary` by name, where they are at hand:
            a domain, or of each source a mapping as `read_row_labels` gives. Others are read.
        processing_class: Tokenizer; default: the model's own.

    Examples:
        >>> trainer = AdaptationTrainer(
        ...     model="roberta-base",
        ...     args=AdaptationConfig(output_dir="runs/mine", method="dann"),
        ...     source=load_domain("reviews.csv"),
        ...     target=load_domain("tweets.txt"),
        ... )  # doctest: +SKIP
        >>> results = trainer.train()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Any,
        args: AdaptationConfig,
        source: Domain | Any,
        target: Domain | Any | None = None,
        *,
        target_few_shot: Any = None,
        auxiliary: Mapping[str, Any] | None = None,
        processing_class: Any = None,
    ) -> None:
        self.args = args
        self.model_name = model if isinstance(model, str) else _name_of(model)
        self._given_model = None if isinstance(model, str) else model
        self.stages = stages_for(args)
        if selects_best_model(args):
            selecting_validator(args.metric_for_best_model)
        read_entries(args)  # what is wrong with a recipe is said before any data is read
        self.target_stream: TextStream | None = None
        if args.streaming and is_reference(target):
            self.target_stream = open_stream(target, args)
            target = sample_domain(self.target_stream, args.task, str(target))
        gathered = gather_domains(args, source, target, target_few_shot)
        tasks = gather_auxiliary(args, gathered.sources, gathered.targets, auxiliary)
        self.domains = replace(gathered, auxiliary=tasks)
        if needs_target(self.stages) and not self.domains.targets:
            raise ConfigError(f"method '{args.method}' needs a target domain: set `target`.")
        check_options(self.domains, args, self.stages)
        check_augmentation(args, has_target=bool(self.domains.targets))
        self.task = make_task(args, self.domains)
        self.folder = RunFolder(args.output_dir)
        self.processing_class = processing_class or load_tokenizer(
            self.model_name, words=self.task.units_are_words
        )
        self.model: Any = None
        self.objectives: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.recipe: AdaptationConfig = args
        self.saved_objectives: dict[str, Any] = {}
        self._accelerator: Any = None
        self._data: RunData | None = None
        # A model that was loaded to be looked at, and the random states after that.
        self._waiting: tuple[Any, dict[str, Tensor]] | None = None

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> AdaptationTrainer:
        """The trainer that a recipe describes, with its domains loaded.

        Raises:
            AdaptationError: If the recipe, the data or the model cannot be used.
        """
        from nlp_adapt.training.inputs.recipe_domains import (
            auxiliary_of,
            few_shot_of,
            sources_of,
            targets_of,
        )

        stages_for(recipe)
        read_entries(recipe)
        if not recipe.resume:
            RunFolder(recipe.output_dir).check(overwrite=recipe.overwrite)
        trainer = cls(
            recipe.model,
            recipe.adaptation_config(),
            sources_of(recipe),
            targets_of(recipe),
            target_few_shot=few_shot_of(recipe),
            auxiliary=auxiliary_of(recipe),
        )
        trainer.recipe = recipe
        if recipe.streaming and recipe.target:
            trainer.target_stream = open_stream(recipe.target, recipe)
        return trainer

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        args: AdaptationConfig,
        source: Domain | Any,
        target: Domain | Any | None = None,
        *,
        target_few_shot: Any = None,
        auxiliary: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> AdaptationTrainer:
        """A trainer that continues from a run folder, a model folder or a pushed model.

        The model keeps its head and the order of its labels; discriminators and other objectives of
        the same name and size go on where they ended. The twin starts from the same model.

        Raises:
            AdaptationError: If there is no such model, or it knows other labels than the data.
        """
        from nlp_adapt.training.saving.continuing import open_saved

        saved = open_saved(model, revision)
        trainer = cls(
            str(saved.folder),
            args,
            source,
            target,
            target_few_shot=target_few_shot,
            auxiliary=auxiliary,
        )
        trainer.task = saved.task(args.task, trainer.task.label_names)
        trainer.model_name = saved.name
        trainer._given_model = saved.task_model(trainer.task, args.attn_implementation)
        trainer.saved_objectives = dict(saved.objectives)
        return trainer

    def train(self, resume_from_checkpoint: bool | None = None) -> dict[str, Any]:
        """Train the twin and the adapted model, evaluate both, save everything.

        Args:
            resume_from_checkpoint: Continue from the last valid checkpoint; default: `args.resume`.

        Returns:
            The content of `results.json`.
        """
        resume = self.args.resume if resume_from_checkpoint is None else resume_from_checkpoint
        if self.args.push_to_hub:
            check_push(self.args, self.model_name)
        accelerator = make_accelerator(self.args)
        with self.folder.lock() if accelerator.is_main_process else nullcontext():
            self._accelerator = accelerator
            try:
                results = Run(self, accelerator).execute(resume)
            finally:
                self._accelerator = None
                self._waiting = None
            if self.args.push_to_hub and accelerator.is_main_process:
                self.push_to_hub(self.args.hub_model_id)
        return results

    @property
    def source(self) -> Domain:
        """The source; the first of several."""
        return self.domains.sources[0]

    @source.setter
    def source(self, domain: Domain) -> None:
        self.domains = replace(self.domains, sources=(domain,))

    @property
    def target(self) -> Domain | None:
        """The target, or None; the first of several."""
        return next(iter(self.domains.targets), None)

    @target.setter
    def target(self, domain: Domain) -> None:
        self.domains = replace(self.domains, targets=(domain,))

    @property
    def data(self) -> RunData:
        """The run's tokenised data, made on first use."""
        if self._data is None:
            model = self.fresh_model()
            self._waiting = (model, random_tensors())
            limit = longest_input(model.config, self.processing_class)
            self._data = prepare_data(
                self.args,
                self.task,
                self.domains,
                self.processing_class,
                min(self.args.max_length, limit),
                row_augmentation(self, model, self._accelerator),
            )
        return self._data

    @property
    def scorer(self) -> Scorer:
        """Scores models on the run's labelled rows."""
        return Scorer(
            self.task,
            self.data,
            pad_id=self.processing_class.pad_token_id or 0,
            batch_size=self.args.per_device_eval_batch_size,
            accelerator=self._accelerator,
        )

    @property
    def method_name(self) -> str:
        """The method, or `custom` where the recipe spells out its own stages."""
        return self.args.method if self.args.stages is None else "custom"

    def evaluate(self) -> dict[str, Any]:
        """Score the current model on the labelled test rows of both domains, in float32."""
        return self.scorer.tests(self._require_model())

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """`label`, `score` and `scores` for each text."""
        predictor = Predictor(
            self._require_model(),
            self.processing_class,
            self.task,
            batch_size=self.args.per_device_eval_batch_size,
        )
        return predictor.predict(texts)

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Save the task model and tokenizer as a plain Hugging Face folder."""
        path = self.folder.model if output_dir is None else Path(output_dir)
        self._save_plain(self._require_model(), path)

    def create_model_card(self) -> None:
        """Write the model card beside the model, from the run's saved files."""
        from nlp_adapt.reporting.card import write_card

        write_card(self.folder.path)

    def push_to_hub(self, repo_id: str | None = None, **options: Any) -> str:
        """Push the saved run's model, discriminators, results and card; returns the URL."""
        from nlp_adapt.hub.push import push_run

        return push_run(
            self.folder.path,
            repo_id or self.args.hub_model_id or self.folder.path.resolve().name,
            private=options.pop("private", self.args.hub_private_repo),
            **options,
        )

    def fresh_model(self) -> Any:
        """A task model as pretrained, its new head drawn from the seed."""
        from transformers import set_seed

        set_seed(self.args.seed)
        if self._waiting is not None:
            (model, random), self._waiting = self._waiting, None
            load_random(random)  # what is drawn next is the same as if it had been loaded now
            return model
        if self._given_model is not None:
            model = copy.deepcopy(self._given_model)
        else:
            model = load_task_model(
                self.model_name,
                self.task.auto_class,
                list(self.task.label_names),
                self.args.attn_implementation,
            )
        if not self.args.lora or has_adapters(model):
            return model
        return add_adapters(
            model,
            self.args.lora_type,
            r=self.args.lora_r,
            alpha=self.args.lora_alpha,
            dropout=self.args.lora_dropout,
            targets=self.args.lora_targets,
        )

    def _save_plain(self, model: Any, path: Path) -> None:
        def write(folder: Path) -> None:
            save_task_model(model, folder, merge=self.args.merge_lora)
            self.processing_class.save_pretrained(folder)

        write_folder(path, write)

    def _require_model(self) -> Any:
        if self.model is None:
            raise RunError("there is no trained model yet: call train() first.")
        return self.model


def _name_of(model: Any) -> str:
    return str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
