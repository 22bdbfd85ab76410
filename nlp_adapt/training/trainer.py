"""The trainer: a source-only twin and an adapted model, compared and saved as plain models."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig, Recipe
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.hub import check_token
from nlp_adapt.inference import Predictor
from nlp_adapt.likeness import STATISTICS, measure_domains
from nlp_adapt.methods import METHODS, Stage, stages_for
from nlp_adapt.modeling.backbone import load_task_model, load_tokenizer, longest_input
from nlp_adapt.modeling.lora import add_adapters, has_adapters, save_task_model
from nlp_adapt.recipe import dump_recipe
from nlp_adapt.training.accelerator import end_trackers, make_accelerator, precision_of
from nlp_adapt.training.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.cost import describe, estimate, refuse_full_disk
from nlp_adapt.training.data_check import check_domains
from nlp_adapt.training.fingerprint import fingerprint
from nlp_adapt.training.health import judge_adversary
from nlp_adapt.training.lock import RunLock
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.results import describe_run, difference
from nlp_adapt.training.resume import start_or_resume
from nlp_adapt.training.run_data import RunData, make_task, prepare_data
from nlp_adapt.training.run_folder import RunFolder, save_folder, save_tensors, write_json
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.selection import BestModel
from nlp_adapt.training.stages import StagedTraining, needs_target
from nlp_adapt.training.streamed_target import (
    TargetStream,
    encode_with,
    open_stream,
    sample_domain,
)

SOURCE_ONLY = "source_only"
ADAPTED = "adapted"
BLACK_BOX_STEPS = 3


class AdaptationTrainer:
    """Adapts a pretrained encoder from a labelled source to a target without labels.

    The vocabulary is that of `transformers.Trainer`. `train()` first trains a source-only twin with
    the same seed and budget (unless `compare_source_only` is off), so that every result answers
    "is it better than doing nothing".

    Args:
        model: Hub id, local folder or `builtin:` encoder, or a loaded classification model.
        args: The options.
        source: The labelled domain, or a reference that `load_domain` reads.
        target: The domain to adapt to, or a reference; its labels are never trained on.
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
        processing_class: Any = None,
    ) -> None:
        self.args = args
        self.model_name = model if isinstance(model, str) else _name_of(model)
        self._given_model = None if isinstance(model, str) else model
        self.stages = stages_for(args)
        self.source = _as_domain(source, args.task)
        self.target_stream: TextStream | None = None
        if args.streaming and target is not None and not isinstance(target, Domain):
            self.target_stream = open_stream(target, args)
            target = sample_domain(self.target_stream, args.task, str(target))
        self.target = None if target is None else _as_domain(target, args.task)
        if needs_target(self.stages) and self.target is None:
            raise ConfigError(f"method '{args.method}' needs a target domain: set `target`.")
        self.task = make_task(args, self.source, self.target)
        self.folder = RunFolder(args.output_dir)
        self.processing_class = processing_class or load_tokenizer(
            self.model_name, words=self.task.units_are_words
        )
        self.model: Any = None
        self.objectives: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self._recipe: AdaptationConfig = args
        self._saved_objectives: dict[str, Any] = {}
        self._fingerprint: dict[str, str] = {}
        self._accelerator: Any = None
        self._cost: dict[str, Any] = {}
        self._data: RunData | None = None

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> AdaptationTrainer:
        """The trainer that a recipe describes, with its domains loaded.

        Raises:
            AdaptationError: If the recipe, the data or the model cannot be used.
        """
        from nlp_adapt.training.recipe_domains import source_of, target_of

        stages_for(recipe)
        if not recipe.resume:
            RunFolder(recipe.output_dir).check(overwrite=recipe.overwrite)
        trainer = cls(
            recipe.model, recipe.adaptation_config(), source_of(recipe), target_of(recipe)
        )
        trainer._recipe = recipe
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
        revision: str | None = None,
    ) -> AdaptationTrainer:
        """A trainer that continues from a run folder, a model folder or a pushed model.

        The model keeps its head and the order of its labels; discriminators and other objectives of
        the same name and size go on where they ended. The twin starts from the same model.

        Raises:
            AdaptationError: If there is no such model, or it knows other labels than the data.
        """
        from nlp_adapt.training.continuing import open_saved

        saved = open_saved(model, revision)
        trainer = cls(str(saved.folder), args, source, target)
        trainer.task = saved.task(args.task, trainer.task.label_names)
        trainer.model_name = saved.name
        trainer._given_model = saved.task_model(trainer.task, args.attn_implementation)
        trainer._saved_objectives = dict(saved.objectives)
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
            check_token()
        accelerator = make_accelerator(self.args)
        with RunLock(self.folder.path) if accelerator.is_main_process else nullcontext():
            self._accelerator = accelerator
            try:
                results = self._train(accelerator, resume)
            finally:
                self._accelerator = None
            if self.args.push_to_hub and accelerator.is_main_process:
                self.push_to_hub(self.args.hub_model_id)
        return results

    def _train(self, accelerator: Any, resume: bool) -> dict[str, Any]:
        """The run itself, in every process, while the main one holds the folder."""
        findings = check_domains(
            self.args,
            self.source,
            self.target,
            self.processing_class,
            say=accelerator.is_main_process,
        )
        if accelerator.is_main_process:
            self.folder.claim(overwrite=self.args.overwrite, resume=resume)
        accelerator.wait_for_everyone()
        data = self.data
        main = accelerator.is_main_process
        log = RunLog(
            self.folder.log if main else None,
            accelerator,
            self.args.logging_steps,
            show_bar=not self.args.disable_tqdm,
        )
        checkpoints = CheckpointFolder(self.folder.checkpoints, self.args.save_total_limit)
        results = {**describe_run(self, accelerator), "findings": findings}
        if self.target_stream is not None:
            results["fingerprints"]["target_stream"] = self.target_stream.fingerprint()
        self._fingerprint = fingerprint(self, accelerator, results["fingerprints"])
        checkpoint, results["resumed"] = start_or_resume(
            self.folder,
            checkpoints,
            self._fingerprint,
            accelerator,
            resume=resume,
            allow_inexact=self.args.allow_inexact_resume,
        )
        if main:
            dump_recipe(self._recipe, self.folder.recipe)
        done = {name: self._finished(name) for name, _ in self._models_to_train() if resume}
        finished = {name for name, scores in done.items() if scores}
        if resume:
            log.continue_from(finished, checkpoint.position if checkpoint else None)
        for name, stages in self._models_to_train():
            if name in finished:
                results[name] = done[name]
                log.total_steps += results[name]["steps"]
                continue
            at = checkpoint if checkpoint and checkpoint.position["model"] == name else None
            results[name] = self._train_one(name, stages, accelerator, log, checkpoints, data, at)
        results["cost"] = self._cost
        results["difference"] = difference(results, self.task.main_metric)
        self.results = results
        if main:
            write_json(self.folder.results, results)
            self.create_model_card()
            checkpoints.remove()
        accelerator.wait_for_everyone()
        end_trackers(accelerator)
        return results

    @property
    def data(self) -> RunData:
        """The run's tokenised data, made on first use."""
        if self._data is None:
            model = self._fresh_model()
            limit = longest_input(model, self.processing_class)
            self._data = prepare_data(
                self.args,
                self.task,
                self.source,
                self.target,
                self.processing_class,
                min(self.args.max_length, limit),
            )
        return self._data

    @property
    def _scorer(self) -> Scorer:
        return Scorer(
            self.task,
            self.data,
            pad_id=self.processing_class.pad_token_id or 0,
            batch_size=self.args.per_device_eval_batch_size,
            accelerator=self._accelerator,
        )

    def evaluate(self) -> dict[str, Any]:
        """Score the current model on the labelled test rows of both domains, in float32."""
        return self._scorer.tests(self._require_model())

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
        from nlp_adapt.reporting.model_card import write_card

        write_card(self.folder.path)

    def push_to_hub(self, repo_id: str | None = None, **options: Any) -> str:
        """Push the saved run's model, discriminators, results and card; returns the URL."""
        from nlp_adapt.hub import push_run

        return push_run(
            self.folder.path,
            repo_id or self.args.hub_model_id or self.folder.path.resolve().name,
            private=options.pop("private", self.args.hub_private_repo),
            **options,
        )

    def _models_to_train(self) -> list[tuple[str, list[Stage]]]:
        models = [(ADAPTED, self.stages)]
        if self.args.compare_source_only:
            # A head fitted in seconds is compared with one fitted in seconds.
            shallow = all(stage.fit is not None for stage in self.stages)
            twin = METHODS["logistic_regression" if shallow else SOURCE_ONLY]
            models.insert(0, (SOURCE_ONLY, twin.stages(self.args)))
        return models

    def _train_one(
        self,
        name: str,
        stages: list[Stage],
        accelerator: Any,
        log: RunLog,
        checkpoints: CheckpointFolder,
        data: RunData,
        checkpoint: Checkpoint | None,
    ) -> dict[str, Any]:
        """Train one model through its stages, score it and save it."""
        started = time.perf_counter()
        best = self._best_model(name, accelerator)

        def evaluate(model: Any, step: int) -> dict[str, float]:
            scores = self._scorer.validation(model, precision_of(accelerator))
            if best is not None:
                best.consider(model, scores, step)
            return scores

        training = StagedTraining(
            name=name,
            title=self.args.method if name == ADAPTED else name,
            accelerator=accelerator,
            config=self.args,
            task_model=self._fresh_model().to(accelerator.device),
            tokenizer=self.processing_class,
            rows=data.train,
            outside=self.task.outside,
            log=log,
            checkpoints=checkpoints if accelerator.is_main_process else None,
            evaluate=evaluate,
            fingerprint=self._fingerprint,
            stream=self._stream(data),
            black_box=CheckpointFolder(self.folder.black_box, BLACK_BOX_STEPS)
            if accelerator.is_main_process
            else None,
            saved_objectives=self._saved_objectives,
        )
        self._preview(training, accelerator)
        with training.stop:
            training.run(stages, checkpoint)
        accelerator.wait_for_everyone()
        seconds = time.perf_counter() - started
        self.model, self.objectives = training.task_model, training.objectives
        chosen = best.restore(self.model) if best is not None else None
        scores = {
            **self.evaluate(),
            "label_free": self._scorer.label_free(self.model),
            "best": chosen,
            "steps": training.steps,
            "seconds": round(seconds, 2),
            "ledger": training.ledger.value,
            "adversary": {},
        }
        if accelerator.is_main_process:
            scores["adversary"] = judge_adversary(self.folder.log, name, data.train)
            path = self.folder.model if name == ADAPTED else self.folder.source_only
            self._save_plain(self.model, path)
            if name == ADAPTED:
                self._save_objectives()
                self._save_domain_statistics(data)
            write_json(self.folder.scores(name), scores)
        return scores

    def _stream(self, data: RunData) -> TargetStream | None:
        if self.target_stream is None:
            return None
        encode = encode_with(self.task, self.processing_class, data.max_length)
        return TargetStream(self.target_stream, encode, data.max_length)

    def _preview(self, training: StagedTraining, accelerator: Any) -> None:
        """Before the first step: say what the run costs, and refuse a disk that is too small."""
        if self._cost:
            return
        steps = {name: sum(training.stage_steps(own)) for name, own in self._models_to_train()}
        self._cost = estimate(
            self.args, training.rows, steps, training.global_batch, training.task_model
        )
        if accelerator.is_main_process:
            refuse_full_disk(self._cost, self.folder.path)
            if not self.args.disable_tqdm:
                print(describe(self._cost), file=sys.stderr)

    def _best_model(self, name: str, accelerator: Any) -> BestModel | None:
        """Where the best weights of the adapted model are kept, if the recipe asks for them.

        The twin is not chosen by how it does on the target: doing nothing does not look there.
        """
        if not self.args.load_best_model_at_end or name != ADAPTED:
            return None
        metric = self.args.metric_for_best_model
        return BestModel(self.folder.checkpoints, metric, keep=accelerator.is_main_process)

    def _fresh_model(self) -> Any:
        """A task model as pretrained, its new head drawn from the seed."""
        from transformers import set_seed

        set_seed(self.args.seed)
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

        save_folder(path, write)

    def _save_objectives(self) -> None:
        """Write the discriminators and whatever else the adapted model's objectives own."""
        tensors = {
            f"{name}.{key}": value
            for name, objective in self.objectives.items()
            for key, value in objective.state_dict().items()
        }
        save_tensors(self.folder.adaptation / "objectives.safetensors", tensors)

    def _save_domain_statistics(self, data: RunData) -> None:
        """Write where the texts of both domains lie, for `nlp-adapt predict --domain-likeness`."""
        if self.task.units_are_words:
            return
        predictor = Predictor(self.model, self.processing_class, self.task)
        likeness = measure_domains(predictor, data.train, self.args.seed)
        if likeness is not None:
            likeness.save(self.folder.adaptation / STATISTICS)

    def _finished(self, name: str) -> dict[str, Any] | None:
        """Scores of a model that an interrupted run had already finished and saved."""
        path = self.folder.scores(name)
        folder = self.folder.model if name == ADAPTED else self.folder.source_only
        if not path.is_file() or not (folder / "config.json").is_file():
            return None
        if name == ADAPTED:
            self.model = load_task_model(
                str(folder), self.task.auto_class, list(self.task.label_names)
            )
        return self.folder.read_scores(name)

    def _require_model(self) -> Any:
        if self.model is None:
            raise RunError("there is no trained model yet: call train() first.")
        return self.model


def _as_domain(reference: Any, task: str) -> Domain:
    if isinstance(reference, Domain):
        return reference
    from nlp_adapt.data.loading import load_domain

    return load_domain(reference, task=task)


def _name_of(model: Any) -> str:
    return str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
