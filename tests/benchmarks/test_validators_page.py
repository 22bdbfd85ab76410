"""The figures of the validators' benchmark, on models whose truth is known."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from nlp_adapt.reporting.comparison import ESTIMATE_OFF

SCRIPTS = Path(__file__).parents[2] / "scripts"
ROWS = 300
TAGS = ["O", "B-LOC", "I-LOC"]


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(SCRIPTS))
    import benchmark_validators
    import validators_figures
    import validators_page
    from benchmark_runs import read_lines

    sys.path.remove(str(SCRIPTS))
    return Namespace(
        benchmark=benchmark_validators,
        figures=validators_figures,
        page=validators_page,
        lines=read_lines(SCRIPTS.parent / "docs/benchmarks/validators.runs.jsonl"),
    )


def about(method, target, measure, seed=1, names=("negative", "positive")):
    key = {"method": method, "seed": seed, "source": "a", "target": target, "measure": measure}
    made = {"suite": "s", "encoder": "builtin:x", "code": "abc", "set": {}}
    return {**key, **made, "label_names": list(names)}


def model(method, target, accuracy, seed=1):
    """A model that is right so often on the target and on 85 % of the source."""
    random = np.random.default_rng([len(method), len(target), seed])
    labels = np.arange(ROWS) % 2

    def logits(share):
        right = np.arange(ROWS) // 2 % 50 < 50 * share
        said = np.where(right, labels, 1 - labels)
        return np.eye(2)[said] * np.where(right, 4, 1)[:, None] * random.uniform(0.5, 1, (ROWS, 1))

    values = {
        "source_logits": logits(0.85).astype(np.float16), "source_labels": labels.astype(np.int8),
        "target_logits": logits(accuracy).astype(np.float16),
        "target_labels": labels.astype(np.int8), "target_offsets": np.arange(ROWS + 1),
        "source_offsets": np.arange(ROWS + 1),
    }  # fmt: skip
    return about(method, target, accuracy, seed), values


def tagger(method, right):
    """A model that finds so many of ten names in ten sentences of three words."""
    labels = np.tile([0, 1, 2], 10)
    said = np.where(np.repeat(np.arange(10) < right, 3), labels, 0)
    offsets = np.arange(11) * 3
    side = {"logits": np.eye(3)[said] * 4, "labels": labels, "offsets": offsets}
    values = {f"{name}_{part}": own for name in ("source", "target") for part, own in side.items()}
    return about(method, "c", 2 * right / (right + 10), names=TAGS), values


MODELS = [
    model(method, target, accuracy)
    for target, best in (("b", 0.9), ("cc", 0.8))
    for method, accuracy in (("source_only", 0.75), ("dann", 0.5), ("auto", best))
]


@pytest.fixture(scope="module")
def runs(scripts):
    return [scripts.benchmark.run_of(*one) for one in MODELS]


def test_gains_come_worst_first(scripts, runs):
    found = scripts.figures.verdicts(runs)
    assert [one["method"] for one in found] == ["dann", "dann", "auto", "auto"]
    assert found[0]["gain"] == pytest.approx(-0.25, abs=0.02)
    assert found[-1]["pair"][2:4] == ("a", "b")


def test_a_method_is_held_against_its_own_twin(scripts, runs):
    twin = scripts.benchmark.run_of(*model("twin_of_auto", "b", 0.85))
    gains = {
        (one["pair"][3], one["method"]): one["gain"]
        for one in scripts.figures.verdicts([*runs, twin])
    }
    assert gains["b", "auto"] == pytest.approx(0.05, abs=0.03)
    assert gains["cc", "auto"] == pytest.approx(0.05, abs=0.03)
    assert gains["b", "dann"] == pytest.approx(-0.25, abs=0.02)


def test_regret_is_what_the_choice_lacks(scripts, runs):
    ranked = scripts.figures.rankings(runs)
    pair = ("s", "builtin:x", "a", "b", 1)
    assert ranked["estimated_accuracy"][pair] == {"regret": 0.0, "rank": pytest.approx(1.0)}
    assert ranked["always dann"][pair]["regret"] == pytest.approx(0.4, abs=0.02)
    assert ranked["always auto"][pair]["regret"] == 0.0
    assert all(0 <= one["regret"] <= 0.45 for one in ranked["share_agreement"].values())
    picked = scripts.figures.left_out(ranked)
    assert {one["regret"] for one in picked.values()} == {0.0}


def test_heads_need_more_than_one(scripts, runs):
    assert "accuracy_on_the_line" not in scripts.figures.estimates(runs)
    more = [*runs, scripts.benchmark.run_of(*model("source_only", "b", 0.75, seed=2))]
    assert len(scripts.figures.estimates(more)["accuracy_on_the_line"]) == 2


def test_an_interval_is_fitted_to_other_targets(scripts):
    found = [
        {"said": 0.5 + off, "true": 0.5, "target": target}
        for target, offs in (("b", np.linspace(0, 0.1, 50)), ("c", np.linspace(0, 0.2, 50)))
        for off in offs
    ]
    fitted, held, width = scripts.figures.coverage(found)
    assert fitted
    assert all(held[:50])
    assert np.mean(held[50:]) == pytest.approx(0.48, abs=0.04)
    assert 0.15 < width < 0.2
    assert scripts.figures.coverage(found[:50])[0] is False


@pytest.mark.parametrize("suites", [("snippets", "amazon"), ("wnut",)])
def test_reports_show_the_interval_that_was_measured(scripts, suites):
    found = [
        {"said": one["validators"]["estimated_accuracy"], "true": one["accuracy"], **one}
        for one in scripts.lines
        if one["suite"] in suites
    ]
    task = "token-classification" if suites == ("wnut",) else "sequence-classification"
    assert ESTIMATE_OFF[task] == pytest.approx(scripts.figures.coverage(found)[2], abs=0.005)


def test_rules_of_export_are_measured(scripts, runs):
    found = {
        (method, rule): gains
        for method, rule, gains in scripts.figures.exports(scripts.figures.verdicts(runs))
    }
    assert found["dann", "always the adapted model"].max() < -0.2
    assert found["auto", "that of the higher estimate"].min() > 0


def test_taggers_are_scored_by_spans(scripts):
    runs = [scripts.benchmark.run_of(*tagger(m, n)) for m, n in (("source_only", 5), ("dann", 10))]
    assert [one["scores"]["source_risk"] for one in runs] == [pytest.approx(2 / 3), 1.0]
    assert [one["accuracy"] for one in runs] == [pytest.approx(2 / 3), 1.0]
    assert runs[0]["rows"] == 10
    (found,) = scripts.figures.verdicts(runs)
    assert found["gain"] == pytest.approx(1 / 3)
    assert found["verdict"] in ("undecided", "source-only")


def test_of_taggers_the_first_sentences_are_stored(scripts, monkeypatch):
    monkeypatch.setattr(scripts.benchmark, "MOST_SENTENCES", 4)
    _, values = tagger("dann", 10)
    found = scripts.benchmark.first_sentences({**values, "target_features": np.ones((30, 2))})
    assert {name: len(one) for name, one in found.items()} == {
        "source_logits": 12, "source_labels": 12, "source_offsets": 5, "target_logits": 12,
        "target_labels": 12, "target_offsets": 5, "target_features": 12,
    }  # fmt: skip
    _, texts = MODELS[0]
    assert scripts.benchmark.first_sentences(texts)["target_labels"] is texts["target_labels"]


def test_the_page_says_how_many_models_it_has(scripts, runs):
    page = scripts.page.page(runs)
    assert "4 adapted models (auto, dann) of 2 pairs and seeds" in page
    worst = "| a to b, s, x, seed 1 | dann |"
    assert page.index(worst) < page.index(worst.replace("dann", "auto"))


def test_what_is_stored_is_scored_again_alike(scripts, runs, tmp_path, monkeypatch):
    out = tmp_path / "validators.md"
    monkeypatch.setattr(sys, "argv", ["benchmark_validators", "--out", str(out)])
    with pytest.raises(SystemExit, match="give --keep"):
        scripts.benchmark.main()
    words = tagger("dann", 7)
    scripts.benchmark.store([*MODELS, words], out.with_suffix(".npz"))
    scripts.benchmark.main()
    first = out.read_text()
    scripts.benchmark.main()
    assert out.read_text() == first
    args = Namespace(out=out, keep=None)
    again = [scripts.benchmark.run_of(*one) for one in scripts.benchmark.models(args)]
    assert len(again) == len(MODELS) + 1
    for one, other in zip(runs, again, strict=False):
        assert other["measure"] == one["measure"]
        assert other["scores"] == pytest.approx(one["scores"])
        assert not hasattr(other["predictions"], "target_labels")
    assert again[-1]["measure"] == pytest.approx(2 * 7 / 17)
