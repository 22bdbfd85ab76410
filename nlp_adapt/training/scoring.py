"""Scoring a task model on labelled rows, during training and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlp_adapt.inference import predict_logits
from nlp_adapt.tasks import Task
from nlp_adapt.training.run_data import EvaluationSet, RunData


@dataclass(frozen=True)
class Scorer:
    """Scores models on the evaluation sets of a run.

    Args:
        task: What the labels mean.
        data: The run's data.
        pad_id: Token id of padding.
        batch_size: Rows per batch.
    """

    task: Task
    data: RunData
    pad_id: int
    batch_size: int

    def tests(self, model: Any) -> dict[str, dict[str, Any] | None]:
        """Test metrics of both domains, in float32; None where there are no labelled test rows."""
        return {
            "source": self._score(model, self.data.evaluation.get("source_test"), "fp32"),
            "target": self._score(model, self.data.evaluation.get("target_test"), "fp32"),
        }

    def validation(self, model: Any, precision: str) -> dict[str, float]:
        """Source validation scores, in the run's precision."""
        metrics = self._score(model, self.data.evaluation.get("source_validation"), precision)
        return {
            f"source_validation/{key}": value
            for key, value in (metrics or {}).items()
            if isinstance(value, float)
        }

    def _score(
        self, model: Any, rows: EvaluationSet | None, precision: str
    ) -> dict[str, Any] | None:
        if rows is None:
            return None
        logits = predict_logits(
            model,
            rows.encoded,
            pad_id=self.pad_id,
            batch_size=self.batch_size,
            precision=precision,
        )
        return self.task.metrics(logits, rows.encoded, rows.dataset)
