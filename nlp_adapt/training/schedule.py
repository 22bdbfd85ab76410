"""What each stage of a model is: how long it trains, when it is scored and saved, and what it reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.cpu import wants_passes
from nlp_adapt.objectives import objective_class, sides_read
from nlp_adapt.prediction.likeness import domain_samples
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.frozen.feature_cache import CachedTrunk, cached_trunk
from nlp_adapt.training.frozen.shallow import check_fit
from nlp_adapt.training.inputs.stream import TargetStream
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.sharding import requested_sharding

SOURCE_ONLY = "source_only"
ADAPTED = "adapted"


class Due(NamedTuple):
    """What is to be done after a step."""

    evaluate: bool
    save: bool
    log: bool = False  # a line beside those that come every few steps


@dataclass(frozen=True)
class Schedule:
    """The steps of both models of a run.

    Attributes:
        epoch_rows: Source rows in an epoch of the adapted model, edited copies included; the twin
            has as many steps, though it sees no copies.
        global_batch: Rows per domain in one step, over all processes and micro-batches.
        target_rows: Target rows in an epoch of a stage that models the target's language; None
            where nobody knows how many there are, as in a stream: such epochs count source rows.
    """

    config: AdaptationConfig
    stages: Sequence[Stage]
    epoch_rows: int
    global_batch: int
    target_rows: int | None = None

    @classmethod
    def of(cls, context: RunContext) -> "Schedule":
        """That of a run."""
        rows = context.data.with_copies
        known = "target" in rows and context.inputs.stream is None
        return cls(
            context.config,
            context.stages,
            len(rows["source"]),
            context.global_batch,
            len(rows["target"]) if known else None,
        )

    @property
    def models(self) -> dict[str, list[Stage]]:
        """The stages of each model, in the order in which they train."""
        models = {ADAPTED: list(self.stages)}
        if self.config.compare_source_only:
            twin = [without_adaptation(stage) for stage in self.stages[self._twin_starts :]]
            models = {SOURCE_ONLY: twin, **models}
        return models

    @property
    def _twin_starts(self) -> int:
        """The first stage that learns labels: what text alone teaches the adapted model comes on top."""
        fits = [number for number, stage in enumerate(self.stages) if stage.fit is not None]
        return min([first_task_stage(self.stages), *fits])

    @property
    def epoch_steps(self) -> int:
        """Steps of one pass over the source."""
        return max(1, math.ceil(self.epoch_rows / self.global_batch))

    def steps(self, name: str) -> list[int]:
        """Optimizer steps of each stage of a model; the twin's are as long as the method's."""
        lengths = self._steps(self.stages)
        return lengths[self._twin_starts :] if name == SOURCE_ONLY else lengths

    def steps_on_source(self, name: str, number: int) -> int:
        """Steps that the stages of a model before the stage `number` read the source for."""
        before = zip(self.models[name][:number], self.steps(name), strict=False)
        return sum(steps for stage, steps in before if "source" in sides_read([stage]))

    def _steps(self, stages: Sequence[Stage]) -> list[int]:
        """Of some stages.

        `max_steps`, where set, is the total, shared out in proportion to the stages' own lengths; a
        stage has one step at least.
        """
        lengths = []
        for stage in stages:
            epochs = self.config.num_train_epochs if stage.epochs is None else stage.epochs
            rows = self.target_rows if models_target_text(stage) else None
            rows = self.epoch_rows if rows is None else rows
            steps = stage.steps or max(1, math.ceil(epochs * rows / self.global_batch))
            lengths.append(0 if stage.fit is not None else steps)
        if self.config.max_steps > 0 and any(lengths):
            edges = np.cumsum(lengths) / sum(lengths) * self.config.max_steps
            shared = np.diff(np.round(edges), prepend=0).astype(int)
            lengths = [
                max(1, int(steps)) if own else 0 for steps, own in zip(shared, lengths, strict=True)
            ]
        return lengths

    @property
    def log_every(self) -> float:
        """Steps between lines of the log, or a share of a stage's; 0 for a stage's last one alone."""
        strategy = self.config.logging_strategy
        every = {"no": 0, "steps": self.config.logging_steps, "epoch": self.epoch_steps}
        return every[strategy]

    def due(self, step: int, last: int) -> Due:
        """What is due after a step of a stage."""
        return Due(self.evaluates_after(step, last), self.saves_after(step, last))

    def evaluates_after(self, step: int, last: int) -> bool:
        """Whether the model is scored after a step of a stage; after its last one always."""
        strategy = self.config.eval_strategy
        ends = step == last and strategy != "no"
        return ends or self._due(strategy, self.config.eval_steps, step, last)

    def saves_after(self, step: int, last: int) -> bool:
        """Whether a checkpoint is saved after a step of a stage; after its last one always.

        What comes after training, scores above all, takes a while, and may be interrupted as well.
        """
        strategy = self.config.save_strategy
        ends = step == last and strategy != "no"
        return ends or self._due(strategy, self.config.save_steps, step, last)

    def _due(self, strategy: str, every: float, step: int, last: int) -> bool:
        if strategy == "no":
            return False
        period = in_steps(every, last) if strategy == "steps" else self.epoch_steps
        return step % period == 0 or (strategy == "epoch" and step == last)


def in_steps(number: float, steps: int) -> int:
    """A number of steps, or a share of them below 1, in steps; at least one."""
    return int(number) if number >= 1 else max(1, math.ceil(number * steps))


def needs_target(stages: Sequence[Stage]) -> bool:
    """Whether any objective of any stage reads target rows."""
    for stage in stages:
        if stage.fit is not None:
            check_fit(stage.fit)
    fits = [stage.fit for stage in stages]
    return "target" in sides_read(stages) or any(
        fit not in (None, "logistic_regression") for fit in fits
    )


def without_adaptation(stage: Stage) -> Stage:
    """The stage of the source-only twin: as long, with the same learning rates, for the task alone.

    A head fitted in seconds is compared with one fitted in seconds.
    """
    if stage.fit is not None:
        return Stage({}, fit="logistic_regression")
    return replace(stage, objectives={"task": stage.objectives.get("task", {})})


def models_target_text(stage: Stage) -> bool:
    """Whether a stage learns no task, and language from the target alone.

    The size of the source says nothing about it: its epochs are passes over the target.
    """
    if any(objective_class(name).trains_task_head for name in stage.objectives):
        return False
    alone = (replace(stage, objectives={name: own}) for name, own in stage.objectives.items())
    return any(sides_read([one]) == {"target"} for one in alone)


def first_task_stage(stages: Sequence[Stage]) -> int:
    """The first stage that trains the task head, in which gradual unfreezing takes place."""
    for number, stage in enumerate(stages):
        if any(objective_class(name).trains_task_head for name in stage.objectives):
            return number
    return 0


@dataclass(frozen=True)
class StageInputs:
    """The training rows of a model, as its stages read them.

    Args:
        stream: The target as a stream; `rows` then hold a sample of it.
    """

    context: RunContext
    rows: Mapping[str, EncodedRows]
    stream: TargetStream | None = None

    def of(self, model: AdaptationModel) -> dict[str, EncodedRows]:
        """Training rows of the sides that the stage's objectives read."""
        wanted = {
            side
            for objective in model.objectives.values()
            for side in objective.sides(objective.config)
        }
        # Rows of auxiliary tasks are called `auxiliary/NAME`.
        return {side: rows for side, rows in self.rows.items() if side.split("/")[0] in wanted}

    def cached_trunk(self, model: AdaptationModel, stage: Stage) -> CachedTrunk | None:
        """Rows with a frozen encoder's states; asked for once the stage's weights are in place."""
        context, config = self.context, self.context.config
        frozen = config.freeze if stage.freeze is None else stage.freeze
        if frozen != "all" or not config.cache_features or config.torch_compile or self.stream:
            return None
        if requested_sharding(config) is not None:  # one process alone cannot run a sharded trunk
            return None
        samples = domain_samples(context.data.train, config.seed)
        with context.accelerator.main_process_first():
            return cached_trunk(
                model.task_model,
                self.of(model),
                model.reader,
                model.objectives,
                pad_id=context.pad_id,
                precision=precision_of(context.accelerator),
                scored=[*context.data.scored_rows, *samples.values()],
            )

    def paired_batches(
        self, model: AdaptationModel, steps: int, number: int, passed: int = 0
    ) -> PairedBatches:
        """Paired batches of the rows that the stage `number` reads.

        Args:
            passed: Steps of earlier stages that have read the source.
        """
        config, accelerator = self.context.config, self.context.accelerator
        order = config.seed if config.data_seed is None else config.data_seed
        seed = order + number
        sides = dict(self.of(model) if model.cached is None else model.cached.rows)
        kind: type[PairedBatches] = PairedBatches
        extra: dict[str, Any] = {}
        if self.stream is not None and "target" in sides:
            kind, extra = StreamedBatches, self.stream.options(seed)
        return kind(
            sides,
            **extra,
            total_steps=steps,
            batch_size=config.per_device_train_batch_size,
            pad_id=self.context.pad_id,
            seed=seed,
            micro_batches=config.gradient_accumulation_steps,
            processes=accelerator.num_processes,
            process=accelerator.process_index,
            portions=portions(self.context),
            passed=passed,
            source_seed=order,
            # Processes gather the shards of a layer together: each must pass through it as often.
            divide=wants_passes(config, accelerator.device) and requested_sharding(config) is None,
        )


def portions(context: RunContext) -> dict[str, float]:
    """Rows of a side in a batch, as a share of the source's, where it is not 1."""
    own = {task.side: task.share for task in context.inputs.auxiliary_specs}
    return {"few_shot": context.config.few_shot_share, **own}
