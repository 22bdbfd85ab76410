"""What can be said without target labels: the estimate, the distance, and the guard's verdict."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_adapt.validators import VALIDATORS, Predictions
from nlp_adapt.validators.guard import Evidence, Verdict, describe, judge
from nlp_adapt.validators.scores import proxy_a_distance

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
    source_units={"negative": 400, "positive": 400},
    source_recall={"negative": 0.85, "positive": 0.85},
    estimate_draws=np.random.default_rng(0).normal(0.75, 0.02, 400).tolist(),
)
SPREAD = np.random.default_rng(1).normal(0, 0.015, 400)


def changed(**values: object) -> Evidence:
    """The twin's evidence with other scores or fields; draws that differ by 1.5 points anew."""
    fields = {field.name for field in dataclasses.fields(Evidence)}
    scores = {**TWIN.scores, **{key: v for key, v in values.items() if key not in fields}}
    own = {key: value for key, value in values.items() if key in fields}
    moved = scores["estimated_accuracy"] - TWIN.scores["estimated_accuracy"]
    draws = (np.array(TWIN.estimate_draws) + moved + SPREAD).tolist()
    return dataclasses.replace(
        TWIN,
        **{"scores": scores, "estimate_draws": draws, **own},  # type: ignore[arg-type]
    )


COLLAPSED = {"negative": 0.97, "positive": 0.03}


@pytest.mark.parametrize(
    ("evidence", "verdict", "says"),
    [
        (changed(), "undecided", "75.0 to 75.0"),
        (changed(estimated_accuracy=0.77), "undecided", "+/- 2.7"),
        (changed(estimated_accuracy=0.84), "undecided", "A higher one proves nothing"),
        (changed(estimated_accuracy=0.6), "undecided", "75.0 to 60.0"),
        (changed(information_maximisation=0.495), "undecided", "75.0 to 75.0"),
        (changed(information_maximisation=0.3), "undecided", "from 0.500 to 0.300"),
        (changed(estimated_accuracy=0.84, information_maximisation=0.3), "undecided", "0.300"),
        (changed(estimated_accuracy=0.6, information_maximisation=0.3), "source-only", "0.300"),
        (changed(source_risk=0.83, estimated_accuracy=0.84), "undecided", "84.0"),
        (changed(source_risk=0.7, estimated_accuracy=0.9), "source-only", "from 85.0 to 70.0"),
        (changed(predicted=COLLAPSED, estimated_accuracy=0.98), "source-only", "positive is pred"),
    ],
)
def test_verdicts(evidence: Evidence, verdict: str, says: str) -> None:
    found = judge(TWIN, evidence)
    assert found.verdict == verdict
    assert says in " ".join(found.reasons)
    assert found.to_dict()["reasons"] == found.reasons


def test_of_a_taught_model_the_classes_alone_tell() -> None:
    """It never saw the source's labels, and softened answers make it less certain."""
    for harmed in (
        changed(source_risk=0.7),
        changed(estimated_accuracy=0.6, information_maximisation=0.3),
    ):
        assert judge(TWIN, harmed).verdict == "source-only"
        found = judge(TWIN, harmed, taught=True)
        assert found.verdict == "undecided"
        assert "A teacher's answers" in " ".join(found.reasons)
    assert judge(TWIN, changed(predicted=COLLAPSED), taught=True).verdict == "source-only"


def test_a_share_that_the_source_or_the_twin_would_have_is_no_collapse() -> None:
    rare = {"negative": 0.95, "positive": 0.05}
    assert judge(changed(predicted=rare), changed(predicted=COLLAPSED)).verdict == "undecided"
    after = changed(predicted=COLLAPSED, source_classes=rare)
    assert judge(changed(source_classes=rare), after).verdict == "undecided"
    back = changed(predicted={"negative": 0.5, "positive": 0.5})  # the twin had collapsed
    assert judge(changed(predicted=COLLAPSED), back).verdict == "undecided"


def test_a_share_of_few_source_rows_is_no_collapse() -> None:
    """Two of forty rows make 5 %: what a model says of two thousand others may lie far below."""
    shares = {"negative": 0.95, "positive": 0.05}
    twin = changed(predicted={"negative": 0.8, "positive": 0.2}, target_rows=2000)
    lost = changed(predicted={"negative": 0.995, "positive": 0.005}, source_classes=shares)
    lost = dataclasses.replace(lost, target_rows=2000)
    few = {"source_units": {"negative": 38, "positive": 2}, "source_rows": 40}
    assert judge(twin, dataclasses.replace(lost, **few)).verdict == "undecided"
    many = {"source_units": {"negative": 3800, "positive": 200}, "source_rows": 4000}
    assert judge(twin, dataclasses.replace(lost, **many)).verdict == "source-only"


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
    wide = [*np.linspace(-0.1, 0.1, 400)]
    few = changed(estimated_accuracy=0.84, estimate_draws=np.add(TWIN.estimate_draws, wide))
    assert judge(TWIN, few).verdict == "undecided"


