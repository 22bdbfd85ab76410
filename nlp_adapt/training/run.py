"""One run: the source-only twin and the adapted model trained, scored, compared and saved."""

import logging
import shutil
import sys
from dataclasses import dataclass, field, replace
from typing import Any

from nlp_adapt.errors import RunStopped
from nlp_adapt.files import flattened, write_json, write_tensors
from nlp_adapt.modeling.freezing import freeze
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.objectives import Objective, objective_class, taught_sides
from nlp_adapt.prediction.likeness import STATISTICS, domain_samples, measure_domains
from nlp_adapt.prediction.predictor import rows_bar
from nlp_adapt.recipe import dump_recipe
from nlp_adapt.reporting.adversary import judge_adversary
from nlp_adapt.reporting.card import write_card
from nlp_adapt.reporting.page.build import report_run
from nlp_adapt.reporting.results import read_log
from nlp_adapt.training.accelerator import any_process
from nlp_adapt.training.checks import (
    check_domains,
    check_every_stage,
    describe,
    describe_domains,
    estimate,
    refuse_full_disk,
    warn_of_unread,
)
from nlp_adapt.training.class_shares import shares_to_keep
from nlp_adapt.training.context import RunContext, save_plain
from nlp_adapt.training.log import RunLog, remarks_on_log
from nlp_adapt.training.results import describe_run, difference
from nlp_adapt.training.saving.best import BestModel
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.saving.continuing import lasting_state
from nlp_adapt.training.saving.plot_data import plot_data
from nlp_adapt.training.saving.resume import fingerprint, start_or_resume
from nlp_adapt.training.saving.run_folder import OBJECTIVES
from nlp_adapt.training.saving.shared_start import SharedStart, shared_stages
from nlp_adapt.training.schedule import ADAPTED, SOURCE_ONLY, Schedule, portions
from nlp_adapt.training.scoring import score_trained
from nlp_adapt.training.stages import StagedTraining
from nlp_adapt.training.trainer_api.callbacks import Callbacks
from nlp_adapt.validators.guard import judge_run

LOGGER = logging.getLogger("nlp_adapt")


@dataclass
class RunResult:
    """What a run ends with."""

    results: dict[str, Any]
    model: Any = None
    objectives: dict[str, Objective] = field(default_factory=dict)


