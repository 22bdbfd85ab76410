"""Scoring a task model on labelled rows, during training and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.data.preprocessing import EncodedRows
from nlp_adapt.inference import predict_logits
from nlp_adapt.tasks import Task
from nlp_adapt.training.processes import summed
from nlp_adapt.training.run_data import EvaluationSet, RunData
from nlp_adapt.validators import Predictions, score_all


@dataclass(frozen=True)
class Scorer:
    """Scores models on the evaluation sets of a run.

    Args:
        task: What the labels mean.
        data: The run's data.
        pad_id: Token id of padding.
        batch_size: Rows per batch.
        accelerator: Shares the rows among the processes of a run, which must then all score; None
            scores all rows here.
    """

    task: Task
    data: RunData
    pad_id: int
    batch_size: int
    accelerator: Any = None

    def tests(self, model: Any) -> dict[str, dict[str, Any] | None]:
        """Test metrics of both domains, in float32; None where there are no labelled test rows."""
        return {
            "source": self._score(model, self.data.evaluation.get("source_test"), "fp32"),
            "target": self._score(model, self.data.evaluation.get("target_test"), "fp32"),
        }

    def validation(self, model: Any, precision: str) -> dict[str, float]:
        """Scores during training: the task's metrics on source validation rows, and label-free ones.

        Those of the task are named `source_validation/...`; the others as in `VALIDATORS`. No target
        label is read.
        """
        rows = self.data.evaluation.get("source_validation")
        predictions = self._predictions(model, precision)
        scores: dict[str, float] = {}
        if rows is not None and predictions.source_logits is not None:
            metrics = self.task.metrics(predictions.source_logits, rows.encoded, rows.dataset)
            scores = {
                f"source_validation/{key}": value
                for key, value in metrics.items()
                if isinstance(value, float)
            }
        return {**scores, **score_all(predictions)}

    def label_free(self, model: Any) -> dict[str, float]:
        """Every label-free score, in float32."""
        return score_all(self._predictions(model, "fp32"))

    def _predictions(self, model: Any, precision: str) -> Predictions:
        """Predictions on the source's validation rows and a sample of the target's training rows."""
        rows, sample = self.data.evaluation.get("source_validation"), self.data.target_sample
        source = self._logits(model, rows.encoded, precision) if rows is not None else None
        target = self._logits(model, sample, precision) if sample is not None else None
        return Predictions(source, rows.encoded.labels if rows is not None else None, target)

    def _score(
        self, model: Any, rows: EvaluationSet | None, precision: str
    ) -> dict[str, Any] | None:
        if rows is None:
            return None
        logits = self._logits(model, rows.encoded, precision)
        return self.task.metrics(logits, rows.encoded, rows.dataset)

    def _logits(self, model: Any, rows: EncodedRows, precision: str) -> np.ndarray:
        shared = self.accelerator is not None
        logits = predict_logits(
            model,
            rows,
            pad_id=self.pad_id,
            batch_size=self.batch_size,
            precision=precision,
            process=self.accelerator.process_index if shared else 0,
            processes=self.accelerator.num_processes if shared else 1,
        )
        return summed(self.accelerator, logits)
