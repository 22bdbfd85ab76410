"""What can be said without target labels: the estimate, the distance, and the guard's verdict."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_adapt.validators import VALIDATORS, Predictions
from nlp_adapt.validators.domain_distance import proxy_a_distance
from nlp_adapt.validators.guard import Evidence, describe, judge

ESTIMATE = VALIDATORS["estimated_accuracy"].score


def blobs(count: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the best classifier for two Gaussian classes, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    x = rng.normal(size=count) + distance * (2 * labels - 1)
    return np.stack([-distance * x, distance * x], 1), labels


@pytest.mark.parametrize("distance", [0.4, 0.8, 1.5])
def test_the_estimate_follows_the_target(distance: float) -> None:
    """Harder or easier rows, the same classifier: what changes is how often it is in doubt."""
    source, labels = blobs(4000, 1.0, seed=1)
    target, truth = blobs(4000, distance, seed=2)
    target = target / distance  # the source's classifier, which does not know the distance
    estimated = ESTIMATE(Predictions(source, labels, target))
    real = float((target.argmax(-1) == truth).mean())
    on_source = float((source.argmax(-1) == labels).mean())
    assert abs(estimated - real) < 0.7 * abs(on_source - real)
    assert (estimated > on_source) == (real > on_source)


def test_the_estimate_equals_the_source_on_the_source() -> None:
    source, labels = blobs(500, 0.7, seed=3)
    real = float((source.argmax(-1) == labels).mean())
    assert ESTIMATE(Predictions(source, labels, source)) == pytest.approx(real, abs=0.003)


def test_the_estimate_at_its_ends() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert ESTIMATE(Predictions(logits, np.array([1, 0]), logits)) == 0.0
    assert ESTIMATE(Predictions(logits, np.array([0, 1]), logits)) == 1.0
    ignored = Predictions(np.vstack([logits, logits]), np.array([0, 1, -100, -100]), logits)
    assert ESTIMATE(ignored) == 1.0


@pytest.mark.parametrize(
    ("shift", "low", "high"), [(0.0, 0.0, 0.3), (1.0, 0.3, 1.7), (9.0, 1.99, 2)]
)
def test_the_distance_grows_with_the_shift(shift: float, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(400, 20)), rng.normal(size=(900, 20))
    target[:, 3] += shift
    distance = proxy_a_distance(source, target)
    assert distance is not None
    assert low <= distance <= high
    assert distance == proxy_a_distance(source, target)


def test_a_distance_needs_rows() -> None:
    assert proxy_a_distance(np.zeros((19, 2)), np.zeros((100, 2))) is None
    assert proxy_a_distance(np.ones((30, 2)), np.ones((30, 2))) == 0.0


TWIN = Evidence(
    scores={"source_risk": 0.85, "information_maximisation": 0.5, "estimated_accuracy": 0.75},
    predicted={"negative": 0.6, "positive": 0.4},
    source_classes={"negative": 0.5, "positive": 0.5},
    source_accuracy=0.85,
    source_rows=800,
    target_rows=1000,
)


def changed(**values: object) -> Evidence:
    """The twin's evidence with other scores or fields."""
    fields = {field.name for field in dataclasses.fields(Evidence)}
    scores = {**TWIN.scores, **{key: v for key, v in values.items() if key not in fields}}
    own = {key: value for key, value in values.items() if key in fields}
    return dataclasses.replace(TWIN, **{"scores": scores, **own})  # type: ignore[arg-type]


COLLAPSED = {"negative": 0.97, "positive": 0.03}


@pytest.mark.parametrize(
    ("evidence", "verdict", "says"),
    [
        (changed(), "undecided", "75.0 to 75.0"),
        (changed(estimated_accuracy=0.79), "undecided", "+/- 5."),
        (changed(estimated_accuracy=0.84), "adapted", "75.0 to 84.0 %"),
        (changed(estimated_accuracy=0.6), "undecided", "75.0 to 60.0"),
        (changed(information_maximisation=0.495), "undecided", "75.0 to 75.0"),
        (changed(information_maximisation=0.3), "undecided", "from 0.500 to 0.300"),
        (changed(estimated_accuracy=0.84, information_maximisation=0.3), "undecided", "not count"),
        (changed(estimated_accuracy=0.6, information_maximisation=0.3), "source-only", "0.300"),
        (changed(source_risk=0.83, estimated_accuracy=0.84), "adapted", "84.0"),
        (changed(source_risk=0.7, estimated_accuracy=0.9), "source-only", "from 85.0 to 70.0"),
        (changed(predicted=COLLAPSED, estimated_accuracy=0.98), "source-only", "positive is pred"),
    ],
)
def test_verdicts(evidence: Evidence, verdict: str, says: str) -> None:
    found = judge(TWIN, evidence)
    assert found.verdict == verdict
    assert says in " ".join(found.reasons)
    assert found.to_dict()["reasons"] == found.reasons


def test_a_share_that_the_source_or_the_twin_would_have_is_no_collapse() -> None:
    rare = {"negative": 0.95, "positive": 0.05}
    assert judge(changed(predicted=rare), changed(predicted=COLLAPSED)).verdict == "undecided"
    after = changed(predicted=COLLAPSED, source_classes=rare)
    assert judge(changed(source_classes=rare), after).verdict == "undecided"
    back = changed(predicted={"negative": 0.5, "positive": 0.5})  # the twin had collapsed
    assert judge(changed(predicted=COLLAPSED), back).verdict == "undecided"


def test_a_twin_that_has_collapsed_makes_estimates_worthless() -> None:
    twin = changed(predicted=COLLAPSED, estimated_accuracy=0.9, information_maximisation=0.002)
    better = changed(estimated_accuracy=0.97)
    found = judge(twin, better)
    assert found.verdict == "undecided"
    assert "itself predicts positive for 3.0 % of the target" in found.reasons[-1]
    tiny = changed(information_maximisation=0.001, estimated_accuracy=0.5, predicted=COLLAPSED)
    assert judge(twin, tiny).verdict == "undecided"  # a loss of nothing is none


def test_words_that_all_turn_into_entities_are_noticed() -> None:
    twin = changed(predicted={"O": 0.94, "B-X": 0.06}, source_classes={"O": 0.9, "B-X": 0.1})
    flooded = changed(predicted={"O": 0.4, "B-X": 0.6})
    flooded = dataclasses.replace(flooded, source_classes=twin.source_classes)
    found = judge(twin, flooded)
    assert found.verdict == "source-only"
    assert "B-X is predicted for 60.0 % of the target" in found.reasons[0]


def test_small_samples_decide_nothing_by_the_estimate() -> None:
    few = {"source_rows": 20, "target_rows": 20}
    assert judge(changed(**few), changed(estimated_accuracy=0.84, **few)).verdict == "undecided"


def test_evidence_is_what_the_predictions_hold() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 3.0]])
    found = describe(Predictions(logits, np.array([0, 0, 1, -100]), logits), ["a", "b"])
    assert found["predicted"] == {"a": 0.25, "b": 0.75}
    assert found["source_classes"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert found["source_accuracy"] == pytest.approx(2 / 3)
