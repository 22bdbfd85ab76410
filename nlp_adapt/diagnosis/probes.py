"""Linear probes on frozen features: how far apart two domains are, and which classes a target holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.diagnosis.words import bags, sizes_of_texts
from nlp_adapt.metrics.class_shares import predicted_shares
from nlp_adapt.validators import Predictions
from nlp_adapt.validators.scores import MOST_UNITS, estimated_shares, linear_probe, proxy_a_distance

BAG_WORDS = 1_000
# Labels on which a share of the classes is estimated; fewer say nothing.
FEWEST_LABELS = 20
# Of a unit whose class the probe has never met.
_NEVER = -30.0
_STRENGTH = 0.1


def distances(
    texts: Sequence[Sequence[str]], features: Sequence[np.ndarray], seed: int
) -> dict[str, float | None]:
    """Proxy A-distances, 0 to 2, of source and target: by three things that a probe can read.

    Args:
        texts: Those of the source and of the target.
        features: `[texts, width]` of an encoder, for the same texts.

    Returns:
        `encoder`, and beside it `words` (which of the 1,000 most frequent words a text holds) and
        `length` (characters and words alone). What these reach says how much of the first is surface.
    """
    rng = np.random.default_rng([seed, 5])
    few = [rng.permutation(len(side))[:MOST_UNITS] for side in texts]
    drawn = [[side[row] for row in rows] for side, rows in zip(texts, few, strict=True)]
    held = bags(drawn, BAG_WORDS)
    sizes = [sizes_of_texts(side) for side in texts]
    return {
        "encoder": proxy_a_distance(features[0], features[1], seed),
        "words": proxy_a_distance(held[0], held[1], seed),
        "length": proxy_a_distance(sizes[0], sizes[1], seed),
    }


@dataclass(frozen=True)
class ClassProbe:
    """A logistic regression from frozen features to classes.

    Attributes:
        model: The fitted scikit-learn pipeline.
        classes: How many classes there are, those that it has never met included.
    """

    model: Any
    classes: int

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, classes: int) -> "ClassProbe | None":
        """Fit it to features `[units, width]` and labels `[units]`; None of a single class."""
        if len(np.unique(labels)) < 2:
            return None
        model = linear_probe(_STRENGTH, max_iter=300)
        return cls(model.fit(features.astype(np.float64), labels), classes)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """`[units, classes]` logarithms of probabilities."""
        found = np.full((len(features), self.classes), _NEVER)
        found[:, self.model.classes_] = self.model.predict_log_proba(features.astype(np.float64))
        return found.clip(_NEVER)


def class_shares(
    held_out: np.ndarray, labels: np.ndarray, target: np.ndarray, names: Sequence[str]
) -> dict[str, Any] | None:
    """How frequent the classes are in a target, by estimators that read no label of it.

    Args:
        held_out: `[units, classes]` logits of source units that the probe was not fitted to.
        labels: `[units]` their classes.
        target: `[units, classes]` logits of target units.

    Returns:
        Shares by class: of the `source`, what the probe has `predicted` in the target, and what `em` and
        `bbse` make of that; how much the three of the target disagree, `disagreement`, and how far they
        lie from the source's, `shift`, both as the largest difference of one class; None with too few
        units.
    """
    if len(labels) < FEWEST_LABELS or len(target) < FEWEST_LABELS:
        return None
    counted = np.bincount(labels, minlength=len(names)) / len(labels)
    known = Predictions(source_logits=held_out, source_labels=labels, target_logits=target)
    estimates = {"predicted": predicted_shares(target), **estimated_shares(known)}
    found = np.stack([*estimates.values()])
    shares: Mapping[str, np.ndarray] = {"source": counted, **estimates}
    return {
        "shares": {key: _by_name(names, own) for key, own in shares.items()},
        "disagreement": float((found.max(0) - found.min(0)).max()),
        "shift": float(np.abs(found - counted).max()),
        "right_on_source": float((held_out.argmax(-1) == labels).mean()),
    }


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.round(4).tolist(), strict=True))
