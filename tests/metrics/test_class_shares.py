"""Shares of the target's classes: read, and kept to by a constant on each logit."""

import numpy as np
import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.class_shares import (
    aligning_bias,
    outside_bias,
    predicted_shares,
    shares_from_labels,
    told_shares,
)

NAMES = ("negative", "neutral", "positive")


def test_shares_come_in_the_order_of_the_classes_and_a_last_one_is_inferred():
    told = told_shares({"Positive": 0.5, "negative": 0.3}, NAMES)
    np.testing.assert_allclose(told, [0.3, 0.2, 0.5])
    rounded = told_shares(dict.fromkeys(NAMES, 0.33), NAMES)
    np.testing.assert_allclose(rounded, [1 / 3] * 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"positve": 0.5}, "no class 'positve'; did you mean 'positive'?"),
        ({"positive": 0.5}, "says nothing of negative, neutral: one class may be left out"),
        ({"positive": 0.5, "negative": 0.5}, "leaves nothing for neutral"),
        (
            {"positive": 0.5, "negative": 0.5, "neutral": 0.1},
            "is 1.1, but the shares must sum to 1",
        ),
        (
            {"positive": 0.5, "negative": 0.1, "neutral": 0.1},
            "is 0.7, but the shares must sum to 1",
        ),
    ],
)
def test_shares_that_do_not_fit_the_classes_are_refused(given, said):
    with pytest.raises(ConfigError, match="target_class_shares") as caught:
        told_shares(given, NAMES)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"target_class_shares": {"positive": 70}},
            "positive is 70, but must be above 0 and below",
        ),
        (
            {"target_class_shares": {"positive": 0.0}},
            "positive is 0, but must be above 0 and below",
        ),
        ({"target_class_shares": {"O": 0.9}, "task": "token-classification"}, "is for texts"),
        ({"target_class_shares": {"positive": "most"}}, "must be a number"),
    ],
)
def test_what_is_no_share_is_refused_before_anything_is_read(options, said):
    with pytest.raises(ConfigError, match="target_class_shares") as caught:
        AdaptationConfig(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("spread", [0.05, 1.0, 8.0])
def test_predictions_have_the_shares_whatever_the_logits(classes, spread):
    rng = np.random.default_rng(classes)
    logits = spread * (rng.normal(size=(1000, classes)) + 3 * np.eye(classes)[0])
    shares = rng.dirichlet(np.full(classes, 5.0)).clip(0.02)
    shares /= shares.sum()
    bias = aligning_bias(logits, shares)
    assert bias.sum() == pytest.approx(0)
    np.testing.assert_allclose(predicted_shares(logits + bias), shares, atol=0.005)


def test_of_two_classes_the_bias_is_a_quantile_of_their_difference():
    logits = np.random.default_rng(0).normal(size=(999, 2))
    bias = aligning_bias(logits, np.array([0.7, 0.3]))
    threshold = np.quantile(logits[:, 1] - logits[:, 0], 0.7)
    assert bias[0] - bias[1] == pytest.approx(threshold, abs=0.02)


def test_rows_that_are_all_alike_get_a_finite_bias():
    assert np.isfinite(aligning_bias(np.zeros((5, 3)), np.array([0.2, 0.3, 0.5]))).all()


def test_few_labels_move_the_shares_a_little_and_many_nearly_all_the_way():
    predicted = np.array([0.6, 0.4])
    always_first = {count: np.tile([1.0, 0.0], (count, 1)) for count in (5, 2000)}
    few, many = (
        shares_from_labels(np.ones(count, dtype=int), predicted, logits)
        for count, logits in always_first.items()
    )
    assert few[1] == pytest.approx(0.4 + 5 / 25)
    assert 0.98 < many[1] < 1  # a class never vanishes


def test_labels_that_are_all_predicted_leave_the_shares_as_predicted():
    labels = np.array([0, 1, 1, 1, 1])
    shares = shares_from_labels(labels, np.array([0.6, 0.4]), np.eye(2)[labels])
    np.testing.assert_allclose(shares, [0.6, 0.4])


def test_rows_that_were_trained_on_are_counted_alone():
    shares = shares_from_labels(np.array([1] * 20), np.array([0.6, 0.4]))
    np.testing.assert_allclose(shares, [0.3, 0.7])


def test_the_share_of_words_outside_entities_is_met_by_its_constant_alone():
    logits = np.random.default_rng(5).normal(size=(1000, 4))
    for share in (0.2, 0.9):
        bias = outside_bias(logits, 1, share)
        moved = logits + bias
        assert (moved.argmax(-1) == 1).mean() == pytest.approx(share, abs=0.002)
        assert np.flatnonzero(bias).tolist() == [1]


def test_a_class_that_is_never_said_stays_rare():
    logits = np.random.default_rng(6).normal(size=(1000, 2))
    moved = logits + aligning_bias(logits, np.array([0.0, 1.0]))
    assert predicted_shares(moved)[0] <= 0.002
