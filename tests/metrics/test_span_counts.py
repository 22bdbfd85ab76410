"""Spans counted in arrays agree with the scores of the tags that users get."""

import itertools

import numpy as np
import pytest

from nlp_adapt.data.tagging import repair_bio2
from nlp_adapt.metrics import span_metrics
from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_repaired_tags(seed):
    draws = np.random.default_rng(seed)
    lengths = draws.integers(0, 6, 60)
    offsets = np.append(0, lengths.cumsum())
    truth, guesses = draws.integers(0, len(NAMES), (2, offsets[-1]))
    counts = count_spans(truth, guesses, offsets, TagSet.of(NAMES))
    rows = [
        [
            list(repair_bio2([NAMES[tag] for tag in tags[a:b]]))
            for a, b in itertools.pairwise(offsets)
        ]
        for tags in (truth, guesses)
    ]
    expected = span_metrics(*rows)
    f1, variance = f1_with_variance(counts)
    assert f1 == pytest.approx(expected["f1"])
    assert variance == pytest.approx(expected["f1_variance"])
    assert counts[:, 1].sum() == expected["support"]


def test_a_span_ends_with_its_row():
    tags = np.array([1, 2, 2, 1])
    assert count_spans(tags, tags, np.array([0, 2, 2, 4]), TagSet.of(NAMES)).tolist() == [
        [1, 1, 1],
        [0, 0, 0],
        [2, 2, 2],
    ]


def test_no_span_at_all():
    nothing = np.zeros(3, dtype=int)
    counts = count_spans(nothing, nothing, np.array([0, 3]), TagSet.of(NAMES))
    assert f1_with_variance(counts) == (0.0, 0.0)
