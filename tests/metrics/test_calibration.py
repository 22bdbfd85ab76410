import numpy as np
import pytest

from nlp_adapt.metrics.calibration import best_temperature, reliability

RNG = np.random.default_rng(3)


def drawn(units, sharper):
    """Logits whose softmax is the truth, made `sharper` times surer, and labels drawn from it."""
    logits = RNG.normal(size=(units, 3)) * 1.5
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([RNG.choice(3, p=row) for row in shares])
    return logits * sharper, labels


def test_reliability_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]))
    found = reliability(logits, np.array([0, 1, 0]))
    assert found["units"] == 3
    assert found["bins"] == [[1, 0.6, 1.0], [2, 0.9, 0.5]]
    assert found["ece"] == pytest.approx((1 * 0.4 + 2 * 0.4) / 3, abs=1e-6)


def test_a_certain_answer_is_in_the_last_bin():
    found = reliability(np.array([[1000.0, 0.0]]), np.array([0]))
    assert found == {"ece": 0.0, "units": 1, "bins": [[1, 1.0, 1.0]]}


def test_the_temperature_undoes_what_was_too_sure():
    logits, labels = drawn(6000, sharper=2.5)
    temperature = best_temperature(logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.1)
    before, after = reliability(logits, labels), reliability(logits / temperature, labels)
    assert after["ece"] < 0.03 < before["ece"]


def test_no_rows_have_no_temperature():
    assert best_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int)) is None
