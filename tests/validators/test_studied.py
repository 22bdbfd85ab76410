"""Scores that are studied beside the default ones, each against an independent formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from nlp_adapt.validators import Predictions
from tests.helpers.scripts import scripts_on_path

with pytest.MonkeyPatch.context() as patch, scripts_on_path(patch):
    from validators_candidates import (
        accuracy_on_the_line,
        agreement,
        ensemble_agreement,
        entity_agreement,
        share_agreement,
    )
    from validators_studied import STUDIED, CalibratedConfidence, ImportanceWeightedAccuracy

RANDOM = np.random.default_rng(0)


def sure(classes: np.ndarray, size: int = 2) -> np.ndarray:
    return 8.0 * np.eye(size)[classes]


def score(name: str, *arrays: np.ndarray | None, **named: np.ndarray) -> float:
    return STUDIED[name].score(Predictions(*arrays, **named))


def test_the_nuclear_norm_is_the_sum_of_square_roots_of_eigenvalues() -> None:
    logits = RANDOM.normal(size=(30, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    by_hand = np.sqrt(np.linalg.eigvalsh(shares.T @ shares).clip(0)).sum() / np.sqrt(90)
    assert score("nuclear_norm", None, None, logits) == pytest.approx(by_hand)
    even, one = sure(np.arange(30) % 3, 3), sure(np.zeros(30, int), 3)
    assert score("nuclear_norm", None, None, even) == pytest.approx(1.0, abs=0.01)
    assert score("nuclear_norm", None, None, one) == pytest.approx(1 / np.sqrt(3), abs=0.01)


def mutual_information(one: np.ndarray, two: np.ndarray) -> float:
    joint = np.array([[((one == i) & (two == j)).mean() for j in (0, 1)] for i in (0, 1)])
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    return float(np.sum(joint * np.log(np.where(joint > 0, joint / independent, 1.0))))


def test_clusters_agree_with_classes_that_lie_apart() -> None:
    truth = np.arange(200) % 2
    features = 6.0 * truth[:, None] + RANDOM.normal(size=(200, 3))
    said = np.where(RANDOM.random(200) < 0.15, 1 - truth, truth)
    chance = np.mean([mutual_information(truth, RANDOM.permutation(said)) for _ in range(300)])
    spread = [-sum(p * np.log(p) for p in (one.mean(), 1 - one.mean())) for one in (truth, said)]
    by_hand = (mutual_information(truth, said) - chance) / (np.mean(spread) - chance)
    found = score("class_ami", None, None, sure(said), target_features=features)
    assert found == pytest.approx(by_hand, abs=0.01)


def test_weights_are_the_ratio_of_densities() -> None:
    """Two Gaussians one apart: the ratio is exp(x - 1/2)."""
    source, target = RANDOM.normal(size=(4000, 1)), RANDOM.normal(1, 1, size=(4000, 1))
    labels = (source[:, 0] > 0).astype(int)
    p = Predictions(sure(np.ones(4000, int)), labels, sure(np.ones(4000, int)),
                    source_features=source, target_features=target)  # fmt: skip
    found, ratio = ImportanceWeightedAccuracy().weights(p), np.exp(source[:, 0] - 0.5)
    assert np.corrcoef(np.log(found), np.log(ratio))[0, 1] > 0.99
    risk = STUDIED["importance_weighted_accuracy"].score(p)
    assert risk == pytest.approx(norm.cdf(1.0), abs=0.03)  # of the target above 0
    assert labels.mean() == pytest.approx(0.5, abs=0.03)


def test_what_is_predicted_in_the_target_leads_back() -> None:
    labels, truth = np.arange(300) % 2, np.arange(200) % 2
    source, target = (
        2.0 * one[:, None] + RANDOM.normal(size=(len(one), 1)) for one in (labels, truth)
    )
    named = {"source_features": source, "target_features": target}
    right = score("reverse_validation", sure(labels), labels, sure(truth), **named)
    wrong = score("reverse_validation", sure(labels), labels, sure(1 - truth), **named)
    best = norm.cdf(1.0)  # of two Gaussians two apart
    assert right == pytest.approx(best, abs=0.04)
    assert wrong == pytest.approx(1 - best, abs=0.04)
    one = sure(np.zeros(200, int))
    assert score("reverse_validation", sure(labels), labels, one, **named) == 0.0


def test_calibration_takes_back_a_temperature_and_a_bias() -> None:
    logits = RANDOM.normal(0, 2, size=(6000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) < RANDOM.random((6000, 1))).sum(1)
    bent = 3.0 * logits + np.array([0.0, 2.0, -1.0])
    found = CalibratedConfidence().fit(Predictions(bent, labels, bent))
    assert found[0] == pytest.approx(1 / 3, abs=0.02)
    assert found[1] == pytest.approx([0.0, -2 / 3, 1 / 3], abs=0.12)
    estimate = score("calibrated_confidence", bent, labels, bent)
    assert estimate == pytest.approx(shares.max(1).mean(), abs=0.01)


def candidates(*accuracies: tuple[float, float], rows: int = 3000) -> dict[str, Predictions]:
    """Models that err apart, right so often in the source and in the target."""
    labels, truth = np.arange(rows) % 2, np.arange(rows) % 2
    found = {}
    for number, pair in enumerate(accuracies):
        said = [
            np.where(RANDOM.random(rows) < share, one, 1 - one)
            for share, one in zip(pair, (labels, truth), strict=True)
        ]
        found[str(number)] = Predictions(sure(said[0]), labels, sure(said[1]))
    return found


def test_the_ensemble_stands_for_the_labels() -> None:
    said = {"a": np.array([0, 0, 1, 1]), "b": np.array([0, 1, 1, 1]), "c": np.array([1, 0, 1, 0])}
    found = ensemble_agreement({k: Predictions(target_logits=sure(v)) for k, v in said.items()})
    assert found == {"a": 1.0, "b": 0.75, "c": 0.5}  # the mean says 0 0 1 1


def test_accuracy_is_read_off_the_line_of_agreement() -> None:
    two = candidates((0.9, 0.8), (0.9, 0.8), rows=20_000)
    agree = [norm.ppf(a * a + (1 - a) ** 2) for a in (0.9, 0.8)]  # of models that err apart
    by_hand = norm.cdf(norm.ppf(0.9) + agree[1] - agree[0])
    assert accuracy_on_the_line(two) == pytest.approx({"0": by_hand, "1": by_hand}, abs=0.015)
    four = candidates((0.95, 0.85), (0.9, 0.8), (0.8, 0.7), (0.7, 0.62), rows=20_000)
    found = [*accuracy_on_the_line(four).values()]
    assert found == sorted(found, reverse=True)
    with pytest.raises(ValueError, match="two models"):
        accuracy_on_the_line({"a": two["0"]})


def test_shares_are_held_against_the_reference() -> None:
    said = {"twin": [0, 0, 1, 1], "alike": [1, 0, 1, 0], "far": [0, 0, 0, 0]}
    models = {k: Predictions(target_logits=sure(np.array(v))) for k, v in said.items()}
    found = share_agreement(models, "twin")
    assert found == {"twin": 1.0, "alike": 1.0, "far": 0.5}


def test_spans_are_held_against_the_reference() -> None:
    names, offsets = ("O", "B-PER", "I-PER"), np.array([0, 3, 5])
    tags = {"twin": [1, 2, 0, 1, 0], "half": [1, 2, 0, 0, 0], "short": [1, 0, 0, 1, 0]}
    models = {k: Predictions(target_logits=sure(np.array(v), 3)) for k, v in tags.items()}
    found = entity_agreement(models, "twin", names, offsets)
    assert found["span_agreement"] == pytest.approx({"twin": 1.0, "half": 2 / 3, "short": 0.5})
    assert found["span_precision"] == pytest.approx({"twin": 1.0, "half": 1.0, "short": 0.5})
    assert found["span_recall"] == pytest.approx({"twin": 1.0, "half": 0.5, "short": 0.5})
    assert found["type_shares"] == {"twin": 1.0, "half": 1.0, "short": 1.0}


def test_types_that_leave_their_shares_are_seen() -> None:
    names, offsets = ("O", "B-LOC", "B-PER", "I-PER"), np.array([0, 2, 4])
    tags = {"twin": [1, 0, 2, 3], "other": [2, 3, 2, 0]}
    models = {k: Predictions(target_logits=sure(np.array(v), 4)) for k, v in tags.items()}
    found = entity_agreement(models, "twin", names, offsets)
    assert found["type_shares"] == pytest.approx({"twin": 1.0, "other": 0.5})
    assert found["span_agreement"]["other"] == 0.0


def test_agreement_is_the_mean_over_the_other_models() -> None:
    said = {"a": [0, 0, 1, 1], "b": [0, 0, 1, 0], "c": [1, 1, 1, 0]}
    models = {k: Predictions(target_logits=sure(np.array(v))) for k, v in said.items()}
    assert agreement(models) == pytest.approx({"a": 0.5, "b": 0.625, "c": 0.375})
