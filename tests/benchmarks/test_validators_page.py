"""The figures of the validators' benchmark, on runs whose truth is known."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from nlp_adapt.validators import Predictions

SCRIPTS = Path(__file__).parents[2] / "scripts"
ROWS = 300


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(SCRIPTS))
    import benchmark_validators
    import validators_page

    sys.path.remove(str(SCRIPTS))
    return benchmark_validators, validators_page


def run(scripts, method, target, accuracy, seed=1):
    """A model that is right so often on the target and on 85 % of the source."""
    random = np.random.default_rng([len(method), len(target), seed])
    labels = np.arange(ROWS) % 2

    def logits(share):
        right = np.arange(ROWS) // 2 % 50 < 50 * share
        said = np.where(right, labels, 1 - labels)
        return np.eye(2)[said] * np.where(right, 4, 1)[:, None] * random.uniform(0.5, 1, (ROWS, 1))

    own = Predictions(logits(0.85).astype(np.float32), labels, logits(accuracy).astype(np.float32))
    key = {"method": method, "seed": seed, "source": "a", "target": target}
    return {
        **key, "name": f"a.{target}.{method}.{seed}.1", "last": True, "code": "abc", "set": {},
        "accuracy": float((own.target_logits.argmax(-1) == labels).mean()), "truth_error": 0.02,
        "scores": scripts[1].scored(own), "predictions": own, "target_labels": labels,
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(scripts):
    return [
        run(scripts, method, target, accuracy)
        for target, best in (("b", 0.9), ("cc", 0.8))
        for method, accuracy in (("source_only", 0.75), ("dann", 0.5), ("auto", best))
    ]


def test_gains_come_worst_first(scripts, runs):
    found = scripts[1].verdicts(runs)
    assert [one["method"] for one in found] == ["dann", "dann", "auto", "auto"]
    assert found[0]["gain"] == pytest.approx(-0.25, abs=0.02)
    assert found[-1]["pair"] == "a to b"


def test_regret_is_what_the_choice_lacks(scripts, runs):
    ranked = scripts[1].rankings(runs)
    assert ranked["estimated_accuracy"]["a to b"] == {"regret": 0.0, "rank": pytest.approx(1.0)}
    regret = {pair: one["regret"] for pair, one in ranked["share_agreement"].items()}
    assert all(0 <= one <= 0.45 for one in regret.values())
    picked = scripts[1].left_out(ranked)
    assert {one["regret"] for one in picked.values()} == {0.0}


def test_heads_need_more_than_one(scripts, runs):
    assert "accuracy_on_the_line" not in scripts[1].estimates(runs)
    more = [*runs, run(scripts, "source_only", "b", 0.75, seed=2)]
    assert len(scripts[1].estimates(more)["accuracy_on_the_line"]) == 2


def test_the_page_says_how_many_runs_it_has(scripts, runs):
    page = scripts[1].page(runs, "python x")
    assert "**6 stored checkpoints**: 4 adapted models on 2 of 12 pairs" in page
    assert page.index("| a to b | dann |") < page.index("| a to b | auto |")


def test_what_is_stored_is_scored_again_alike(scripts, runs, tmp_path):
    args = Namespace(out=tmp_path / "validators.md", keep=None)
    scripts[0].store(args, runs)
    again = {one["name"]: one for one in scripts[0].stored(args)}
    for one in runs:
        assert again[one["name"]]["accuracy"] == pytest.approx(one["accuracy"])
        assert again[one["name"]]["scores"] == pytest.approx(one["scores"], abs=0.01)
        assert not hasattr(again[one["name"]]["predictions"], "target_labels")
