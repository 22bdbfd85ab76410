"""Training one model through the stages of a method."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.files import nested
from nlp_adapt.launch import naming_lost_processes
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.freezing import freeze, freeze_head
from nlp_adapt.modeling.pretrained import READING
from nlp_adapt.modeling.suitability import fit_to_tokenizer
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Objective, Setup, build_objective, module_name
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.frozen.feature_cache import KnownRows
from nlp_adapt.training.frozen.shallow import fit_head
from nlp_adapt.training.inputs.setup import setup_for
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.model import AdaptationModel, prepare_encoder
from nlp_adapt.training.optimization import GradualUnfreezing, HeadsFirst
from nlp_adapt.training.saving.best import BestModel
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder, seed_process
from nlp_adapt.training.saving.continuing import take_over
from nlp_adapt.training.saving.resume import SampleLedger
from nlp_adapt.training.saving.shared_start import SharedStart
from nlp_adapt.training.saving.signals import StopRequest
from nlp_adapt.training.saving.stage_state import EARLIER, restore_stage, stage_state
from nlp_adapt.training.schedule import (
    ADAPTED,
    SOURCE_ONLY,
    Schedule,
    StageInputs,
    first_task_stage,
)
from nlp_adapt.training.trainer_api.callbacks import Callbacks

LOGGER = logging.getLogger("nlp_adapt")


@dataclass
class StagedTraining:
    """Trains a task model through its stages; one per model of a run.

    Args:
        name: Which model of the run this is: `source_only` or `adapted`.
        checkpoints: Where to save; None where nothing is saved.
        fingerprint: What a run that continues this one must share with it.
        best: Keeps the weights that a label-free score likes best, if the recipe asks for that.
        callbacks: Are told what happens, and may ask for scores, checkpoints and an early end.
        inexact: What makes this model another than an uninterrupted run's, for good.
        seconds_before: Time that it trained before it was interrupted.
        shared: After how many stages another model goes on from what this one `left`.
    """

    context: RunContext
    schedule: Schedule
    name: str
    log: RunLog
    checkpoints: CheckpointFolder | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)
    best: BestModel | None = None
    stop: StopRequest = field(default_factory=StopRequest)
    ledger: SampleLedger = field(default_factory=SampleLedger)
    objectives: dict[str, Objective] = field(default_factory=dict)
    steps: int = 0
    known_rows: KnownRows | None = None
    task_model: Any = None
    inexact: list[str] = field(default_factory=list)
    callbacks: Callbacks = field(default_factory=Callbacks)
    seconds_before: float = 0.0
    shared: int = 0
    left: SharedStart | None = None

    def __post_init__(self) -> None:
        self.config, self.accelerator = self.context.config, self.context.accelerator
        if self.task_model is None:
            self.task_model = self.context.fresh_model().to(self.accelerator.device)
            self._tell_how_it_reads()
        told = self.context.target_shares is not None or self.config.few_shot_use != "train"
        if told or self.config.keep_class_shares:
            from nlp_adapt.training.class_shares import biased_layer

            biased_layer(self.task_model)  # now, if it has none
        fit_to_tokenizer(self.task_model, self.context.tokenizer, self.config.domain_features)
        self.stream = self.context.stream
        self._since = time.perf_counter()

    def _tell_how_it_reads(self) -> None:
        """Say of a frozen encoder, once a run, what its head reads."""
        said = getattr(self.task_model, READING, None)
        if said and self.context.main and self.name == next(iter(self.schedule.models)):
            LOGGER.warning("%s: %s", self.context.start.name, said)

    @property
    def seconds(self) -> float:
        """Time spent on it, over all interruptions."""
        return self.seconds_before + time.perf_counter() - self._since

    @property
    def title(self) -> str:
        """What the progress bar calls the model."""
        return self.context.method if self.name == ADAPTED else self.name

    @property
    def rows(self) -> Mapping[str, EncodedRows]:
        """What it trains on: the twin sees no label of the target, and no edited rows."""
        data = self.context.data
        return data.without_few_shot() if self.name == SOURCE_ONLY else data.with_copies

    @property
    def inputs(self) -> StageInputs:
        """The rows, as stages read them."""
        return StageInputs(self.context, self.rows, self.stream)

    def run(self, resume: Checkpoint | None = None, start: SharedStart | None = None) -> None:
        """Go through the stages in order, from a checkpoint or what the twin has left, if there is one."""
        stages, lengths = self.schedule.models[self.name], self.schedule.steps(self.name)
        first, earlier = 0, {}
        if resume is not None:
            first, earlier = resume.position["stage"], resume.tensors.get(EARLIER, {})
        elif start is not None:
            first, earlier = start.begin(self, lengths)
        if earlier:
            self._rebuild_earlier(stages[:first], earlier)
        self.steps = sum(lengths[:first])
        self.callbacks.begin(self, resume.position.get("callbacks") if resume else None)
        for number, stage in enumerate(stages[first:], first):
            at = resume if resume and number == first else None
            if stage.fit is not None:
                self._fit(number, stage.fit)
            else:
                unfreezes = self.config.gradual_unfreezing and number == first_task_stage(stages)
                self._train(number, stage, lengths[number], unfreezes, at)
            if number + 1 == self.shared:
                self.left = SharedStart.of(self, self.shared)
        self.callbacks.end()

    def _fit(self, number: int, kind: str) -> None:
        """A stage that fits a linear head on frozen features."""
        pad_id, precision = self.context.pad_id, precision_of(self.accelerator)
        fit_head(kind, self.task_model, self.rows, pad_id=pad_id, precision=precision)
        self.log.write_for(0, model=self.name, stage=number + 1, step=0, fit=kind)

    def _train(
        self, number: int, stage: Stage, steps: int, unfreezes: bool, resume: Checkpoint | None
    ) -> None:
        """A stage of gradient steps."""
        loop = self._loop(number, stage, steps, unfreezes)
        model = loop.model
        if resume is not None:
            restore_stage(self, loop, resume)
        # Only now, since a checkpoint brings the weights that the states come from.
        model.cached = self.inputs.cached_trunk(model, stage)
        self.known_rows = model.cached.scored if model.cached is not None else None
        if model.cached is not None:
            loop.batches = self._batches(model, steps, number)
        said = f"{self.title} (stage {number + 1})" if number else self.title
        self.log.start_stage(said, steps, loop.step, loop.before, model=self.name, stage=number + 1)
        if resume is not None:
            self.log.restore(resume.position.get("log"))
        with closing(self.log), naming_lost_processes(lambda: f" after step {loop.step}"):
            loop.ended = self.callbacks.begin_stage(loop, resumed=resume is not None)
            if self.config.eval_on_start and loop.before == loop.step == 0:
                self._evaluate(loop, keep=False)
            self.callbacks.before_step(loop)
            for _ in loop.steps():
                self.steps += 1
                self._after_step(loop)
                self.callbacks.before_step(loop)
        if loop.unfreezing is not None:
            loop.unfreezing.finish()
        self.task_model = model.task_model
        self.objectives.update(model.objectives.items())
        loop.release()

    def _loop(self, number: int, stage: Stage, steps: int, unfreezes: bool) -> StageLoop:
        # Before the objectives copy the model: a teacher must run as it would in a resumed run.
        prepare_encoder(self.task_model, self.config, stage.objectives, self.accelerator.device)
        model = self.build_stage(stage, self.schedule.models[self.name][:number])
        loop = StageLoop(
            accelerator=self.accelerator,
            model=model,
            batches=self._batches(model, steps, number),
            config=self.config,
            learning_rate=stage.learning_rate or self.config.learning_rate,
            log=self.log,
            number=number,
            ledger=self.ledger,
            stop=self.stop,
            optimizers=self.context.optimizers,
            before=sum(self.schedule.steps(self.name)[:number]),
            epoch_steps=len(self.rows["source"]) / self.context.global_batch,
        )
        seed_process(self.config.seed, number, self.accelerator.process_index)
        kind = GradualUnfreezing if unfreezes else HeadsFirst
        if unfreezes or any(one.begins_anew for one in model.objectives.values()):
            several = self.accelerator.num_processes > 1
            loop.unfreezing = kind(loop.trained.task_model, steps, distributed=several)
        return loop

    def _batches(self, model: AdaptationModel, steps: int, number: int) -> PairedBatches:
        """Of a stage, which goes on with the pass over the source that the one before began."""
        passed = self.schedule.steps_on_source(self.name, number)
        return self.inputs.paired_batches(model, steps, number, passed)

    def _after_step(self, loop: StageLoop) -> None:
        """Score and save what is due, and leave if a signal came."""
        due = self.callbacks.after_step(loop, self.schedule.due(loop.step, loop.total_steps))
        if due.log:
            self.log.flush(loop.step)
        if due.evaluate:
            self._evaluate(loop)
        loop.ended = self.callbacks.stop(loop)
        if due.save or loop.ended or loop.stopping:
            self._save(loop)
        if loop.stopping:
            raise self.stop.stopped(self.log.total_steps)

    def _evaluate(self, loop: StageLoop, *, keep: bool = True) -> None:
        """Score the weights that the stage would end with now, and keep them if they are best."""
        with loop.averaged(), self.scoring():
            model = loop.model.task_model
            scores = self.context.scorer.validation(model, precision_of(self.accelerator))
            if self.best is not None and keep:
                self.best.consider(model, scores, self.log.total_steps)
        if scores:
            self.log.write(step=loop.step, **scores)
            self.callbacks.evaluated(scores)

    def _save(self, loop: StageLoop) -> None:
        """Save a checkpoint; every process contributes, and the main one writes."""
        position, tensors = stage_state(self, loop)
        if self.checkpoints is not None and self.context.main:
            self.checkpoints.save(self.log.total_steps, position, tensors)
        self.accelerator.wait_for_everyone()
        self.callbacks.after_save()

    def scoring(self) -> AbstractContextManager[None]:
        """Inside, the model reads only rows that the run scores, from their states if it can."""
        return nullcontext() if self.known_rows is None else self.known_rows.used()

    def build_stage(self, stage: Stage, before: Sequence[Stage] = ()) -> AdaptationModel:
        """The stage's module: objectives that a stage `before` trained go on where it left off.

        One whose options changed so much that its tensors are others starts anew.
        """
        held = self.config.freeze if stage.freeze is None else stage.freeze
        frozen = freeze(self.task_model, held)
        reader, setup = self._reader_and_setup()
        objectives = {}
        for name, options in stage.objectives.items():
            objective, key = build_objective(name, options, setup), module_name(name)
            earlier, saved = self.objectives.get(key), self.context.start.objectives.get(key)
            known = take_over(objective, earlier, saved)
            # In a stage that is resumed, a checkpoint brings what it had taken over.
            known = known or any(name in one.objectives for one in before)
            objective.begins_anew = objective.begins_anew and not known
            objective.start(self.task_model)
            objectives[key] = objective
        if not any(objective.trains_task_head for objective in objectives.values()):
            freeze_head(self.task_model)
        return AdaptationModel(self.task_model, reader, objectives, frozen)

    def _rebuild_earlier(self, stages: list[Stage], saved: Mapping[str, Tensor]) -> None:
        """Objectives of finished stages as they were, for later stages and the end of the run."""
        named = {
            module_name(name): (name, options)
            for stage in stages
            for name, options in stage.objectives.items()
        }
        reader, setup = self._reader_and_setup()
        with torch.random.fork_rng():  # building draws weights, which are then replaced
            for name, own in nested(saved).items():
                objective = build_objective(*named[name], setup)
                objective.load_state_dict(own)
                self.objectives[name] = objective.to(self.accelerator.device)
        reader.remove()

    def _reader_and_setup(self) -> tuple[UnitReader, Setup]:
        own = self.config.domain_features, self.context.task.outside, self.config.domain_words
        reader = UnitReader(self.task_model, *own)
        twin = self.name == ADAPTED and SOURCE_ONLY in self.schedule.models
        return reader, setup_for(self.context, self.task_model, reader, self.rows, has_twin=twin)
