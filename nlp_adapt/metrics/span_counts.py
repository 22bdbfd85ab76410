"""Counting spans in arrays of tags, for scores that are taken often.

An `I-` that continues nothing opens an entity, as in the tags that users get.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TagSet:
    """What the tags of a model mean.

    Attributes:
        types: `[tags]` number of the entity type, -1 for `O`.
        inside: `[tags]` whether the tag may continue an entity.
    """

    types: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, label_names: Sequence[str]) -> "TagSet":
        """The BIO tags of these names."""
        kinds = [name.partition("-")[2] for name in label_names]
        known = {kind: number for number, kind in enumerate(sorted({*kinds} - {""}))}
        return cls(
            np.array([known.get(kind, -1) for kind in kinds]),
            np.array([name.startswith("I-") for name in label_names]),
        )


def count_spans(
    truth: np.ndarray, guesses: np.ndarray, row_offsets: np.ndarray, tags: TagSet
) -> np.ndarray:
    """Spans of each row, `[rows, 3]`: those in both, those that are true, those that are guessed.

    `truth` and `guesses` are tags `[words]`, `row_offsets` `[rows + 1]` where each row's words start.
    """
    rows = np.repeat(np.arange(len(row_offsets) - 1), np.diff(row_offsets))
    first = np.zeros(len(rows), dtype=bool)
    first[row_offsets[:-1][np.diff(row_offsets) > 0]] = True
    starts, ends, kinds = zip(*(_spans(one, first, tags) for one in (truth, guesses)), strict=True)
    both = starts[0] & starts[1] & (ends[0] == ends[1]) & (kinds[0] == kinds[1])
    marks = (both, *starts)
    return np.stack([np.bincount(rows[mark], minlength=len(row_offsets) - 1) for mark in marks], 1)


def f1_with_variance(counts: np.ndarray) -> tuple[float, float]:
    """Micro F1 of spans counted by row, and its sampling variance by the delta method.

    With `d = 2 c - F1 (t + g)` of a row it is `sum d^2 / (sum (t + g))^2`.
    """
    shared, spans = 2 * counts[:, 0], counts[:, 1] + counts[:, 2]
    total = spans.sum()
    if not total:
        return 0.0, 0.0
    f1 = shared.sum() / total
    return float(f1), float(((shared - f1 * spans) ** 2).sum() / total**2)


def _spans(
    words: np.ndarray, first: np.ndarray, tags: TagSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a span starts, where one that starts here ends, and its type, all `[words]`."""
    kinds = tags.types[words]
    before = np.where(first, -1, np.roll(kinds, 1))
    goes_on = tags.inside[words] & (kinds >= 0) & (kinds == before)
    # The next word that goes on nothing ends a span, as the end of the text does.
    breaks = np.append(np.where(goes_on, len(words), np.arange(len(words))), len(words))
    ends = np.minimum.accumulate(breaks[::-1])[::-1][1:]
    return (kinds >= 0) & ~goes_on, ends, kinds
