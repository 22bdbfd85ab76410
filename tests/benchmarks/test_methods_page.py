"""The page of the methods benchmark: equal pairs on both sides, and what a threshold could add."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    yield
    for name in ("benchmark_methods", "methods_page"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("values", [3, 1000])
def test_best_macro_f1_is_that_of_the_best_threshold(values):
    draws = np.random.default_rng(values)
    from benchmark_methods import best_macro_f1

    for _ in range(20):
        truth = np.append(draws.integers(0, 2, 30), [0, 1])
        scores = draws.integers(0, values, 32) / values
        cuts = np.append(np.unique(scores), 2.0)
        tried = [f1_score(truth, (scores >= cut).astype(int), average="macro") for cut in cuts]
        assert best_macro_f1(truth, scores) == pytest.approx(max(tried), abs=1e-12)


def test_best_macro_f1_of_one_class_alone():
    from benchmark_methods import best_macro_f1

    assert best_macro_f1(np.ones(4, dtype=int), np.arange(4) / 4) == pytest.approx(0.5)


def test_a_model_that_never_sees_the_target_is_trained_once():
    from benchmark_methods import jobs

    pairs = [("a", "b"), ("a", "c"), ("b", "c")]

    def trained(*methods, settings=()):
        found = jobs(list(methods), 1, pairs, settings)
        return [[(key["source"], key["target"]) for key in keys] for keys in found]

    assert trained("source_only") == [pairs[:2], pairs[2:]]
    assert trained("source_only:learning_rate=1e-4") == [pairs[:2], pairs[2:]]
    assert trained("target_trained") == [pairs[:1], pairs[1:]]
    alone = [[pair] for pair in pairs]
    assert trained("mcc") == alone
    assert trained("source_only:augment=domain_terms") == alone
    assert trained("source_only", settings=["augment=domain_terms"]) == alone


def run(method: str, pair: str, macro_f1: float, seed: int = 1, **more: float) -> dict:
    source, target = pair.split(">")
    return {
        "method": method, "seed": seed, "source": source, "target": target, "macro_f1": macro_f1,
        "versions": {}, "machine": {}, "precision": "fp32", **more,
    }  # fmt: skip


def page_of(args: argparse.Namespace, runs: list[dict]) -> str:
    from methods_page import report

    return report(args, {"held_out": "test rows"}, runs)


@pytest.fixture
def args():
    return argparse.Namespace(suite="snippets", seeds=1, out=Path("elsewhere/page.md"), set=[])


def test_page_compares_the_same_pairs(args):
    runs = [
        run("source_only", "a>b", 0.60), run("source_only", "b>a", 0.80),
        run("target_trained", "a>b", 0.80), run("target_trained", "b>a", 0.84),
        run("mcc", "a>b", 0.72), run("mcc", "b>a", 0.78), run("auto", "a>b", 0.70, seed=2),
    ]  # fmt: skip
    page = page_of(args, runs)
    assert "| mcc | 2 | 75.0 | +5.0 | 42 % | b to a -2.0 | 1 |" in page
    assert "| auto | 1 | 70.0 | +10.0 | 50 % | a to b +10.0 | 0 |" in page
    assert "**Unfinished:** not every pair has 1 run of auto." in page
    assert "--seeds 2 --out docs/benchmarks/page.md`" in page
    assert "Ranking" not in page


def test_ranking_counts_only_runs_that_have_it(args):
    known = {"auc": 0.8, "best_macro_f1": 0.75}
    runs = [
        run("source_only", "a>b", 0.6, **known), run("source_only", "b>a", 0.7),
        run("mcc", "a>b", 0.7, auc=0.82, best_macro_f1=0.74), run("mcc", "b>a", 0.7),
        run("auto", "b>a", 0.7),
    ]  # fmt: skip
    page = page_of(args, runs)
    assert "| source_only | 1 | 80.0 | - | 75.0 | - |" in page
    assert "| mcc | 1 | 82.0 | +2.0 | 74.0 | -1.0 |" in page
    assert "| auto |" not in page.split("## Ranking")[1].split("## By pair")[0]
