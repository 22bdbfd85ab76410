"""`nlp-adapt evaluate --attack`: clean and attacked scores side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(run_cli: Cli, toy_run: Path, toy_target_jsonl: Path) -> Callable[..., str]:
    """Run `nlp-adapt evaluate` on the toy run with further words; its output."""

    def run(*words: object) -> str:
        code, out, err = run_cli("evaluate", toy_run, "--data", toy_target_jsonl, *words)
        assert code == 0, err
        return out

    return run


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_json_holds_both_sides_and_clean_is_what_it_was(
    evaluate: Callable[..., str], kind: str
) -> None:
    plain = json.loads(evaluate("--json"))
    report = json.loads(evaluate("--json", "--attack", kind, "--epsilon", 0.3))
    attack = report.pop("attack")
    assert report == plain
    assert attack["kind"] == kind
    assert attack["epsilon"] == 0.3
    assert attack.get("steps") == (10 if kind == "pgd" else None)
    assert attack["metrics"].keys() == plain["metrics"].keys()
    assert attack["metrics"]["accuracy"] == attack["accuracy_under_attack"]
    assert attack["metrics"]["accuracy"] < plain["metrics"]["accuracy"] == attack["accuracy"]
    assert attack["metrics"]["macro_f1"] < plain["metrics"]["macro_f1"]
    assert attack["loss_under_attack"] > attack["loss"]


def test_epsilon_zero_changes_no_number(evaluate: Callable[..., str]) -> None:
    report = json.loads(evaluate("--json", "--attack", "pgd", "--epsilon", 0, "--steps", 2))
    assert report["attack"]["metrics"] == report["metrics"]
    assert report["attack"]["flipped"] == 0.0
    assert report["attack"]["loss_under_attack"] == report["attack"]["loss"]


def test_for_people_the_scores_stand_side_by_side(evaluate: Callable[..., str]) -> None:
    words = ("--attack", "pgd", "--epsilon", 0.3, "--steps", 3, "--precision", "bf16")
    lines = [line.split() for line in evaluate(*words).splitlines()]
    assert ["%", "clean", "pgd", "difference"] in lines
    (accuracy,) = (line for line in lines if line[:1] == ["accuracy"])
    clean, attacked, difference = map(float, accuracy[1:])
    assert difference == pytest.approx(attacked - clean, abs=0.11)
    assert difference < 0
    text = " ".join(word for line in lines for word in line)
    assert "at most 30 % of their norm in 3 steps" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--epsilon", 0.1), "--epsilon needs --attack"),
        (("--attack", "fgm", "--steps", 3), "--steps is an option of --attack pgd"),
        (("--attack", "fgm", "--epsilon", -1), "epsilon is -1.0"),
        (("--attack", "fgm", "--epsilon", "nan"), "epsilon is nan"),
        (("--attack", "pgd", "--step-size", 0), "step_size is 0.0"),
        (("--attack", "pgd", "--steps", 0), "0 is not above 0"),
        (("--attack", "words"), "invalid choice: 'words'"),
    ],
)
def test_bad_options_are_one_sentence(
    run_cli: Cli, toy_target_jsonl: Path, words: tuple[object, ...], says: str
) -> None:
    """Refused before anything is loaded: there is no such model."""
    code, out, err = run_cli("evaluate", "nowhere", "--data", toy_target_jsonl, *words)
    assert code == 2
    assert out == ""
    assert says in err
    assert "Traceback" not in err
