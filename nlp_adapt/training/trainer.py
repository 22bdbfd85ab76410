"""The trainer: a source-only twin and an adapted model, compared and saved as plain models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.hub.push import check_push, push_run
from nlp_adapt.launch import held_by_main, naming_lost_processes
from nlp_adapt.modeling.suitability import refuse_architecture, with_padding
from nlp_adapt.modeling.tokenizers import check_vocabulary, for_words, load_tokenizer
from nlp_adapt.objectives import checked_stages
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.card import write_card
from nlp_adapt.tasks import Task
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.checks import check_rates
from nlp_adapt.training.context import RunContext, StartingModel, save_plain
from nlp_adapt.training.inputs.auxiliary import read_entries
from nlp_adapt.training.inputs.data import RunData, make_task
from nlp_adapt.training.inputs.domains import Inputs, check_options, gather_inputs
from nlp_adapt.training.inputs.recipe import read_inputs
from nlp_adapt.training.run import Run
from nlp_adapt.training.saving.continuing import open_saved
from nlp_adapt.training.saving.resume import check_named
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.schedule import needs_target
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.validators import selecting_validator


class AdaptationTrainer:
    """Adapts a pretrained encoder from a labelled source to a target without labels.

    The vocabulary is that of `transformers.Trainer`. `train()` first trains a source-only twin with
    the same seed and schedule (unless `compare_source_only` is off): every result then answers
    "is it better than doing nothing".

    Args:
        model: Hub id, local folder or `builtin:` encoder, or a loaded classification model, whose
            frozen parameters stay as they are; adapters of a PEFT model (LoRA, IA3) go on training.
        source: The labelled domain, or a reference that `load_domain` reads; several as a list of
            domains, or as a mapping of names to domains or references. `Inputs` hold all that
            follows as well.
        target: The domain to adapt to, or a reference, or several; its labels are never trained on.
        target_few_shot: Labelled target rows that may be trained on all the same: a domain, a
            reference, or a number of rows of each class (of sentences, for words) to draw from the
            target's training rows; with several targets, a mapping of their names to these.
        auxiliary: Labelled rows of the auxiliary tasks in `args.auxiliary` by name, in the place of
            a reference: a domain. The rows of the others are read.
        processing_class: Tokenizer; default: the model's own.

    Attributes:
        model: The task model after `train()`; None before.
        objectives: The adapted model's objectives after `train()`, by name.
        results: The content of results.json after `train()`.

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
        if not isinstance(args, AdaptationConfig):
            raise ConfigError(
                f"args is a {type(args).__name__}, but must be an AdaptationConfig: it has the same "
                "options by the same names."
            )
        self.args = args
        stages = checked_stages(args)
        if args.load_best_model_at_end:
            selecting_validator(args.metric_for_best_model)
        check_rates(args)
        if args.auxiliary:  # what is wrong with a recipe is said before any data is read
            read_entries(args)
        if isinstance(source, Inputs):
            inputs = source
        else:
            inputs = gather_inputs(args, source, target, target_few_shot, auxiliary)
        if needs_target(stages) and not inputs.targets:
            raise ConfigError(f"method '{args.method}' needs a target domain: set `target`.")
        check_options(inputs, args, stages)
        start = StartingModel.of(model)
        task = make_task(args, inputs)
        if start.saved is not None:  # its head knows the labels in an order of its own
            task = start.saved.task(args.task, task.label_names)
        refuse_architecture(start.config)
        start.check(task)
        tokenizer = processing_class or load_tokenizer(start.folder_or_id)
        check_vocabulary(tokenizer, start.config, start.name)
        if task.units_are_words:
            tokenizer = for_words(tokenizer)
        tokenizer = with_padding(tokenizer, start.config)
        folder = RunFolder(args.output_dir)
        self.context = RunContext(args, stages, inputs, task, tokenizer, start, folder)
        _ = self.context.target_shares  # now, before anything trains, if they do not fit
        self.model: Any = None
        self.objectives: dict[str, Any] = {}
        self.results: dict[str, Any] = {}

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> AdaptationTrainer:
        """The trainer that a recipe describes, with its domains loaded.

        Raises:
            AdaptationError: If the recipe, the data or the model cannot be used.
        """
        checked_stages(recipe)
        check_rates(recipe)
        if recipe.auxiliary:
            read_entries(recipe)
        if not recipe.resume:
            RunFolder(recipe.output_dir).check(overwrite=recipe.overwrite)
        return cls(recipe.model, recipe.adaptation_config(), read_inputs(recipe))

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
        return cls(
            open_saved(model, revision),
            args,
            source,
            target,
            target_few_shot=target_few_shot,
            auxiliary=auxiliary,
        )

    def train(self, resume_from_checkpoint: bool | str | Path | None = None) -> dict[str, Any]:
        """Train the twin and the adapted model, evaluate both, save everything.

        Args:
            resume_from_checkpoint: Continue from the last valid checkpoint, which may be named, as
                may the run's folder; default: `args.resume`.

        Returns:
            The content of `results.json`.

        Raises:
            AdaptationError: If the run cannot be trained, resumed or saved.
        """
        resume = self.args.resume if resume_from_checkpoint is None else resume_from_checkpoint
        if isinstance(resume, (str, Path)):
            check_named(resume, self.folder)
            resume = True
        if self.args.push_to_hub:
            check_push(self.args, self.model_name)
        accelerator = make_accelerator(self.args)
        context = dataclasses.replace(self.context, accelerator=accelerator)
        with naming_lost_processes("run again with --resume"), held_by_main(self.folder.lock):
            end = Run(context).execute(resume)
            self.model, self.objectives, self.results = end.model, end.objectives, end.results
            self.context = dataclasses.replace(self.context, prepared=context.data)
            if self.args.push_to_hub and accelerator.is_main_process:
                self.push_to_hub(self.args.hub_model_id)
        return self.results

    @property
    def inputs(self) -> Inputs:
        """Domains and stream."""
        return self.context.inputs

    @property
    def source(self) -> Domain:
        """The source; the first of several."""
        return self.inputs.sources[0]

    @property
    def target(self) -> Domain | None:
        """The target, or None; the first of several."""
        return next(iter(self.inputs.targets), None)

    @property
    def task(self) -> Task:
        """What the labels mean."""
        return self.context.task

    @property
    def processing_class(self) -> Any:
        """The tokenizer."""
        return self.context.tokenizer

    @property
    def model_name(self) -> str:
        """What the starting model is called."""
        return self.context.start.name

    @property
    def method_name(self) -> str:
        """The method, or `custom` where the recipe spells out its own stages."""
        return self.context.method

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.context.folder

    @property
    def data(self) -> RunData:
        """The run's tokenised rows, made on first use."""
        return self.context.data

    @property
    def scorer(self) -> Scorer:
        """Scores models on the run's labelled rows."""
        return self.context.scorer

    def evaluate(self) -> dict[str, Any]:
        """Score the current model on the labelled test rows of both domains, in float32."""
        return self.scorer.tests(self._require_model())

    def predict(self, texts: str | Iterable[str]) -> list[dict[str, Any]]:
        """`label`, `score` and `scores` for each text, as `Predictor.predict` gives them."""
        return self.context.predictor(self._require_model()).predict(texts)

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Save the task model and tokenizer as a plain Hugging Face folder."""
        path = self.folder.model if output_dir is None else Path(output_dir)
        save_plain(self.context, self._require_model(), path)

    def create_model_card(self) -> None:
        """Write the model card beside the model, from the run's saved files."""
        write_card(self.folder.path)

    def push_to_hub(self, repo_id: str | None = None, **options: Any) -> str:
        """Push the saved run's model, discriminators, results and card; returns the URL."""
        return push_run(
            self.folder.path,
            repo_id or self.args.hub_model_id or self.folder.path.resolve().name,
            private=options.pop("private", self.args.hub_private_repo),
            **options,
        )

    def fresh_model(self) -> Any:
        """A task model as pretrained, its new head drawn from the seed."""
        return self.context.fresh_model()

    def _require_model(self) -> Any:
        if self.model is None:
            raise RunError("there is no trained model yet: call train() first.")
        return self.model
