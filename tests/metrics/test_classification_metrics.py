import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from nlp_adapt.errors import AdaptationError
from nlp_adapt.metrics import classification_metrics

NAMES = ["neg", "neutral", "pos"]
pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)


def counted(rows):
    """Precision, recall, F1 and support of each class, counted by hand."""
    scores = {}
    for label, name in enumerate(NAMES):
        both = sum(t == label and p == label for t, p in rows)
        true = sum(t == label for t, _ in rows)
        predicted = sum(p == label for _, p in rows)
        scores[name] = {
            "precision": both / predicted if predicted else 0.0,
            "recall": both / true if true else 0.0,
            "f1": 2 * both / (true + predicted) if true + predicted else 0.0,
            "support": true,
        }
    return scores


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_scores_equal_counts_by_hand(rows):
    truth, guesses = [t for t, _ in rows], [p for _, p in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = classification_metrics(truth, guesses, NAMES)
    expected = counted(rows)
    for name in NAMES:
        assert result["per_class"][name] == pytest.approx(expected[name])
    assert result["accuracy"] == pytest.approx(sum(t == p for t, p in rows) / len(rows))
    present = [n for i, n in enumerate(NAMES) if any(i in row for row in rows)]
    assert result["absent_labels"] == [n for n in NAMES if n not in present]
    assert result["macro_f1"] == pytest.approx(
        sum(expected[n]["f1"] for n in present) / len(present)
    )
    for key in ("precision", "recall"):
        mean = sum(expected[n][key] for n in present) / len(present)
        assert result[f"macro_{key}"] == pytest.approx(mean)
    assert result["weighted_f1"] == pytest.approx(
        sum(s["f1"] * s["support"] for s in expected.values()) / len(rows)
    )
    assert result["confusion_matrix"] == [
        [sum(row == (t, p) for row in rows) for p in range(3)] for t in range(3)
    ]
    # Matthews is the correlation of one-hot labels and predictions (Gorodkin 2004).
    x, y = np.eye(3)[truth], np.eye(3)[guesses]
    x, y = x - x.mean(0), y - y.mean(0)
    spread = np.sqrt((x * x).sum() * (y * y).sum())
    assert result["matthews"] == pytest.approx((x * y).sum() / spread if spread else 0.0)


def only_plain(value):
    if isinstance(value, dict):
        return all(type(k) is str and only_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(only_plain, value))
    return type(value) in (int, float, str)


@pytest.mark.parametrize("convert", [list, np.array, tuple, np.int32, "tensor"])
def test_any_integer_column_gives_plain_json(convert):
    truth, guesses = [0, 1, 2, 1], [0, 2, 2, 1]
    if convert == "tensor":
        import torch

        convert = torch.tensor
    result = classification_metrics(convert(truth), convert(guesses), NAMES)
    assert only_plain(result)
    assert json.dumps(result) == json.dumps(classification_metrics(truth, guesses, NAMES))


def test_class_predicted_but_absent_from_labels_lowers_macro_f1():
    without = classification_metrics([0, 0, 1], [0, 0, 1], NAMES)
    assert without["macro_f1"] == 1.0
    assert without["absent_labels"] == ["pos"]
    with_wrong = classification_metrics([0, 0, 1, 1], [0, 0, 1, 2], NAMES)
    assert with_wrong["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert with_wrong["absent_labels"] == []


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "no rows to score"),
        ([0, -100], [0, 1], r"Row 1 of the labels is unlabelled \(-100\)"),
        ([0, 1, None], [0, 1, 1], r"Row 2 of the labels is unlabelled \(None\)"),
        ([0, 1], [-1, 1], r"Row 0 of the predictions is unlabelled \(-1\)"),
        ([0, 1, 2], [0, 1], "Row 2 of the labels has no partner .* 3 labels and 2 predictions"),
        ([0], [0, 1], "Row 1 of the predictions has no partner"),
        ([0, 3], [0, 1], r"Row 1 of the labels is class 3, but only 3 .*neg, neutral, pos"),
        ([0, 1], [0, 7], "Row 1 of the predictions is class 7"),
        ([0, 1.0], [0, 1], "Row 1 of the labels is 1.0, not a class id"),
        ([0, float("nan")], [0, 1], "Row 1 of the labels is nan"),
        ([0, 1], ["neg", "pos"], "Row 0 of the predictions is 'neg'.*label_mapping"),
        ([0, 1], np.zeros((2, 3)), r"Row 0 of the predictions is \[0.0, 0.0, 0.0\]"),
        (None, [0], "The labels are None"),
        ("01", [0, 1], "The labels are '01'"),
    ],
)
def test_bad_rows_are_named(labels, predictions, message):
    with pytest.raises(AdaptationError, match=message):
        classification_metrics(labels, predictions, NAMES)


def test_repeated_names_are_refused():
    with pytest.raises(AdaptationError, match="Two classes are named 'pos'"):
        classification_metrics([0], [0], ["pos", "neg", "pos"])


@pytest.mark.parametrize("seed", range(20))
def test_every_score_is_that_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    classes, rows = draw.integers(2, 6), draw.integers(1, 60)
    labels = draw.integers(0, classes, rows)
    guesses = np.where(draw.random(rows) < 0.6, labels, draw.integers(0, classes, rows))
    scores = classification_metrics(labels, guesses, [str(i) for i in range(classes)])
    ids = list(range(classes))
    assert scores["confusion_matrix"] == confusion_matrix(labels, guesses, labels=ids).tolist()
    assert scores["accuracy"] == accuracy_score(labels, guesses)
    for average in ("macro", "weighted"):
        expected = f1_score(labels, guesses, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected, abs=1e-12)
    if len({*labels}) > 1 and len({*guesses}) > 1:
        expected = matthews_corrcoef(labels, guesses)
        assert scores["matthews"] == pytest.approx(expected, abs=1e-12)
    columns = precision_recall_fscore_support(labels, guesses, labels=ids, zero_division=0)
    for name, *expected in zip(scores["label_names"], *columns, strict=True):
        assert list(scores["per_class"][name].values()) == pytest.approx(expected)