class Run:
    """Trains, scores and saves the models of a run, in every process alike."""

    def __init__(self, context: RunContext, callbacks: Callbacks | None = None) -> None:
        self.context, self.callbacks = context, callbacks or Callbacks()
        self.config, self.accelerator = context.config, context.accelerator
        self.folder, self.main = context.folder, context.main
        self.plots: dict[str, Any] = {}
        self.start: SharedStart | None = None
        self.stopped: RunStopped | None = (
            None  # by a signal that came when nothing was left to stop
        )
        self.checkpoints = CheckpointFolder(self.folder.checkpoints, self.config.save_total_limit)

    def execute(self, resume: bool) -> RunResult:
        """Go through the run, from its last checkpoint if asked."""
        inputs, longest = self.context.inputs, self.context.max_length
        if self.main and not self.config.disable_tqdm:
            print(describe_domains(inputs), file=sys.stderr)
        findings = check_domains(self.config, inputs, self.context.tokenizer, longest, self.main)
        if self.main:
            warn_of_unread(self.config, self.context.stages, longest)
            self.folder.claim(overwrite=self.config.overwrite, resume=resume)
        self.accelerator.wait_for_everyone()
        end = RunResult({**describe_run(self.context), "findings": findings})
        same = fingerprint(self.context, end.results["fingerprints"])
        checkpoint, end.results["resumed"] = start_or_resume(
            self.folder,
            self.checkpoints,
            same,
            self.accelerator,
            resume=resume,
            allow_inexact=self.config.allow_inexact_resume,
        )
        if self.main:
            dump_recipe(self.context.inputs.recipe or self.config, self.folder.recipe)
        self._train_models(end, same, checkpoint, resume)
        if self.main:
            write_json(self.folder.results, end.results)
            self.folder.manifest.seal(self.folder.results, self.folder.recipe, self.folder.log)
            write_card(self.folder.path)
            report_run(self.folder.path)
            self.checkpoints.remove()
        self.accelerator.wait_for_everyone()
        if self.config.report_to:
            from nlp_adapt.reporting.trackers import close_trackers

            close_trackers(self.accelerator, self.folder.path)
        return end

    def _train_models(
        self, end: RunResult, same: dict[str, str], checkpoint: Checkpoint | None, resume: bool
    ) -> None:
        """Train what an interrupted run had not finished, and compare both models."""
        schedule = Schedule.of(self.context)
        log = RunLog(
            self.folder.log if self.main else None,
            self.accelerator,
            schedule.log_every,
            show_bar=not self.config.disable_tqdm,
            first_step=self.config.logging_first_step,
        )
        check_every_stage(schedule)
        done = {name: self._finished(name) for name in schedule.models if resume}
        finished = {name for name, scores in done.items() if scores}
        if resume:
            log.continue_from(finished, checkpoint.position if checkpoint else None)
        cost: dict[str, Any] = {}
        shared = 0 if self.callbacks.given else shared_stages(self.context, schedule)
        for name in schedule.models:
            if name in finished:
                end.results[name] = done[name]
                log.total_steps += end.results[name]["steps"]
                continue
            training = StagedTraining(
                self.context,
                schedule,
                name,
                log,
                checkpoints=self.checkpoints,
                fingerprint=same,
                best=BestModel.of(self.config, self.checkpoints.best(name), keep=self.main),
                callbacks=self.callbacks,
                inexact=list((end.results["resumed"] or {}).get("notes", ())),
                shared=shared,
            )
            cost = cost or self.cost(schedule, training.task_model, tell=self.main)
            at = checkpoint if checkpoint and checkpoint.position["model"] == name else None
            end.results[name] = self._train_one(training, at, end.results.get(SOURCE_ONLY))
            self.start = training.left
            end.model, end.objectives = training.task_model, training.objectives
        if ADAPTED in finished:
            end.model = self._load(self.folder.model)
        end.results["cost"] = cost
        end.results["difference"] = difference(end.results, self.context.task.main_metric)
        known = self.folder.known() if finished == set(schedule.models) else {}
        if "review" not in known:  # a person's answers outweigh the guard's signs
            self._judge(end)
        end.results.update(known)

    def _train_one(
        self, training: StagedTraining, checkpoint: Checkpoint | None, twin: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Train one model through its stages, score it beside its twin, if it has one, and save it."""
        # The last checkpoint holds the whole model: a signal now costs no more than the scores, and
        # those are waited for, as a step is; a second signal does not wait.
        if self.config.report_to:
            from nlp_adapt.reporting.trackers import log_scores, start_trackers

            start_trackers(self.accelerator, self.config, training.name)
        with training.stop:
            training.run(checkpoint, self.start)
            self.accelerator.wait_for_everyone()
            seconds = round(training.seconds, 2)
            adapted = training.task_model if training.name == ADAPTED else None
            kept = shares_to_keep(self.context, twin, adapted)
            scores = {**self._score(training, kept), "seconds": seconds}
            if self.config.report_to:
                log_scores(self.accelerator, scores, training.steps)
            if self.main:
                self._keep(training)
                self.folder.write_plots(training.name, self.plots)
                write_json(self.folder.scores(training.name), scores)
                self.folder.manifest.seal(*self.folder.finished_files(training.name))
        # A signal after the last step has stopped nothing yet; the other model would not hear of it.
        (stop,) = any_process(self.accelerator, training.stop.received is not None)
        wish = training.stop.stopped(training.log.total_steps) if stop else None
        if wish is not None and training.name != ADAPTED:
            raise wish
        self.stopped = wish
        return scores

    def _score(self, training: StagedTraining, kept: dict[str, float] | None) -> dict[str, Any]:
        """All that results.json says of a model, but for the time it took."""
        context, model = self.context, training.task_model
        chosen = training.best.restore(model) if training.best is not None else None
        if chosen is not None and len(training.schedule.models[training.name]) > 1:
            training.known_rows = None  # the stage it is from may have frozen something else
        rows, quiet = sum(map(len, context.data.scored_rows)), self.config.disable_tqdm
        bar = rows_bar(f"{training.title}: scores", rows, shown=self.main and not quiet)
        with training.scoring(), bar as progress:
            scorer = replace(context.scorer, told=progress)
            adapted = training.name == ADAPTED
            scored = score_trained(scorer, model, self.config.seed, with_labels=adapted, kept=kept)
            self.plots = plot_data(context, replace(scorer, told=None), model)
        scores = {
            **scored,
            "best": chosen,
            "auxiliary": context.scorer.auxiliary(
                training.objectives.get("auxiliary"), model, self.config.domain_features
            ),
            "steps": training.steps,
            "ledger": training.ledger.value,
            "adversary": {},
            **({"inexact": training.inexact} if training.inexact else {}),
            **({"stopped_early": self.callbacks.stops} if self.callbacks.stops else {}),
            **context.score_beside(model),
        }
        if training.stream is not None:
            scores["left_out"] = training.stream.texts.left_out.report()
        if self.main:
            lines = read_log(self.folder.path, training.name)
            scores["adversary"] = judge_adversary(lines, context.data.train)
            remarks = [*self.callbacks.remarks(), *remarks_on_log(lines)]
            scores |= {"remarks": remarks} if remarks else {}
        return scores

    def _keep(self, training: StagedTraining) -> None:
        """Save a model as a plain folder, and what of the adapted one a later run goes on from."""
        if training.name == SOURCE_ONLY:
            save_plain(self.context, training.task_model, self.folder.source_only)
            return
        shutil.rmtree(self.folder.adapted.parent, ignore_errors=True)  # of a model that was damaged
        save_plain(self.context, training.task_model, self.folder.model)
        states = {name: lasting_state(one) for name, one in training.objectives.items()}
        write_tensors(self.folder.adaptation / OBJECTIVES, flattened(states))
        with training.scoring():
            self._save_domain_statistics(training.task_model)

    def _save_domain_statistics(self, model: Any) -> None:
        """Write where the texts of both domains lie, for `nlp-adapt predict --domain-likeness`."""
        samples = domain_samples(self.context.data.train, self.config.seed)
        if likeness := measure_domains(self.context.predictor(model), samples):
            likeness.save(self.folder.adaptation / STATISTICS)
            self.folder.manifest.seal(self.folder.adaptation / STATISTICS)

    def _judge(self, end: RunResult) -> None:
        """Let the guard compare both models; export the twin where its worst case is better."""
        stages = self.context.stages
        taught = taught_sides(stages[-1:]) and not any("task" in one.objectives for one in stages)
        verdict = judge_run(end.results, taught=bool(taught))
        end.results |= {"guard": verdict and verdict.to_dict(), "exported": ADAPTED}
        twin = verdict and verdict.prefers_twin(knows_more=self.context.data.tells_more)
        if not twin or self.config.fall_back is False:
            return
        if self.main:
            self.folder.export_twin()
        self.accelerator.wait_for_everyone()
        end.model = self._load(self.folder.model).to(self.accelerator.device)
        if self.main:
            self._save_domain_statistics(end.model)
        end.results["exported"] = SOURCE_ONLY

    def cost(self, schedule: Schedule, task_model: Any, tell: bool = False) -> dict[str, Any]:
        """What the run takes; where `tell` is set, refuse a disk that is too small, and say it."""
        freeze(task_model, self.config.freeze)
        copies = [
            sum(objective_class(name).copies_model for name in stage.objectives)
            for stage in self.context.stages
        ]
        cost = estimate(
            self.config,
            self.context.data.with_copies,
            {name: sum(schedule.steps(name)) for name in schedule.models},
            self.context.global_batch,
            task_model,
            portions(self.context),
            copies=max(copies),
            keeps_best=bool(self.config.load_best_model_at_end),
        )
        if tell:
            refuse_full_disk(cost, self.folder)
            if not self.config.disable_tqdm:
                print(describe(cost), file=sys.stderr)
        return cost

    def _finished(self, name: str) -> dict[str, Any] | None:
        """Scores of a model that an interrupted run had already finished and saved."""
        if not self.folder.scores(name).exists():
            return None
        if problems := self.folder.manifest.problems(*self.folder.finished_files(name)):
            if self.main:
                LOGGER.warning("%s The %s model is trained again.", " ".join(problems), name)
            return None
        if self.main:
            self.folder.drop_damaged_plots(name)
        return self.folder.read_scores(name)

    def _load(self, folder: Any) -> Any:
        task = self.context.task
        return load_task_model(str(folder), task.auto_class, list(task.label_names))
