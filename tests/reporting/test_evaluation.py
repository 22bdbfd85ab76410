"""What `nlp-adapt evaluate` prints, from the numbers alone."""

from __future__ import annotations

from typing import Any

from nlp_adapt.metrics import classification_metrics, span_metrics
from nlp_adapt.reporting.table import error_rows, kind_rows, main_rows, render_evaluation

SENTIMENT = "sequence-classification"
CLEAN = classification_metrics([0, 0, 1, 1], [0, 0, 1, 0], ["negative", "positive"])
ATTACKED = classification_metrics([0, 0, 1, 1], [1, 0, 0, 0], ["negative", "positive"])


def report(**extra: Any) -> dict[str, Any]:
    return {
        "model": "runs/x",
        "task": SENTIMENT,
        "data": "tweets",
        "split": "test",
        "rows": 1234,
        "metrics": CLEAN,
        **extra,
    }


def test_metrics_of_one_model() -> None:
    assert main_rows(SENTIMENT, CLEAN)[:2] == [["%", "value"], ["accuracy", "75.0"]]
    assert kind_rows(CLEAN)[1:] == [
        ["negative", "66.7", "100.0", "80.0", "2"],
        ["positive", "100.0", "50.0", "66.7", "2"],
    ]
    assert error_rows(CLEAN) == []
    text = render_evaluation(report())
    assert text.startswith("runs/x on tweets (test, 1,234 labelled rows)\n")
    assert "attack" not in text


def test_an_attack_adds_columns() -> None:
    rows = main_rows(SENTIMENT, CLEAN, ATTACKED, "fgm")
    assert rows[:2] == [
        ["%", "clean", "fgm", "difference"],
        ["accuracy", "75.0", "25.0", "-50.0"],
    ]
    assert kind_rows(CLEAN, ATTACKED, "fgm")[1] == [
        *("negative", "66.7", "100.0", "80.0", "40.0", "2"),
    ]
    attack = {"kind": "fgm", "epsilon": 0.025, "flipped": 2 / 3, "metrics": ATTACKED}
    text = render_evaluation(report(attack=attack))
    assert "at most 2.5 % of their norm; 66.7 % of the rows that were right turn wrong" in text


def test_span_errors_side_by_side() -> None:
    truth = [["B-PER", "I-PER", "O", "B-LOC"]]
    clean = span_metrics(truth, truth)
    attacked = span_metrics(truth, [["B-PER", "O", "B-LOC", "B-PER"]])
    assert error_rows(clean, attacked, "pgd") == [
        ["spans", "clean", "pgd"],
        ["correct", "2", "0"],
        ["wrong type", "0", "1"],
        ["wrong boundary", "0", "1"],
        ["missed", "0", "0"],
        ["spurious", "0", "1"],
    ]
    assert error_rows(clean)[0] == ["spans", "count"]
