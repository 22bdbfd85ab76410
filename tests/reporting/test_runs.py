"""Several runs side by side: what may be compared, and what a gain is counted from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.errors import ConfigError
from nlp_adapt.reporting.runs import comparison, require_comparable, run_rows

Cli = Callable[..., tuple[int, str, str]]


def results(method: str, score: float, twin: float | None = None, **other: Any) -> dict[str, Any]:
    def scored(value: float) -> dict[str, Any]:
        target = {"macro_f1": value, "accuracy": value + 0.01}
        return {"target": target, "steps": 10, "label_free": {"estimated_accuracy": 0.5}}

    return {
        "task": "sequence-classification",
        "method": method,
        "model": "roberta-base",
        "seed": 42,
        "labels": ["negative", "positive"],
        "fingerprints": {"source": "a", "target": "b"},
        "source_only": None if twin is None else scored(twin),
        "adapted": scored(score),
        **other,
    }


def test_gains_are_counted_from_the_twin_wherever_it_was_trained() -> None:
    runs = {
        "one": results("dann", 0.6),
        "two": results("mcc", 0.8, twin=0.7, guard={"verdict": "adapted"}),
        "other-seed": results("mcc", 0.9, seed=43),
    }
    header, *rows = run_rows(runs)
    assert header[3:] == ["macro-F1 vs source-only", "signs without labels", "seed", "run"]
    assert [row[:5] for row in rows] == [
        ["source-only", "71.0", "70.0", "-", "-"],
        ["dann", "61.0", "60.0", "-10.0", "-"],
        ["mcc", "81.0", "80.0", "+10.0", "adapted"],
        ["mcc", "91.0", "90.0", "-", "-"],
    ]
    twin, dann, mcc, other = comparison(runs)
    assert twin["difference"] is None
    assert other["difference"] is None
    assert dann["difference"] == pytest.approx(-0.1)
    assert mcc == {
        "model": "mcc",
        "run": "two",
        "seed": 42,
        "target": {"accuracy": 0.81, "macro_f1": 0.8},
        "difference": pytest.approx(0.1),
        "estimated_accuracy": 0.5,
        "signs": "adapted",
    }


def test_the_twin_is_named_with_the_run_that_trained_it() -> None:
    runs = {"one": results("dann", 0.6), "two": results("mcc", 0.8, twin=0.7)}
    assert [(row[0], row[-1]) for row in run_rows(runs)[1:]] == [
        ("source-only", "two"),
        ("dann", "one"),
        ("mcc", "two"),
    ]


def test_a_source_only_run_is_the_twin_of_the_others() -> None:
    rows = run_rows({"plain": results("source_only", 0.7), "mcc": results("mcc", 0.8)})[1:]
    assert [row[0] for row in rows] == ["source-only", "mcc"]
    assert rows[1][3] == "+10.0"


@pytest.mark.parametrize(("steps", "gain"), [(11, "+10.0"), (20, "-")])
def test_a_twin_of_another_length_is_none(steps: int, gain: str) -> None:
    """Stages are rounded up to whole steps, which makes a run a little longer."""
    longer = results("mcc", 0.8)
    longer["adapted"]["steps"] = steps
    rows = run_rows({"plain": results("dann", 0.7, twin=0.7), "longer": longer})[1:]
    assert rows[2][3] == gain


def test_each_run_is_compared_with_its_own_twin() -> None:
    runs = {"one": results("dann", 0.8, twin=0.7), "two": results("mcc", 0.8, twin=0.6)}
    assert [row[3] for row in run_rows(runs)[1:]] == ["-", "+10.0", "-", "+20.0"]


def test_a_target_without_labels_has_no_score() -> None:
    unlabelled = results("mcc", 0.8, twin=0.7)
    unlabelled["adapted"]["target"] = unlabelled["source_only"]["target"] = None
    rows = run_rows({"run": unlabelled})[1:]
    assert [row[1:5] for row in rows] == [["-", "-", "-", "-"]] * 2
    assert [one["difference"] for one in comparison({"run": unlabelled})] == [None, None]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"task": "token-classification"}, "task"),
        ({"labels": ["negative", "neutral", "positive"]}, "label set"),
        ({"fingerprints": {"source": "a", "target": "c"}}, "target"),
    ],
)
def test_runs_whose_scores_mean_something_else_are_refused(
    changed: dict[str, Any], named: str
) -> None:
    runs = {"one": results("mcc", 0.8), "two": results("mcc", 0.8, **changed)}
    with pytest.raises(ConfigError, match=f"two has another {named} than one"):
        require_comparable(runs)


def test_the_command_prints_a_table_or_json(tmp_path: Path, run_cli: Cli) -> None:
    for name, method, twin in (("a", "dann", 0.7), ("b", "mcc", None)):
        (tmp_path / name).mkdir()
        text = json.dumps(results(method, 0.8, twin))
        (tmp_path / name / "results.json").write_text(text)
    folders = [str(tmp_path / name) for name in "ab"]
    code, out, _ = run_cli("compare", *folders)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["source-only", "dann", "mcc"]
    code, out, _ = run_cli("compare", *folders, "--json")
    assert code == 0
    assert [one["model"] for one in json.loads(out)["models"]] == ["source-only", "dann", "mcc"]
    code, _, err = run_cli("compare", folders[0], str(tmp_path / "none"))
    assert code == 2
    assert "has no readable results.json" in err


def test_several_domains_must_be_the_same_ones() -> None:
    pair = {"source 1 (a)": "1", "source 2 (b)": "2", "target": "t"}
    one = results("dann", 0.6, twin=0.5, fingerprints=pair)
    other = {**pair, "source 2 (b)": "3"}
    lone = results("mcc", 0.8, fingerprints=other)
    assert comparison({"one": one, "two": lone})[-1]["difference"] is None  # other sources
    same = results("mcc", 0.8, fingerprints=pair)
    assert comparison({"one": one, "two": same})[-1]["difference"] == pytest.approx(0.3)
    for targets in ({"target 1 (x)": "1"}, {"target": "t", "target_stream": "s"}):
        moved = results("mcc", 0.8, fingerprints={"source": "a", **targets})
        with pytest.raises(ConfigError, match="cannot be compared"):
            require_comparable({"one": results("dann", 0.6), "two": moved})
