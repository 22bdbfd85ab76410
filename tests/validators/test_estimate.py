"""The interval of an estimated accuracy: paired, by row, and right as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_adapt.validators import VALIDATORS, Predictions
from nlp_adapt.validators.estimate import estimate_draws
from nlp_adapt.validators.guard import Evidence, describe, judge
from nlp_adapt.validators.scores import confidence

ESTIMATE = VALIDATORS["estimated_accuracy"].score


def by_loops(p: Predictions, draws: int) -> list[float]:
    """The estimate of repeated rows, one sample after the other."""
    random = np.random.default_rng(23)
    sides = [len(p.source_logits), len(p.target_logits)]
    source, target = (random.integers(rows, size=(draws, rows)) for rows in sides)
    return [
        ESTIMATE(Predictions(p.source_logits[one], p.source_labels[one], p.target_logits[two]))
        for one, two in zip(source, target, strict=True)
    ]


def problem(
    rows: int, units: int, random: np.random.Generator, distance: float = 0.8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One feature of each source row, its label, and one of each target row."""
    labels = random.integers(0, 2, rows)
    x = random.normal(size=rows) + 2 * labels - 1
    truth = random.integers(0, 2, units)
    return x, labels, random.normal(size=units) + distance * (2 * truth - 1)


def read(x: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    seen = x + noise
    return np.stack([-seen, seen], 1)


@pytest.mark.parametrize("ignored", [0, 7])
def test_draws_are_estimates_of_rows_drawn_anew(ignored: int) -> None:
    x, labels, target = problem(60, 80, np.random.default_rng(3))
    labels[:ignored] = -100
    p = Predictions(read(x), labels, read(target))
    assert estimate_draws(p, draws=30) == pytest.approx(by_loops(p, 30))


def test_units_of_one_row_are_drawn_together() -> None:
    x, labels, target = problem(40, 40, np.random.default_rng(4))
    one = Predictions(read(x), labels, read(target))
    twice = Predictions(read(x.repeat(2)), labels.repeat(2), read(target.repeat(3)))
    counts = np.full(40, 2), np.full(40, 3)
    together = estimate_draws(twice, *counts)
    assert together == pytest.approx(estimate_draws(one))
    assert estimate_draws(twice).std() < 0.85 * together.std()


def test_large_data_is_drawn_in_parts_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels, target = problem(50, 50, np.random.default_rng(5))
    p = Predictions(read(x), labels, read(target))
    monkeypatch.setattr("nlp_adapt.validators.estimate._AT_ONCE", 500)
    parts = estimate_draws(p)
    assert parts.shape == (400,)
    assert abs(parts.mean() - ESTIMATE(p)) < 0.03


@pytest.mark.parametrize(("rows", "units", "distance"), [(200, 1000, 1.0), (200, 1000, 0.6)])
def test_the_interval_holds_the_estimate_of_endless_rows(
    rows: int, units: int, distance: float
) -> None:
    """Under the estimate's own assumption: what it would be without sampling error."""
    random = np.random.default_rng(6)
    x, labels, target = problem(100_000, 100_000, random, distance)
    threshold = np.quantile(confidence(read(x)), ((x > 0) != labels).mean())
    truth = (confidence(read(target)) >= threshold).mean()
    held = 0
    for _ in range(80):
        x, labels, target = problem(rows, units, random, distance)
        p = Predictions(read(x), labels, read(target))
        draws = estimate_draws(p, draws=200)
        ends = np.abs(np.quantile(draws, [0.025, 0.975]) - ESTIMATE(p)).max()
        held += abs(ESTIMATE(p) - truth) <= max(1.96 * draws.std(), ends)
    assert held / 80 >= 0.89  # 95 in the long run; two standard errors below


def evidence(p: Predictions) -> Evidence:
    scores = {name: VALIDATORS[name].score(p) for name in ("source_risk", "estimated_accuracy")}
    return Evidence(scores={**scores, "information_maximisation": 0.5}, **describe(p, ["A", "B"]))


def test_equal_models_are_seldom_told_apart() -> None:
    """At the default 200 validation rows; each reads the rows with an error of its own."""
    random = np.random.default_rng(7)
    risen = 0
    for _ in range(80):
        x, labels, target = problem(200, 600, random)
        pair = [
            Predictions(
                read(x, random.normal(0, 0.5, 200)),
                labels,
                read(target, random.normal(0, 0.5, 600)),
            )
            for _ in range(2)
        ]
        risen += "A higher one" in " ".join(judge(*map(evidence, pair)).reasons)
    assert risen / 80 <= 0.05


def test_a_clear_rise_is_said_and_decides_nothing() -> None:
    random = np.random.default_rng(8)
    x, labels, target = problem(300, 1000, random)
    before = Predictions(read(x, random.normal(0, 1.5, 300)), labels,
                         read(target, random.normal(0, 1.5, 1000)))  # fmt: skip
    harder = Predictions(before.source_logits, labels, 0.2 * before.target_logits)
    after = Predictions(read(x), labels, read(3 * target))
    found = judge(evidence(harder), evidence(after))
    assert found.verdict == "undecided"
    assert "A higher one proves nothing" in found.reasons[-1]
