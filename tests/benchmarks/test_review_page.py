"""The simulation of reviews, on answers whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    import benchmark_review

    sys.path.remove(str(SCRIPTS))
    return benchmark_review


def model(method, answers, seed=1):
    key = {"source": "a", "target": "b", "seed": seed, "suite": "s", "encoder": "builtin:x"}
    truth = np.array([0, 1, 2, 0])
    return {**key, "method": method}, {"target_logits": np.eye(3)[answers], "target_labels": truth}


def test_rows_are_won_lost_or_neither(script):
    models = [model("source_only", [0, 0, 0, 1]), model("dann", [0, 1, 1, 0])]
    (signs,) = script.signs_of(models).values()
    assert signs.tolist() == [0, 1, 2, 1]


def test_a_model_is_held_against_the_twin_of_its_own_run_and_seed(script):
    models = [
        model("source_only", [0, 1, 2, 0]), model("twin_of_auto", [1, 1, 2, 0]),
        model("auto", [0, 1, 2, 0]), model("dann", [0, 1, 2, 0]),
        model("auto", [0, 1, 2, 0], seed=2),
    ]  # fmt: skip
    found = script.signs_of(models)
    assert {name: int(signs.sum()) for name, signs in found.items()} == {
        "a to b, s, x, seed 1, auto": 1,
        "a to b, s, x, seed 1, dann": 0,
    }


def test_differing_rows_tell_sooner(script):
    signs = np.array([1] * 70 + [-1] * 30 + [0] * 900, dtype=np.int8)
    found = script.simulate(signs, 300)
    assert found["gain"] == pytest.approx(0.04)
    assert found["review_40"] > 0.98
    assert found["random_40"] < 0.8
    assert found["review_needed"] * 4 < found["random_needed"]
    assert found["settled_wrong"] <= 0.01
    assert found["covered"] >= 0.95


def test_the_formula_agrees_with_the_simulation(script):
    named, needed = script.formula(0.1, 0.04)
    signs = np.array([1] * 1400 + [-1] * 600 + [0] * 18000, dtype=np.int8)
    found = script.simulate(signs, 400)
    assert found["review_40"] == pytest.approx(named, abs=0.02)
    assert found["review_needed"] == pytest.approx(needed, abs=6)
