"""One stage of training: the loop over optimizer steps, on Accelerate."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.pairing import PairedBatches
from nlp_adapt.errors import RunError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.training.adaptation_model import AdaptationModel
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.optimization import build_optimizer, build_scheduler

MOST_SKIPPED_STEPS = 5


@dataclass
class StageLoop:
    """Runs a stage: batches, one forward, losses, step.

    The forward, the backward and every collective go through the one wrapped module. Schedules
    count applied steps: a step that is skipped (non-finite gradients, fp16 overflow) is repeated
    with the next batch and does not advance them.

    Args:
        accelerator: The `accelerate.Accelerator` of the run.
        model: The stage's model; trained in place.
        batches: Its paired batches.
        config: The run's options.
        learning_rate: Encoder learning rate of this stage.
        log: Where measurements go.
        on_step: Called with the step number after each applied step; returns True to stop early.
    """

    accelerator: Any
    model: AdaptationModel
    batches: PairedBatches
    config: AdaptationConfig
    learning_rate: float
    log: RunLog
    on_step: Callable[[int], bool] = lambda step: False
    step: int = 0
    skipped: int = 0

    def __post_init__(self) -> None:
        optimizer = build_optimizer(self.model, self.config, self.learning_rate)
        self.scheduler = build_scheduler(optimizer, self.config, self.batches.total_steps)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)

    def run(self) -> None:
        """Train from the current step to the end of the stage.

        Raises:
            RunError: If several steps in a row give non-finite gradients.
        """
        self.wrapped.train()
        skipped_in_a_row = 0
        attempt = self.step + self.skipped
        while self.step < self.batches.total_steps:
            started = time.perf_counter()
            batches = self.batches.step(attempt % self.batches.total_steps)
            data_seconds = time.perf_counter() - started
            attempt += 1
            terms = self._forward_backward(batches)
            if not self._apply():
                skipped_in_a_row += 1
                self.skipped += 1
                self._report_skip(terms, skipped_in_a_row)
                continue
            skipped_in_a_row = 0
            self.step += 1
            progress = self._progress()
            for objective in self.model.objectives.values():
                objective.after_step(self.model.task_model, progress)
            self.log.step(
                self.step,
                terms,
                tokens=sum(int(batch["attention_mask"].sum()) for batch in batches),
                padded=sum(batch["attention_mask"].size for batch in batches),
                data_seconds=data_seconds,
            )
            if self.on_step(self.step):
                break

    @property
    def plain_optimizer(self) -> torch.optim.Optimizer:
        """The torch optimizer inside Accelerate's wrapper."""
        return self.optimizer.optimizer

    def fast_forward_schedule(self, steps: int) -> None:
        """Bring the learning rates to where they stand after `steps` applied steps."""
        self.scheduler.last_epoch = steps - 1
        with warnings.catch_warnings():
            # The optimizer's steps were taken before the interruption, which torch cannot know.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self.scheduler.step()

    def release(self) -> None:
        """Let Accelerate forget this stage's model and optimizer, so that the next can follow."""
        self.accelerator.free_memory()

    def _progress(self) -> Progress:
        return Progress(self.step, self.batches.total_steps)

    def _forward_backward(self, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
        progress = self._progress()
        totals: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                terms = self.wrapped(_to_device(batch, self.accelerator.device), progress)
                self.accelerator.backward(terms["loss"] / len(batches))
            for name, value in terms.items():
                share = value.detach() / len(batches)
                totals[name] = totals[name] + share if name in totals else share
        return totals

    def _apply(self) -> bool:
        """Clip and step; False if the gradients are not finite, and then nothing has changed."""
        limit = self.config.max_grad_norm or float("inf")
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), limit)
        if self.accelerator.scaler is None and not bool(torch.isfinite(norm)):
            self.optimizer.zero_grad()
            return False
        self.optimizer.step()
        applied = not self.optimizer.step_was_skipped
        self.optimizer.zero_grad()
        if applied:
            self.scheduler.step()
        return applied

    def _report_skip(self, terms: dict[str, Tensor], in_a_row: int) -> None:
        losses = {name: float(value) for name, value in terms.items() if "/" not in name}
        bad = [
            name for name, value in losses.items() if value != value or abs(value) == float("inf")
        ]
        self.log.write(step=self.step, skipped=True, non_finite=bad)
        if in_a_row >= MOST_SKIPPED_STEPS:
            named = f" ({', '.join(bad)} not finite)" if bad else ""
            raise RunError(
                f"{in_a_row} steps in a row had non-finite gradients after step {self.step}{named}; "
                "lower learning_rate, or set precision to fp32."
            )


def _to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: torch.from_numpy(value).to(device, non_blocking=True)
        if hasattr(value, "dtype")
        else value
        for name, value in batch.items()
    }
