"""Training one model through the stages of a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.mixing import domain_ids, label_counts
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.freezing import freeze, freeze_head
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import AuxiliarySpec, Objective, Setup, build_objective, objective_class
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.encoder_modes import prepare_encoder
from nlp_adapt.training.frozen.known_rows import KnownRows
from nlp_adapt.training.frozen.shallow import check_fit, fit_head
from nlp_adapt.training.inputs.stream import TargetStream
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.saving.continuing import continue_objective, take_over
from nlp_adapt.training.saving.ledger import SampleLedger
from nlp_adapt.training.saving.random_state import seed_process
from nlp_adapt.training.saving.saved_state import EARLIER, restore_stage, save_stage
from nlp_adapt.training.saving.signals import StopRequest
from nlp_adapt.training.stage_inputs import StageInputs
from nlp_adapt.training.unfreezing import GradualUnfreezing


@dataclass
class StagedTraining:
    """Trains a task model through stages; one per model of a run.

    Args:
        name: Which model of the run this is: `source_only` or `adapted`.
        title: What the progress bar calls it.
        accelerator: The `accelerate.Accelerator` of the run.
        config: The run's options.
        task_model: The plain task model, trained in place.
        tokenizer: Its tokenizer.
        rows: Training rows by side: `source`, `target`, and `few_shot` where there are any.
        outside: Index of the label `O`, in token classification.
        log: Where measurements go.
        checkpoints: Where to save; None on all but the main process.
        evaluate: Called with the task model and the run's step at each evaluation; returns numbers
            to log.
        stop: Says whether the run was asked to stop; it then saves and raises `RunStopped`.
        fingerprint: What a run that continues this one must share with it.
        ledger: Running hash of the rows used.
        stream: The target as a stream; `rows` then hold a sample of it.
        saved_objectives: States of objectives that an earlier run ended with, to continue from.
        twin_of: The stages of the adapted model, if this is its source-only twin.
        epoch_rows: Source rows in an epoch; default: all of `rows`. The twin has as many steps as
            the adapted model, though it sees no edited copies.
        auxiliary: The auxiliary tasks of the run.
        scored_rows: What `evaluate` reads, and later tests: kept as states if the encoder is frozen.
    """

    name: str
    title: str
    accelerator: Any
    config: AdaptationConfig
    task_model: Any
    tokenizer: Any
    rows: Mapping[str, EncodedRows]
    outside: int | None
    log: RunLog
    checkpoints: CheckpointFolder | None
    evaluate: Callable[[Any, int], dict[str, float]] = lambda model, step: {}
    stop: StopRequest = field(default_factory=StopRequest)
    fingerprint: dict[str, str] = field(default_factory=dict)
    ledger: SampleLedger = field(default_factory=SampleLedger)
    stream: TargetStream | None = None
    saved_objectives: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    epoch_rows: int | None = None
    twin_of: list[Stage] | None = None
    auxiliary: Sequence[AuxiliarySpec] = ()
    scored_rows: Sequence[EncodedRows] = ()
    known_rows: KnownRows | None = None
    objectives: dict[str, Objective] = field(default_factory=dict)
    steps: int = 0
    unfreezing_stage: int = 0

    def run(self, stages: list[Stage], resume: Checkpoint | None = None) -> None:
        """Go through the stages in order, from a checkpoint if there is one."""
        lengths = self.stage_steps(stages)
        self.unfreezing_stage = first_task_stage(stages)
        first = resume.position["stage"] if resume else 0
        self.steps = sum(lengths[:first])
        if resume is not None:
            self._rebuild_earlier(stages[:first], resume.tensors.get(EARLIER, {}))
        for number in range(first, len(stages)):
            at = resume if resume and number == first else None
            self._run_stage(number, stages[number], lengths[number], at)

    def stage_steps(self, stages: list[Stage]) -> list[int]:
        """Optimizer steps of each stage that this model goes through."""
        if self.twin_of is not None:
            return [self.twin_steps(self.twin_of)]
        return self.lengths(stages)

    def twin_steps(self, stages: list[Stage]) -> int:
        """Optimizer steps of the twin of a model with these stages.

        It trains as long as the model does from the first stage that trains the task: as many labels
        are read, and what is learnt from text alone comes on top.
        """
        return sum(self.lengths(stages)[first_task_stage(stages) :])

    def lengths(self, stages: list[Stage]) -> list[int]:
        """Optimizer steps of each of some stages.

        `max_steps`, where set, is the total, shared out in proportion to the stages' own lengths; a
        stage has one step at least.
        """
        per_epoch = self._epoch_rows / self.global_batch
        lengths = []
        for stage in stages:
            epochs = self.config.num_train_epochs if stage.epochs is None else stage.epochs
            steps = stage.steps or max(1, math.ceil(epochs * per_epoch))
            lengths.append(0 if stage.fit is not None else steps)
        if self.config.max_steps > 0 and any(lengths):
            edges = np.cumsum(lengths) / sum(lengths) * self.config.max_steps
            shared = np.diff(np.round(edges), prepend=0).astype(int)
            lengths = [
                max(1, int(steps)) if own else 0 for steps, own in zip(shared, lengths, strict=True)
            ]
        return lengths

    @property
    def _epoch_rows(self) -> int:
        return self.epoch_rows or len(self.rows["source"])

    @property
    def inputs(self) -> StageInputs:
        """The rows, as stages read them."""
        return StageInputs(
            accelerator=self.accelerator,
            config=self.config,
            pad_id=self.tokenizer.pad_token_id or 0,
            rows=self.rows,
            stream=self.stream,
            auxiliary=self.auxiliary,
            scored_rows=self.scored_rows,
        )

    @property
    def global_batch(self) -> int:
        """Rows per domain in one optimizer step, over all processes and micro-batches."""
        config = self.config
        return (
            config.per_device_train_batch_size
            * config.gradient_accumulation_steps
            * self.accelerator.num_processes
        )

    def _run_stage(self, number: int, stage: Stage, steps: int, resume: Checkpoint | None) -> None:
        if stage.fit is not None:
            fit_head(
                stage.fit,
                self.task_model,
                self.rows,
                pad_id=self.inputs.pad_id,
                precision=precision_of(self.accelerator),
                seed=self.config.seed,
            )
            self.log.start_stage(self.title, 0, model=self.name, stage=number + 1)
            self.log.write(step=0, fit=stage.fit)
            self.log.end_stage()
            return
        # Before the objectives copy the model: a teacher must run as it would in a resumed run.
        device = self.accelerator.device
        prepare_encoder(self.task_model, self.config, stage.objectives, device)
        model = self.build_stage(stage)
        batches = self.inputs.paired_batches(model, steps, self.config.seed + number)
        loop = StageLoop(
            accelerator=self.accelerator,
            model=model,
            batches=batches,
            config=self.config,
            learning_rate=stage.learning_rate or self.config.learning_rate,
            log=self.log,
        )
        loop.on_step = lambda step: self._after_step(number, loop)
        loop.on_attempt = lambda attempt, rows: self.ledger.add(number, attempt, rows)
        loop.stop_wanted = lambda: self.stop.received is not None
        seed_process(self.config.seed, number, self.accelerator.process_index)
        if self.config.gradual_unfreezing and number == self.unfreezing_stage:
            loop.unfreezing = GradualUnfreezing(
                loop.trained.task_model, steps, distributed=self.accelerator.num_processes > 1
            )
        if resume is not None:
            restore_stage(self, loop, resume)
        # The trunk of a sharded model is no trunk that one process could run.
        model.cached = None if loop.sharded else self.inputs.cached_trunk(model, stage)
        self.known_rows = model.cached.scored if model.cached is not None else None
        if model.cached is not None:
            loop.batches = self.inputs.paired_batches(model, steps, self.config.seed + number)
        label = self.title if number == 0 else f"{self.title} (stage {number + 1})"
        self.log.start_stage(label, steps, done=loop.step, model=self.name, stage=number + 1)
        loop.run()
        if loop.unfreezing is not None:
            loop.unfreezing.finish()
        self.log.end_stage()
        self.task_model = model.task_model
        self.objectives.update(model.objectives.items())
        loop.release()

    def _rebuild_earlier(self, stages: list[Stage], saved: Mapping[str, Tensor]) -> None:
        """Objectives of finished stages as they were, for later stages and the end of the run."""
        options = {name: own for stage in stages for name, own in stage.objectives.items()}
        state: dict[str, dict[str, Tensor]] = {}
        for key, value in saved.items():
            name, _, rest = key.partition(".")
            state.setdefault(name, {})[rest] = value
        reader = self._reader()
        with torch.random.fork_rng():  # building draws weights, which are then replaced
            for name, own in state.items():
                objective = build_objective(name, options[name], self._setup(reader))
                objective.load_state_dict(own)
                self.objectives[name] = objective.to(self.accelerator.device)
        reader.remove()

    def _reader(self) -> UnitReader:
        config = self.config
        return UnitReader(
            self.task_model, config.domain_features, self.outside, config.domain_words
        )

    def build_stage(self, stage: Stage) -> AdaptationModel:
        """The stage's module: objectives that an earlier stage trained go on where it left off.

        One whose options changed so much that its tensors are others starts anew.
        """
        frozen = freeze(
            self.task_model, self.config.freeze if stage.freeze is None else stage.freeze
        )
        reader = self._reader()
        setup = self._setup(reader)
        objectives = {}
        for name, options in stage.objectives.items():
            objective = build_objective(name, options, setup)
            earlier = self.objectives.get(name)
            if earlier is not None:
                take_over(objective, earlier)
            else:
                continue_objective(objective, self.saved_objectives.get(name))
            objectives[name] = objective
        if not any(objective.trains_task_head for objective in objectives.values()):
            freeze_head(self.task_model)
        return AdaptationModel(self.task_model, reader, objectives, frozen)

    def scoring(self) -> AbstractContextManager[None]:
        """Inside, the model reads no other rows than `scored_rows`, from their states if it can."""
        return nullcontext() if self.known_rows is None else self.known_rows.used()

    def _setup(self, reader: UnitReader) -> Setup:
        num_labels = self.task_model.config.num_labels
        sources = domain_ids(self.rows["source"])
        targets = domain_ids(self.rows["target"]) if "target" in self.rows else sources[:1]
        counts = label_counts(self.rows["source"], num_labels)
        return Setup(
            features=reader.width(self.task_model),
            num_labels=num_labels,
            num_sources=len(sources),
            num_targets=len(targets),
            label_counts=torch.from_numpy(counts.sum(0)),
            source_label_counts=torch.from_numpy(counts),
            task_model=self.task_model,
            tokenizer=self.tokenizer,
            defaults=self.config.to_dict(),
            token_level=self.outside is not None,
            tokens={side: (rows.ids, rows.offsets) for side, rows in self.rows.items()},
            auxiliary=tuple(self.auxiliary),
        )

    def _after_step(self, number: int, loop: StageLoop) -> bool:
        self.steps += 1
        epoch_steps = max(1, math.ceil(self._epoch_rows / self.global_batch))
        last = loop.step == loop.batches.total_steps
        evaluation = self.config.eval_strategy
        due = _due(evaluation, self.config.eval_steps, epoch_steps, loop)
        if due or (last and evaluation != "no"):
            with loop.averaged():
                scores = self.evaluate(loop.model.task_model, self.log.total_steps)
            if scores:
                self.log.write(step=loop.step, **scores)
        if _due(self.config.save_strategy, self.config.save_steps, epoch_steps, loop):
            save_stage(self, number, loop)
        if loop.stopping:
            save_stage(self, number, loop)
            raise self.stop.stopped(self.log.total_steps)
        return False


def needs_target(stages: list[Stage]) -> bool:
    """Whether any objective of any stage reads target rows.

    Raises:
        ConfigError: If an objective or one of its options is unknown.
    """
    for stage in stages:
        if stage.fit is not None:
            check_fit(stage.fit)
    return any(
        "target" in objective_class(name).sides(objective_class(name).read_options(name, options))
        for stage in stages
        for name, options in stage.objectives.items()
    ) or any(stage.fit not in (None, "logistic_regression") for stage in stages)


def copies_of_model(stage: Stage) -> int:
    """Copies of the task model that the stage's objectives hold."""
    return sum(objective_class(name).copies_model for name in stage.objectives)


def first_task_stage(stages: list[Stage]) -> int:
    """The first stage that trains the task head, in which gradual unfreezing takes place."""
    for number, stage in enumerate(stages):
        if any(objective_class(name).trains_task_head for name in stage.objectives):
            return number
    return 0


def _due(strategy: str, every: int, epoch_steps: int, loop: StageLoop) -> bool:
    if strategy == "no":
        return False
    period = every if strategy == "steps" else epoch_steps
    return loop.step % period == 0 or (
        strategy == "epoch" and loop.step == loop.batches.total_steps
    )
