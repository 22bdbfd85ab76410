"""How well the heads of auxiliary tasks do on rows that were held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import (
    EncodedRows,
    budget_batches,
    collate,
    steady_widths,
    to_tensors,
    width_for,
)
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.perturbation import without_dropout
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.auxiliary import Auxiliary
from nlp_adapt.objectives.base import Objective, StepView

TOKENS_PER_BATCH = 4096


@torch.no_grad()
def score_auxiliary(
    objective: Objective | None,
    task_model: Any,
    held_out: Mapping[str, EncodedRows],
    *,
    domain_features: str,
    pad_id: int,
    batch_size: int,
) -> dict[str, dict[str, float]]:
    """Accuracy of each task's head on its held-out rows, in float32.

    Args:
        objective: The heads (`Auxiliary`), as trained; None where no stage had any.
        task_model: The model that was trained with them.
        held_out: Rows by task; a task without any has no score.
        domain_features: The run's option, which says what heads read.
        pad_id: Token id of padding.
        batch_size: Rows per batch.

    Returns:
        For each task `accuracy`, `largest_class`, what always saying the most frequent class would
        give, and `count`, the labelled rows (or words) that were scored.
    """
    if not isinstance(objective, Auxiliary) or not held_out:
        return {}
    was_training = objective.training
    objective.eval()
    reader = UnitReader(task_model, domain_features)
    found = {}
    try:
        with without_dropout(task_model):
            for task in objective.tasks:
                if task.name in held_out:
                    rows = held_out[task.name]
                    labels = _Tally(task.num_labels)
                    for batch in _batches(rows, task.side, task_model, pad_id, batch_size):
                        view = StepView(
                            batch=batch,
                            progress=Progress(1, 1),
                            encode=lambda inputs: reader.read(task_model, inputs),
                            task_model=task_model,
                        )
                        reading = objective.read(view, task)
                        labels.add(reading.logits.argmax(-1), reading.labels)
                    found[task.name] = labels.scores()
    finally:
        reader.remove()
        objective.train(was_training)
    return found


class _Tally:
    """Counts of right answers and of classes.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.hits = 0
        self.counts = np.zeros(classes, dtype=np.int64)

    def add(self, predicted: torch.Tensor, labels: torch.Tensor) -> None:
        """Take in a batch."""
        known = labels != IGNORED_LABEL
        self.hits += int((predicted[known] == labels[known]).sum())
        classes = labels[known].cpu().numpy()
        self.counts += np.bincount(classes, minlength=len(self.counts))

    def scores(self) -> dict[str, float]:
        """What `score_auxiliary` says of a task."""
        total = int(self.counts.sum())
        return {
            "accuracy": round(self.hits / max(total, 1), 6),
            "largest_class": round(float(self.counts.max()) / max(total, 1), 6),
            "count": total,
        }


def _batches(
    rows: EncodedRows, side: str, task_model: Any, pad_id: int, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Batches as a training step holds the rows: as those of the source, or apart."""
    widths = steady_widths(int(rows.lengths.max()))
    device = next(task_model.parameters()).device
    prefix = "" if side == "source" else f"{side}/"
    for chosen in budget_batches(rows, tokens=TOKENS_PER_BATCH, most_rows=batch_size):
        width = width_for(int(rows.lengths[chosen].max()), widths)
        own: dict[str, Any] = to_tensors(
            collate([(rows, chosen)], width=width, pad_id=pad_id), device
        )
        batch = {f"{prefix}{key}": value for key, value in own.items()}
        for name in ("source", "target", side):
            batch.update({f"{name}_count": 1.0, f"{name}_labelled": 1.0})
        if "row_labels" in own:
            tasks = own["row_labels"].shape[1]
            batch[f"{side}/row_labelled"] = torch.ones(tasks, device=device)
        yield {**batch, "source_units": len(own["labels"])}
