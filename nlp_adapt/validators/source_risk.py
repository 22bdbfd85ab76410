"""Quality on held-out source rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nlp_adapt.validators.base import Predictions, Validator


class SourceRisk(Validator):
    """Balanced accuracy on the source's validation units: mean recall over the classes there."""

    reads_target: ClassVar[bool] = False

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        assert predictions.source_logits is not None
        assert predictions.source_labels is not None
        known = predictions.source_labels >= 0
        labels = predictions.source_labels[known]
        hits = predictions.source_logits[known].argmax(-1) == labels
        return float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))
