"""How many target units are predicted right, estimated without their labels.

Garg et al. 2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", ICLR
(arXiv:2201.04234): average thresholded confidence. The confidence below which the model errs as
often as it does on held-out source units is taken over to the target.
"""

from __future__ import annotations

import numpy as np

from nlp_adapt.validators.base import Predictions, Validator, entropy, probabilities


class EstimatedAccuracy(Validator):
    """Share of target units whose confidence is above the threshold that fits the source.

    Confidence is negative entropy. The estimate assumes that a model knows as much of its own
    mistakes on the target as on the source; where it is certain and wrong there, it is too high.
    """

    def score(self, predictions: Predictions) -> float:
        """The estimate, from 0 to 1."""
        assert predictions.source_logits is not None
        assert predictions.source_labels is not None
        assert predictions.target_logits is not None
        known = predictions.source_labels >= 0
        logits = predictions.source_logits[known]
        errors = int((logits.argmax(-1) != predictions.source_labels[known]).sum())
        if errors == len(logits):
            return 0.0
        threshold = np.sort(_confidence(logits))[errors]
        return float((_confidence(predictions.target_logits) >= threshold).mean())


def _confidence(logits: np.ndarray) -> np.ndarray:
    return -entropy(probabilities(logits))
