"""The contract of a validator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What a model says of held-out source units and of target units.

    Attributes:
        source_logits: `[source units, classes]`, or None without validation rows.
        source_labels: `[source units]` class indices.
        target_logits: `[target units, classes]`, or None without a target.
        target_labels: `[target units]`; None wherever a model is chosen.
    """

    source_logits: np.ndarray | None = None
    source_labels: np.ndarray | None = None
    target_logits: np.ndarray | None = None
    target_labels: np.ndarray | None = None


class Validator(ABC):
    """A score of a model, higher for better ones.

    Attributes:
        uses_target_labels: Whether it needs them; then it may be reported but never selects.
        reads_source: Whether it needs labelled source predictions.
        reads_target: Whether it needs target predictions.
    """

    uses_target_labels: ClassVar[bool] = False
    reads_source: ClassVar[bool] = True
    reads_target: ClassVar[bool] = True

    def applies(self, predictions: Predictions) -> bool:
        """Whether the predictions hold what it reads."""
        source = predictions.source_logits is not None and len(predictions.source_logits) > 0
        target = predictions.target_logits is not None and len(predictions.target_logits) > 0
        return (source or not self.reads_source) and (target or not self.reads_target)

    @abstractmethod
    def score(self, predictions: Predictions) -> float:
        """The score, higher is better."""


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax `[units, classes]` in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def entropy(distribution: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis."""
    return -(distribution * np.log(np.clip(distribution, 1e-12, None))).sum(-1)
