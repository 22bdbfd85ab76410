"""How sure an estimated accuracy is: the rows of both domains drawn anew, its threshold with them."""

from collections.abc import Iterator

import numpy as np

from nlp_adapt.validators.scores import Predictions, confidence

DRAWS = 400
_AT_ONCE = 2_000_000  # weights held in memory


def estimate_draws(
    predictions: Predictions,
    source_counts: np.ndarray | None = None,
    target_counts: np.ndarray | None = None,
    draws: int = DRAWS,
) -> np.ndarray:
    """`EstimatedAccuracy` of bootstrap samples of the source's and of the target's rows (Efron 1979).

    The threshold is fitted on each sample anew, so that its error is part of the spread. Models that
    predict the same rows get the same samples: the difference of their draws is that of a paired
    bootstrap, in which what both find hard cancels out.

    Args:
        source_counts: `[rows]` units of each row, which are drawn together; one each by default.
        target_counts: Likewise.

    Returns:
        `[draws]` shares, from 0 to 1.
    """
    assert predictions.source_logits is not None
    assert predictions.source_labels is not None
    assert predictions.target_logits is not None
    labels, logits = predictions.source_labels, predictions.source_logits
    known = np.flatnonzero(labels >= 0)
    sure = confidence(logits[known])
    wrong = logits[known].argmax(-1) != labels[known]
    order, target = np.argsort(sure), confidence(predictions.target_logits)
    target_order = np.argsort(target)
    thresholds, levels = sure[order], target[target_order]
    sides = (
        np.ones(len(labels), np.int64) if source_counts is None else source_counts,
        np.ones(len(target), np.int64) if target_counts is None else target_counts,
    )
    found = []
    for source, weights in _samples(sides, draws):
        ours = source[:, known]
        errors = (ours * wrong).sum(1)
        passed = ours[:, order].cumsum(1)
        total = passed[:, -1:]
        # As many as there are errors lie below the first unit that is not counted away.
        place = (passed <= errors[:, None]).sum(1).clip(max=len(thresholds) - 1)
        below = np.searchsorted(levels, thresholds[place])
        seen = np.pad(weights[:, target_order].cumsum(1), ((0, 0), (1, 0)))
        share = 1 - seen[np.arange(len(seen)), below] / seen[:, -1].clip(1)
        found.append(np.where(errors < total[:, 0], share, 0.0))
    return np.concatenate(found)


def _samples(
    sides: tuple[np.ndarray, np.ndarray], draws: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each unit of either side is in a sample, `[some draws, units]` at a time."""
    random = np.random.default_rng(23)
    most = max(_AT_ONCE // max(int(counts.sum()) for counts in sides), 1)
    for first in range(0, draws, most):
        size = min(most, draws - first)
        source, target = (_sample(random, counts, size) for counts in sides)
        yield source, target


def _sample(random: np.random.Generator, counts: np.ndarray, draws: int) -> np.ndarray:
    rows = len(counts)
    drawn = random.integers(rows, size=(draws, rows)) + rows * np.arange(draws)[:, None]
    times = np.bincount(drawn.ravel(), minlength=draws * rows).reshape(draws, rows)
    return np.repeat(times, counts, axis=1)
