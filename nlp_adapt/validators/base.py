"""The contract of a validator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for held-out source units and for target units.

    Logits are `[units, classes]`, labels `[units]` class indices, negative where unknown, and
    features `[units, width]` what the classifier reads. What is missing is None: the source without
    validation rows, features that no validator needs, and target labels wherever a model is chosen.
    """

    source_logits: np.ndarray | None = None
    source_labels: np.ndarray | None = None
    target_logits: np.ndarray | None = None
    target_labels: np.ndarray | None = None
    source_features: np.ndarray | None = None
    target_features: np.ndarray | None = None

    def labelled_source(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the source units whose label is known."""
        return _labelled(self.source_logits, self.source_labels)

    def labelled_target(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the target units whose label is known."""
        return _labelled(self.target_logits, self.target_labels)


class Validator(ABC):
    """A score of a model, higher for better ones.

    Attributes:
        uses_target_labels: Whether it needs them; then it may be reported but never selects.
        reads_source: Whether it needs labelled source predictions.
        reads_target: Whether it needs target predictions.
        reads_features: Whether it needs the features of the sides that it reads.
    """

    uses_target_labels: ClassVar[bool] = False
    reads_source: ClassVar[bool] = True
    reads_target: ClassVar[bool] = True
    reads_features: ClassVar[bool] = False

    def applies(self, predictions: Predictions) -> bool:
        """Whether the predictions hold what it reads."""
        p = predictions
        needed = [p.source_logits, p.source_labels] if self.reads_source else []
        needed += [p.target_logits] if self.reads_target else []
        needed += [p.target_labels] if self.uses_target_labels else []
        if self.reads_features:
            needed += [p.source_features] if self.reads_source else []
            needed += [p.target_features] if self.reads_target else []
        return all(values is not None and len(values) > 0 for values in needed)

    @abstractmethod
    def score(self, predictions: Predictions) -> float:
        """The score, higher is better."""


def _labelled(
    logits: np.ndarray | None, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    assert logits is not None
    assert labels is not None
    return logits[labels >= 0], labels[labels >= 0]
