"""The trainer: a source-only twin and an adapted model, compared and saved as plain models."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import RunError, RunStopped
from nlp_adapt.hub.push import check_push, push_run
from nlp_adapt.launch import held_by_main, naming_lost_processes
from nlp_adapt.objectives import checked_stages
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.card import write_card
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.checks import check_rates
from nlp_adapt.training.context import save_plain
from nlp_adapt.training.inputs.auxiliary import read_entries
from nlp_adapt.training.inputs.recipe import read_inputs
from nlp_adapt.training.log import quiet_libraries
from nlp_adapt.training.run import Run
from nlp_adapt.training.saving.continuing import open_saved
from nlp_adapt.training.saving.resume import check_named
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.trainer_api.callbacks import Callbacks
from nlp_adapt.training.trainer_api.given import evaluate_given, named_domains, predict_given
from nlp_adapt.training.trainer_api.optimizers import factories
from nlp_adapt.training.trainer_api.starting import check_arguments, make_context, read_config
from nlp_adapt.training.trainer_api.view import RunResults, TrainerView


class AdaptationTrainer(TrainerView):
    """Adapts a pretrained encoder from a labelled source to a target without labels.

    The vocabulary is that of `transformers.Trainer`. `train()` first trains a source-only twin with
    the same seed and schedule (unless `compare_source_only` is off): every result then answers
    "is it better than doing nothing".

    Args:
        model: Hub id, local folder or `builtin:` encoder, or a loaded classification model, whose
            frozen parameters stay as they are; adapters of a PEFT model (LoRA, IA3) go on training.
        args: The options; or a `transformers.TrainingArguments`, whose options are taken over by
            name, and whose others are refused where they are set.
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
        callbacks: `transformers.TrainerCallback`s, which each of the two models calls.
        compute_metrics: Numbers by name from an `EvalPrediction`; they stand beside the task's.
        eval_dataset: Labelled rows that both models are scored on at the end as well: a dict of
            names to domains, or to whatever `load_domain` reads. Nothing is trained or selected on
            them, and no callback hears of them.
        optimizers: Two functions, either of which may be None: one makes an optimizer of parameter
            groups, one a schedule of that optimizer and `steps`, for each stage of each model.
        optimizer_cls_and_kwargs: A class of optimizers and its arguments, in the place of the first.
        unknown: No argument has another name; what one is called here is said.

    Attributes:
        model: The task model after `train()`; None before.
        objectives: The adapted model's objectives after `train()`, by name.
        results: The content of results.json after `train()`.
        show_results: Whether `train()` prints its last screen on a terminal, unless
            `args.disable_tqdm` is set.

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
        model: str | Any = None,
        args: AdaptationConfig | Any = None,
        source: Domain | Any = None,
        target: Domain | Any | None = None,
        *,
        target_few_shot: Any = None,
        auxiliary: Mapping[str, Any] | None = None,
        processing_class: Any = None,
        callbacks: Sequence[Any] | None = None,
        compute_metrics: Callable[[Any], Mapping[str, Any]] | None = None,
        eval_dataset: Mapping[str, Any] | None = None,
        optimizers: Any = (None, None),
        optimizer_cls_and_kwargs: tuple[Any, Mapping[str, Any]] | None = None,
        **unknown: Any,
    ) -> None:
        check_arguments(type(self), {"model": model, "args": args, "source": source}, unknown)
        self.args = args = read_config(args)
        self.context = make_context(
            args, model, source, target, target_few_shot, auxiliary, processing_class
        )
        self.context = dataclasses.replace(
            self.context,
            beside={} if eval_dataset is None else named_domains(eval_dataset, self.task),
            compute_metrics=compute_metrics,
            optimizers=factories(optimizers, optimizer_cls_and_kwargs),
        )
        self.callbacks = Callbacks(callbacks, args, self.processing_class)
        self.model: Any = None
        self.objectives: dict[str, Any] = {}
        self.stopped: RunStopped | None = None  # by a signal after the last step; the run is whole
        self.results = RunResults({}, args.output_dir)
        self.show_results = True

    def add_callback(self, callback: Any) -> None:
        """Have a `transformers.TrainerCallback`, or one of such a class, told of the run as well."""
        given = [*self.callbacks.given, callback]
        self.callbacks = Callbacks(given, self.args, self.processing_class)

    def pop_callback(self, callback: Any) -> Any:
        """Take back a callback, or the first of a class, and return it; None where there is none."""
        given = list(self.callbacks.given)
        found = next((one for one in given if one is callback or type(one) is callback), None)
        kept = [one for one in given if one is not found]
        self.callbacks = Callbacks(kept, self.args, self.processing_class)
        return found

    def remove_callback(self, callback: Any) -> None:
        """Take back a callback, or the first of a class."""
        self.pop_callback(callback)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "AdaptationTrainer":
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
        **given: Any,
    ) -> "AdaptationTrainer":
        """A trainer that continues from a run folder, a model folder or a pushed model.

        `given` are other arguments of the constructor, such as `callbacks`.

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
            **given,
        )

    def train(self, resume_from_checkpoint: bool | str | Path | None = None) -> RunResults:
        """Train the twin and the adapted model, evaluate both, save everything.

        Args:
            resume_from_checkpoint: Continue from the last valid checkpoint, which may be named, as
                may the run's folder; default: `args.resume`.

        Returns:
            The content of `results.json`, a dict that shows itself in a notebook.

        Raises:
            AdaptationError: If the run cannot be trained, resumed or saved.
        """
        resume = self.args.resume if resume_from_checkpoint is None else resume_from_checkpoint
        if isinstance(resume, (str, Path)):
            check_named(resume, self.folder)
            resume = True
        if self.args.push_to_hub:
            check_push(self.args, self.model_name)
        self._accelerator = accelerator = make_accelerator(self.args)
        context = dataclasses.replace(self.context, accelerator=accelerator)
        quiet, held = quiet_libraries(), held_by_main(self.folder.lock)
        with naming_lost_processes(), held, quiet:
            run = Run(context, self.callbacks)
            end, self.stopped = run.execute(resume), run.stopped
            self.model, self.objectives = end.model, end.objectives
            self.results = RunResults(end.results, self.folder.path)
            self.context = dataclasses.replace(self.context, prepared=context.data)
            if self.args.push_to_hub and accelerator.is_main_process:
                self.push_to_hub(self.args.hub_model_id)
        if self.show_results and accelerator.is_main_process and not self.args.disable_tqdm:
            self.results.show()
        return self.results

    def evaluate(self, data: Any = None, split: str | None = None) -> dict[str, Any]:
        """Score the current model, in float32.

        Args:
            data: Labelled rows: a domain, a Dataset, a data frame, a list of dicts, or a reference;
                a dict of several by name. Default: the test rows of the run's domains.
            split: Of `data`, the rows to score; default: those of test, or all where there is none.

        Returns:
            The task's metrics; of several data sets, and by default of `source` and `target`, those
            of each by its name.

        Raises:
            AdaptationError: If there is no model yet, or there are no such labelled rows.
        """
        model = self._require_model()
        if data is None:
            beside = self.context.score_beside(model).get("eval_dataset", {})
            return {**self.scorer.tests(model), **beside}
        recipe = self.inputs.recipe
        known = None if recipe is None else recipe.label_map or None
        users = self.context.users_metrics
        return evaluate_given(self.context.predictor(model), data, split, known, users)

    def predict(self, texts: Any, split: str | None = None) -> list[dict[str, Any]]:
        """What `Predictor.predict` says of each row, in order.

        Args:
            texts: Texts; or rows: a Dataset, a data frame, a list of dicts, or a domain.
            split: Of a domain, the rows to label; default: those of test, or all where there is none.

        Raises:
            AdaptationError: If there is no model yet, or `texts` is something else.
        """
        return predict_given(self.context.predictor(self._require_model()), texts, split)

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
            revision=options.pop("revision", self.args.hub_revision),
            **options,
        )

    def fresh_model(self) -> Any:
        """A task model as pretrained, its new head drawn from the seed."""
        return self.context.fresh_model()

    def _require_model(self) -> Any:
        if self.model is None:
            raise RunError("there is no trained model yet: call train() first.")
        return self.model
