"""How far a model's confidence can be believed: reliability, expected calibration error, temperature."""

from typing import Any

import numpy as np

BINS = 15
MOST_UNITS = 20_000  # that a temperature is fitted on
LOG_RANGE = (-3.0, 3.0)


def reliability(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy by confidence, in 15 bins of equal width.

    The expected calibration error is the mean distance of accuracy and confidence, weighted by the
    units in a bin (Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI; Guo et al. 2017, ICML, arXiv:1706.04599, for the bins).

    Args:
        logits: `[units, classes]`.
        labels: `[units]` class indices; at least one.

    Returns:
        `ece`, `units`, and `bins`: of each that is not empty its units, mean confidence and
        accuracy.
    """
    shares = np.exp(log_probabilities(logits))
    confidence, right = shares.max(-1), shares.argmax(-1) == labels
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    there = counts > 0
    sums = [np.bincount(places, values, BINS)[there] for values in (confidence, right)]
    mean, accuracy = (total / counts[there] for total in sums)
    ece = float((counts[there] * np.abs(mean - accuracy)).sum() / len(labels))
    rows = zip(counts[there].tolist(), mean.tolist(), accuracy.tolist(), strict=True)
    return {
        "ece": round(ece, 6),
        "units": len(labels),
        "bins": [[count, round(one, 4), round(two, 4)] for count, one, two in rows],
    }


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The divisor of the logits, from e^-3 to e^3, with the lowest cross-entropy (Brent's method).

    None for no units.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return None
    logits, labels = logits[:MOST_UNITS].astype(np.float64), labels[:MOST_UNITS]

    def loss(log: float) -> float:
        return -float(
            log_probabilities(logits / np.exp(log))[np.arange(len(labels)), labels].mean()
        )

    found = minimize_scalar(loss, bounds=LOG_RANGE, method="bounded")
    return round(float(np.exp(found.x)), 4)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
