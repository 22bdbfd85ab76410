"""One execution of a trainer: every model of the run trained, scored and saved."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.files import write_json, write_tensors
from nlp_adapt.methods import METHODS, Stage, selects_best_model
from nlp_adapt.modeling.backbone import load_task_model
from nlp_adapt.modeling.freezing import freeze
from nlp_adapt.prediction.likeness import STATISTICS, domain_samples, measure_domains
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.recipe import dump_recipe
from nlp_adapt.training.accelerator import end_trackers, precision_of
from nlp_adapt.training.auxiliary_scores import score_auxiliary
from nlp_adapt.training.cost import describe, estimate, refuse_full_disk
from nlp_adapt.training.evidence import examine
from nlp_adapt.training.fall_back import apply_guard
from nlp_adapt.training.health import judge_adversary
from nlp_adapt.training.inputs.data_check import check_domains
from nlp_adapt.training.inputs.stream import training_stream
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.processes import any_process
from nlp_adapt.training.results import describe_run, difference
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.saving.continuing import lasting_state
from nlp_adapt.training.saving.fingerprint import fingerprint
from nlp_adapt.training.saving.resume import start_or_resume
from nlp_adapt.training.selection import BestModel
from nlp_adapt.training.stages import StagedTraining, copies_of_model
from nlp_adapt.training.unread_options import warn_of_unread

if TYPE_CHECKING:
    from nlp_adapt.training.trainer import AdaptationTrainer

SOURCE_ONLY = "source_only"
ADAPTED = "adapted"


class Run:
    """Trains the source-only twin and the adapted model of a trainer, in every process alike.

    Args:
        trainer: What is trained on what; its model and objectives become those of the run.
        accelerator: The `accelerate.Accelerator` of the run.
    """

    def __init__(self, trainer: AdaptationTrainer, accelerator: Any) -> None:
        self.trainer = trainer
        self.accelerator = accelerator
        self.args = trainer.args
        self.task = trainer.task
        self.folder = trainer.folder
        self.tokenizer = trainer.processing_class
        self.main = accelerator.is_main_process
        self.cost: dict[str, Any] = {}
        self.fingerprint: dict[str, str] = {}
        self.checkpoints = CheckpointFolder(self.folder.checkpoints, self.args.save_total_limit)

    def execute(self, resume: bool) -> dict[str, Any]:
        """Go through the run, from its last checkpoint if asked; returns `results.json`."""
        findings = check_domains(
            self.args,
            self.trainer.domains.sources,
            self.trainer.domains.targets,
            self.tokenizer,
            few_shot=self.trainer.domains.few_shot,
            say=self.main,
        )
        if self.main:
            warn_of_unread(self.args, self.trainer.stages)
            self.folder.claim(overwrite=self.args.overwrite, resume=resume)
        self.accelerator.wait_for_everyone()
        log = RunLog(
            self.folder.log if self.main else None,
            self.accelerator,
            self.args.logging_steps,
            show_bar=not self.args.disable_tqdm,
        )
        results = {**describe_run(self.trainer, self.accelerator), "findings": findings}
        if self.trainer.target_stream is not None:
            results["fingerprints"]["target_stream"] = self.trainer.target_stream.fingerprint()
        self.fingerprint = fingerprint(self.trainer, self.accelerator, results["fingerprints"])
        checkpoint, results["resumed"] = start_or_resume(
            self.folder,
            self.checkpoints,
            self.fingerprint,
            self.accelerator,
            resume=resume,
            allow_inexact=self.args.allow_inexact_resume,
        )
        if self.main:
            dump_recipe(self.trainer.recipe, self.folder.recipe)
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
            results[name] = self._train_one(name, stages, log, at)
        results["cost"] = self.cost
        results["difference"] = difference(results, self.task.main_metric)
        results.update(apply_guard(self, results))
        if finished == set(done) and finished and self.folder.results.is_file():
            results.update(self._kept())
        self.trainer.results = results
        if self.main:
            write_json(self.folder.results, results)
            self.trainer.create_model_card()
            self.checkpoints.remove()
        self.accelerator.wait_for_everyone()
        end_trackers(self.accelerator)
        return results

    def _kept(self) -> dict[str, Any]:
        """What a run that was complete already knew, and nothing here tells anew."""
        try:
            known = json.loads(self.folder.results.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {key: known[key] for key in ("cost", "resumed", "seeds") if key in known}

    def _models_to_train(self) -> list[tuple[str, list[Stage]]]:
        models = [(ADAPTED, self.trainer.stages)]
        if self.args.compare_source_only:
            # A head fitted in seconds is compared with one fitted in seconds.
            twin = METHODS["logistic_regression" if self._shallow else SOURCE_ONLY]
            models.insert(0, (SOURCE_ONLY, twin.stages(self.args)))
        return models

    @property
    def _shallow(self) -> bool:
        return all(stage.fit is not None for stage in self.trainer.stages)

    def _train_one(
        self,
        name: str,
        stages: list[Stage],
        log: RunLog,
        checkpoint: Checkpoint | None,
    ) -> dict[str, Any]:
        """Train one model through its stages, score it and save it."""
        started = time.perf_counter()
        best = self._best_model(name)

        def evaluate(model: Any, step: int) -> dict[str, float]:
            with training.scoring():
                scores = self.trainer.scorer.validation(model, precision_of(self.accelerator))
            if best is not None:
                best.consider(model, scores, step)
            return scores

        training = self._training(name, log, evaluate)
        self._preview(training)
        with training.stop:
            training.run(stages, checkpoint)
        self.accelerator.wait_for_everyone()
        seconds = time.perf_counter() - started
        model = training.task_model
        self.trainer.model, self.trainer.objectives = model, training.objectives
        chosen = best.restore(model) if best is not None else None
        if chosen is not None and len(stages) > 1:
            training.known_rows = None  # the stage it is from may have frozen something else
        with training.scoring():
            tests = self.trainer.evaluate()
            evidence = examine(self.trainer.scorer, model, self.args.seed)
        scores = {
            **tests,
            **evidence,
            "best": chosen,
            "auxiliary": score_auxiliary(
                training.objectives.get("auxiliary"),
                model,
                self.trainer.data.auxiliary_validation,
                domain_features=self.args.domain_features,
                pad_id=self.tokenizer.pad_token_id or 0,
                batch_size=self.args.per_device_eval_batch_size,
            ),
            "steps": training.steps,
            "seconds": round(seconds, 2),
            "ledger": training.ledger.value,
            "adversary": {},
        }
        if training.stream is not None:
            scores["left_out"] = training.stream.texts.left_out.report()
        if self.main:
            scores["adversary"] = judge_adversary(self.folder.log, name, self.trainer.data.train)
            path = self.folder.model if name == ADAPTED else self.folder.source_only
            self.trainer.save_model(path)
            if name == ADAPTED:
                self._save_objectives()
                with training.scoring():
                    self.save_domain_statistics()
            write_json(self.folder.scores(name), scores)
        # A signal after the last step has stopped nothing yet; the other model would not hear of it.
        (stop,) = any_process(self.accelerator, training.stop.received is not None)
        if stop and name != ADAPTED:
            raise training.stop.stopped(log.total_steps)
        return scores

    def _training(
        self, name: str, log: RunLog, evaluate: Callable[[Any, int], dict[str, float]]
    ) -> StagedTraining:
        """What trains the model `name` from the start."""
        training = StagedTraining(
            name=name,
            title=self.trainer.method_name if name == ADAPTED else name,
            accelerator=self.accelerator,
            config=self.args,
            task_model=self.trainer.fresh_model().to(self.accelerator.device),
            tokenizer=self.tokenizer,
            rows=self._rows(name),
            epoch_rows=len(self._rows(ADAPTED)["source"]),
            outside=self.task.outside,
            log=log,
            checkpoints=self.checkpoints if self.main else None,
            evaluate=evaluate,
            fingerprint=self.fingerprint,
            stream=training_stream(self.trainer),
            saved_objectives=self.trainer.saved_objectives,
            auxiliary=[task.spec for task in self.trainer.domains.auxiliary.values()],
            scored_rows=[
                *self.trainer.data.scored_rows,
                *domain_samples(self.trainer.data.train, self.args.seed).values(),
            ],
        )
        if name == SOURCE_ONLY and not self._shallow:
            training.twin_of = self.trainer.stages
        return training

    def _rows(self, name: str) -> Mapping[str, EncodedRows]:
        """What a model trains on: the twin sees no label of the target, and no edited rows."""
        data = self.trainer.data
        return data.without_few_shot() if name == SOURCE_ONLY else data.with_copies

    def _preview(self, training: StagedTraining) -> None:
        """Before the first step: say what the run costs, and refuse a disk that is too small."""
        if self.cost:
            return
        steps = {
            name: training.twin_steps(self.trainer.stages)
            if name == SOURCE_ONLY and not self._shallow
            else sum(training.lengths(own))
            for name, own in self._models_to_train()
        }
        freeze(training.task_model, self.args.freeze)
        self.cost = estimate(
            self.args,
            self._rows(ADAPTED),
            steps,
            training.global_batch,
            training.task_model,
            training.inputs.portions,
            copies=max(copies_of_model(stage) for stage in self.trainer.stages),
            keeps_best=selects_best_model(self.args),
        )
        if self.main:
            refuse_full_disk(self.cost, self.folder.path)
            if not self.args.disable_tqdm:
                print(describe(self.cost), file=sys.stderr)

    def _best_model(self, name: str) -> BestModel | None:
        """Where the best weights of the adapted model are kept, if the recipe asks for them.

        The twin is not chosen by how it does on the target: doing nothing does not look there.
        """
        if name != ADAPTED or not selects_best_model(self.args):
            return None
        metric = self.args.metric_for_best_model
        return BestModel(self.folder.checkpoints, metric, keep=self.main)

    def _save_objectives(self) -> None:
        """Write the discriminators and whatever else a later run can go on from."""
        tensors = {
            f"{name}.{key}": value
            for name, objective in self.trainer.objectives.items()
            for key, value in lasting_state(objective).items()
        }
        write_tensors(self.folder.adaptation / "objectives.safetensors", tensors)

    def save_domain_statistics(self) -> None:
        """Write where the texts of both domains lie, for `nlp-adapt predict --domain-likeness`."""
        predictor = Predictor(self.trainer.model, self.tokenizer, self.task)
        samples = domain_samples(self.trainer.data.train, self.args.seed)
        likeness = measure_domains(predictor, samples)
        if likeness is not None:
            likeness.save(self.folder.adaptation / STATISTICS)

    def _finished(self, name: str) -> dict[str, Any] | None:
        """Scores of a model that an interrupted run had already finished and saved."""
        path = self.folder.scores(name)
        folder = self.folder.model if name == ADAPTED else self.folder.source_only
        if not path.is_file() or not (folder / "config.json").is_file():
            return None
        if name == ADAPTED:
            self.trainer.model = load_task_model(
                str(folder), self.task.auto_class, list(self.task.label_names)
            )
        return self.folder.read_scores(name)