@pytest.mark.parametrize("draws", [(), (0.8, 0.9)])
def test_without_paired_draws_the_estimate_does_not_count(draws: tuple[float, ...]) -> None:
    after = changed(estimated_accuracy=0.95, estimate_draws=draws)
    found = judge(TWIN, after)
    assert found.verdict == "undecided"
    assert "95 % interval of the difference unknown" in found.reasons[0]


def test_a_handful_of_mistakes_estimates_nothing() -> None:
    sure = changed(estimated_accuracy=0.9, source_accuracy=0.997)
    found = judge(TWIN, sure)
    assert found.verdict == "undecided"
    assert "adapted model makes 2 mistakes on the held-out source rows" in found.reasons[-1]


@pytest.mark.parametrize(
    ("verdict", "more", "twin"),
    [
        ("source-only", True, True), ("source-only", False, True), ("undecided", True, False),
        ("undecided", False, True), ("adapted", True, False), ("adapted", False, False),
    ],
)  # fmt: skip
def test_where_it_cannot_be_told_the_better_worst_case_is_preferred(
    verdict: str, more: bool, twin: bool
) -> None:
    assert Verdict(verdict, []).prefers_twin(knows_more=more) is twin


def test_evidence_is_what_the_predictions_hold() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 3.0]])
    found = describe(Predictions(logits, np.array([0, 0, 1, -100]), logits), ["a", "b"])
    assert found["predicted"] == {"a": 0.25, "b": 0.75}
    assert found["source_classes"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert found["source_accuracy"] == pytest.approx(2 / 3)


def evidence_of(
    right: np.ndarray, labels: np.ndarray, target: np.ndarray, confidence: object = 3.0
) -> Evidence:
    """Of a model that is right where `right` says, and predicts `target` there."""
    from nlp_adapt.validators import score_all

    predicted = np.where(right, labels, 1 - labels)
    source = np.zeros((len(labels), 2))
    source[np.arange(len(labels)), predicted] = confidence
    logits = np.zeros((len(target), 2))
    logits[np.arange(len(target)), target] = 3.0
    predictions = Predictions(source, labels, logits)
    return Evidence(
        scores=score_all(predictions), **describe(predictions, ["A", "B"])
    )  # fmt: skip


def test_one_row_of_a_rare_class_is_no_sign() -> None:
    labels = np.array([0] * 97 + [1] * 3)
    target = (np.arange(1000) % 10 == 0).astype(int)
    right = np.ones(100, dtype=bool)
    missed = right.copy()
    missed[-1] = False
    before, after = (evidence_of(one, labels, target) for one in (right, missed))
    assert before.scores["source_risk"] - after.scores["source_risk"] > 0.15
    assert judge(before, after).verdict == "undecided"


def test_equally_good_models_on_a_rare_class_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 95 + [1] * 5)
    target = (np.arange(1000) % 10 == 0).astype(int)
    wrong = 0
    for _ in range(60):
        pair = [rng.random(100) < np.where(labels == 0, 0.98, 0.7) for _ in range(2)]
        verdict = judge(*(evidence_of(one, labels, target) for one in pair))
        wrong += any("balanced accuracy falls" in reason for reason in verdict.reasons)
    assert wrong / 60 < 0.05


def test_a_few_target_rows_are_no_sign_of_a_lost_class() -> None:
    labels, right = np.array([0] * 90 + [1] * 10), np.ones(100, dtype=bool)
    few = [np.array([1] * 2 + [0] * 28), np.zeros(30, dtype=int)]
    assert judge(*(evidence_of(right, labels, one) for one in few)).verdict == "undecided"
    many = [np.tile(one, 30) for one in few]
    assert judge(*(evidence_of(right, labels, one) for one in many)).verdict == "source-only"


@pytest.mark.parametrize("rows", [20, 100])
def test_models_that_are_always_right_on_the_source_are_seldom_told_apart(rows: int) -> None:
    """Their threshold is the least of a few confidences, which scatters."""
    from nlp_adapt.validators import score_all

    rng = np.random.default_rng(rows)

    def model(labels: np.ndarray) -> Evidence:
        source, target = np.zeros((rows, 2)), np.zeros((500, 2))
        source[np.arange(rows), labels] = rng.normal(4, 1, rows).clip(0.1)
        target[np.arange(500), rng.integers(0, 2, 500)] = rng.normal(4, 1, 500).clip(0.1)
        found = Predictions(source, labels, target)
        return Evidence(
            scores=score_all(found), **describe(found, ["A", "B"])
        )  # fmt: skip

    risen = []
    for _ in range(30):
        labels = np.arange(rows) % 2
        risen += [one for one in judge(model(labels), model(labels)).reasons if "higher" in one]
    assert not risen
