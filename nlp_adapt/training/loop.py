"""One stage of training: the loop over optimizer steps, on Accelerate."""

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.errors import RunError
from nlp_adapt.modeling.cpu import training_step
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.training.accelerator import any_process, from_every_process, mean_of_logs
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.optimization import (
    GradualUnfreezing,
    WeightAverage,
    build_optimizer,
    build_scheduler,
)
from nlp_adapt.training.saving.resume import SampleLedger
from nlp_adapt.training.saving.signals import StopRequest
from nlp_adapt.training.sharding import ShardedModel, WholeModel, requested_sharding, whole_tensor
from nlp_adapt.training.trainer_api.optimizers import Factories

MOST_SKIPPED_STEPS = 5
MOST_NAMED_ROWS = 4


@dataclass
class StageLoop:
    """Runs a stage: batches, one forward, losses, step.

    The forward, the backward and every collective go through the one wrapped module. Schedules
    count applied steps: a step that is skipped (non-finite gradients, fp16 overflow) is repeated
    with the next batch and does not advance them.

    Args:
        model: The stage's model; trained in place, or in shards (see `trained`) and put together
            inside `averaged` and at the end.
        unfreezing: Which layers train at which step, if not the same throughout.
        optimizers: A user's functions that make the optimizer and the schedule, or None.
        before: Steps of the model's earlier stages.
        epoch_steps: Steps of one pass over the source.
        ended: Whether the stage is over before its last step.
        norm: Of the gradients of the last applied step, before they were clipped.
    """

    accelerator: Any
    model: AdaptationModel
    batches: PairedBatches
    config: AdaptationConfig
    learning_rate: float
    log: RunLog
    number: int = 0
    ledger: SampleLedger = field(default_factory=SampleLedger)
    stop: StopRequest = field(default_factory=StopRequest)
    unfreezing: GradualUnfreezing | None = None
    optimizers: Factories = (None, None)
    before: int = 0
    epoch_steps: float = 1.0
    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    stopping: bool = False
    ended: bool = False
    norm: Tensor = field(default_factory=lambda: torch.tensor(0.0))

    def __post_init__(self) -> None:
        sharding = requested_sharding(self.config)
        self._held = (
            WholeModel(self.model, self.accelerator)
            if sharding is None
            else ShardedModel(self.model, self.accelerator, sharding)
        )
        self.trained = self._held.trained
        make_optimizer, make_scheduler = self.optimizers
        optimizer = build_optimizer(self.trained, self.config, self.learning_rate, make_optimizer)
        schedule = make_scheduler or partial(build_scheduler, config=self.config)
        self.scheduler = schedule(optimizer, steps=self.total_steps)
        self._trainable = [one for group in optimizer.param_groups for one in group["params"]]
        self.optimizer = self.accelerator.prepare(optimizer)
        self.wrapped = self._held.wrapped()
        decay = self.config.ema_decay
        self.average = WeightAverage(self.trained.task_model, decay) if decay else None

    @property
    def total_steps(self) -> int:
        """Steps of the stage."""
        return self.batches.total_steps

    @property
    def is_over(self) -> bool:
        """Whether no step follows."""
        return self.ended or self.step >= self.total_steps

    def steps(self) -> Iterator[int]:
        """Train from the current step to the end of the stage, whose weights the model then has.

        Yields:
            The number of each applied step, right after it.

        Raises:
            RunError: If several steps in a row give non-finite gradients.
        """
        self.wrapped.train()
        while not self.is_over:
            started = time.perf_counter()
            # A skipped step is tried again with the rows of the next one: it never blocks the run.
            # Past the last step, the stage begins its rows anew.
            attempt = self.step + self.skipped
            batches = self.batches.step(attempt % self.total_steps)
            rows = self.batches.row_ids(attempt % self.total_steps)
            self.ledger.add(self.number, attempt, rows)
            waited = time.perf_counter() - started
            terms = self._forward_backward(batches)
            rate = self.scheduler.get_last_lr()[0]
            if not self._apply():
                self._skip(rows, terms)
                continue
            self.skipped_in_a_row = 0
            self.step += 1
            terms["grad_norm"] = self.norm
            if self.average is not None:
                self.average.update(self.step)
            for objective in self.trained.objectives.values():
                objective.after_step(self.trained.task_model, self._progress())
            self.log.step(
                self.step,
                terms,
                at={"learning_rate": rate, "epoch": self._epoch()},
                tokens=sum(int(batch["attention_mask"].sum()) for batch in batches),
                padded=sum(count * width for batch in batches for count, width in batch["passes"]),
                data_seconds=waited,
            )
            yield self.step
        if self.average is not None:
            self.average.take_over()
        self._held.finish()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the task model has the weights that the stage would end with now."""
        average = nullcontext() if self.average is None else self.average.in_place()
        with average, self._held.scored():
            yield

    @property
    def plain_optimizer(self) -> torch.optim.Optimizer:
        """The torch optimizer inside Accelerate's wrapper."""
        return self.optimizer.optimizer

    def fast_forward_schedule(self, steps: int) -> None:
        """Bring the learning rates to where they stand after `steps` applied steps.

        Each step is taken again: many schedules of torch derive a rate from the one before.
        """
        with warnings.catch_warnings():
            # The optimizer's steps were taken before the interruption, which torch cannot know.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(steps):
                self.scheduler.step()

    def release(self) -> None:
        """Let Accelerate forget this stage's model and optimizer, so that the next can follow."""
        self.accelerator.free_memory()

    def _progress(self) -> Progress:
        return Progress(self.step, self.total_steps)

    def _epoch(self) -> float:
        """Passes over the source since the model's first stage."""
        return round((self.before + self.step) / self.epoch_steps, 4)

    def _forward_backward(self, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
        progress = self._progress()
        if self.unfreezing is not None:
            self.unfreezing.before(self.step)
        self._held.before_step()
        totals: dict[str, Tensor] = {}
        device = self.accelerator.device
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            sync = nullcontext() if last else self.accelerator.no_sync(self.wrapped)
            with sync, training_step(self.trained.task_model, batch["passes"], self.config, device):
                terms = self.wrapped(_to_device(batch, device), progress)
                self.accelerator.backward(terms["loss"] / len(batches))
            for name, value in terms.items():
                share = value.detach() / len(batches)
                totals[name] = totals[name] + share if name in totals else share
        if self.unfreezing is not None:
            self.unfreezing.after_backward()
        return totals

    def _apply(self) -> bool:
        """Clip and step; False if the gradients are not finite, and then nothing has changed."""
        limit = self.config.max_grad_norm or float("inf")
        norm = whole_tensor(self.accelerator.clip_grad_norm_(self._trainable, limit))
        broken = self.accelerator.scaler is None and not bool(torch.isfinite(norm))
        # One message serves both questions: every process must skip, and stop, at the same step.
        broken, self.stopping = any_process(
            self.accelerator, broken, self.stop.received is not None
        )
        if broken:
            self.optimizer.zero_grad()
            return False
        self.norm = norm.detach()
        scaler = self.accelerator.scaler
        scale = 0.0 if scaler is None else scaler.get_scale()
        self.optimizer.step()
        # Accelerate does not notice that the scaler skips the step of a fused optimizer.
        applied = scaler is None or scaler.get_scale() >= scale
        self.optimizer.zero_grad()
        if applied:
            self.scheduler.step()
        return applied

    def _skip(self, rows: Mapping[str, Any], terms: dict[str, Tensor]) -> None:
        """Count a skipped step, log its rows and losses, and give up after too many in a row."""
        self.skipped += 1
        self.skipped_in_a_row += 1
        own = {name: float(value) for name, value in terms.items() if "/" not in name}
        losses = mean_of_logs(from_every_process(self.accelerator, own))
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        self.log.write(
            step=self.step,
            skipped=True,
            non_finite=bad,
            # JSON has no number for inf and nan.
            terms={name: str(x) if name in bad else x for name, x in losses.items()},
            rows={side: np.asarray(chosen).tolist() for side, chosen in rows.items()},
        )
        if self.skipped_in_a_row >= MOST_SKIPPED_STEPS:
            named = f" ({', '.join(bad)} not finite)" if bad else ""
            raise RunError(
                f"{self.skipped_in_a_row} steps in a row had non-finite gradients after step "
                f"{self.step}{named}, the last with {_listed(rows)}; lower learning_rate, or set "
                "precision to fp32."
            )


def _listed(rows: Mapping[str, Any]) -> str:
    """The first few row numbers of each side, such as `source rows 3, 9 and target rows 1, 4`."""
    parts = []
    for side, chosen in rows.items():
        first = ", ".join(map(str, chosen[:MOST_NAMED_ROWS]))
        more = ", ..." if len(chosen) > MOST_NAMED_ROWS else ""
        parts.append(f"{side} rows {first}{more}")
    return " and ".join(parts)


def _to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: torch.from_numpy(value).to(device, non_blocking=True)
        if hasattr(value, "dtype")
        else value
        for name, value in batch.items()
    }
