"""Accuracy on labelled target units: for studies of the other scores, never for choosing."""

from __future__ import annotations

from typing import ClassVar

from nlp_adapt.validators.base import Predictions, Validator


class TargetAccuracy(Validator):
    """Share of target units whose label is predicted."""

    uses_target_labels: ClassVar[bool] = True
    reads_source: ClassVar[bool] = False

    def applies(self, predictions: Predictions) -> bool:
        """Whether there are target labels."""
        return super().applies(predictions) and predictions.target_labels is not None

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        assert predictions.target_logits is not None
        assert predictions.target_labels is not None
        known = predictions.target_labels >= 0
        hits = predictions.target_logits[known].argmax(-1) == predictions.target_labels[known]
        return float(hits.mean())
