"""Cross-entropy on the labelled source units: the term that every method shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import option
from nlp_adapt.modeling.outputs import IGNORED_LABEL, DomainOutput, Progress
from nlp_adapt.objectives.base import SOURCE_SIDE, Objective, ObjectiveConfig


@dataclass(kw_only=True)
class TaskLossConfig(ObjectiveConfig):
    """Options of the task loss."""

    label_smoothing: float | None = option(
        None, "share of probability spread over all classes; default: label_smoothing_factor"
    )


class TaskLoss(Objective):
    """Mean cross-entropy over labelled source units; exactly zero where there are none."""

    config_class: ClassVar = TaskLossConfig
    reads: ClassVar[frozenset[str]] = SOURCE_SIDE
    trains_task_head: ClassVar[bool] = True
    summary: ClassVar[str] = "cross-entropy on the labelled source rows"

    def losses(
        self, source: DomainOutput, target: DomainOutput, progress: Progress
    ) -> dict[str, Tensor]:
        """`task`, and the training accuracy `task/accuracy`."""
        logits = source.logits.float()
        smoothing = self.config.label_smoothing
        if smoothing is None:
            smoothing = float(self.setup_defaults.get("label_smoothing_factor", 0.0))
        total = F.cross_entropy(
            logits, source.labels, ignore_index=IGNORED_LABEL, label_smoothing=smoothing,
            reduction="sum",
        )  # fmt: skip
        known = source.labels != IGNORED_LABEL
        with torch.no_grad():
            hits = (logits.argmax(-1) == source.labels) & known
            accuracy = hits.sum() / known.sum().clamp_min(1)
        return {"task": total / max(source.labelled, 1e-12), "task/accuracy": accuracy}
