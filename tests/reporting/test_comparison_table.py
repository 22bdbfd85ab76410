"""The table and its conclusions: what results.json holds, said plainly."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nlp_adapt.metrics import span_metrics
from nlp_adapt.reporting.comparison import compare, conclusions, macro_f1_variance
from nlp_adapt.reporting.table import comparison_rows, layout, type_rows
from nlp_adapt.training.trainer_api.view import RunResults
from tests.helpers.results import run

WORSE = run([[400, 100], [100, 400]], [[300, 200], [200, 300]])
BETTER = run([[300, 200], [200, 300]], [[400, 100], [100, 400]])
SAME = run([[400, 100], [100, 400]], [[405, 95], [100, 400]])


def shown(results: dict[str, Any]) -> str:
    return str(RunResults(results, "run"))


def test_rows_hold_percentages_and_signed_points() -> None:
    header, before, after, difference = comparison_rows(WORSE)
    assert header[1:] == [
        "source accuracy",
        "source macro-F1",
        "target accuracy",
        "target macro-F1",
    ]
    assert before == ["source-only", "90.0", "90.0", "80.0", "80.0"]
    assert after == ["dann", "90.0", "90.0", "60.0", "60.0"]
    assert difference == ["difference", "0.0", "0.0", "-20.0", "-20.0"]


def test_gains_carry_a_plus() -> None:
    assert comparison_rows(BETTER)[-1][-1] == "+20.0"


def test_a_loss_is_called_worse() -> None:
    sentence, gap = conclusions(WORSE)
    assert sentence.startswith("dann is 20.0 macro-F1 points worse than doing nothing on tweets")
    assert "source_only/model" in sentence
    assert gap == "The source-only model loses 10.0 macro-F1 points from films to tweets."


def test_a_gain_is_called_better() -> None:
    assert "20.0 macro-F1 points better than doing nothing" in conclusions(BETTER)[0]


def test_noise_is_called_no_clear_difference() -> None:
    comparison = compare(SAME, "target")
    assert comparison is not None
    assert comparison.verdict == "no clear difference"
    assert conclusions(SAME)[0].startswith("No clear difference: dann is 0.5 macro-F1 points above")


def test_equal_scores() -> None:
    same = run([[400, 100], [100, 400]], [[400, 100], [100, 400]])
    assert conclusions(same)[0] == "dann and the source-only model score the same on tweets."


def test_interval_grows_as_the_test_set_shrinks() -> None:
    large, small = (
        compare(WORSE, "target"),
        compare(run([[4, 1], [1, 4]], [[3, 2], [2, 3]]), "target"),
    )
    assert large is not None
    assert small is not None
    assert small.half_width == pytest.approx(10 * (large.half_width or math.nan))
    assert (large.verdict, small.verdict) == ("worse", "no clear difference")


def test_variance_of_macro_f1_agrees_with_resampling() -> None:
    matrix = np.array([[200, 100, 5], [60, 326, 20], [3, 9, 50]])
    rng = np.random.default_rng(0)
    total = matrix.sum()
    draws = rng.multinomial(total, matrix.ravel() / total, size=4000).reshape(-1, 3, 3)
    hits = np.diagonal(draws, axis1=1, axis2=2)
    macro = (2 * hits / (draws.sum(1) + draws.sum(2))).mean(1)
    assert math.sqrt(macro_f1_variance(matrix.tolist())) == pytest.approx(macro.std(), rel=0.05)


def test_variance_leaves_out_classes_that_never_occur() -> None:
    two = [[40, 10], [5, 45]]
    three = [[40, 10, 0], [5, 45, 0], [0, 0, 0]]
    assert macro_f1_variance(three) == pytest.approx(macro_f1_variance(two))
    assert macro_f1_variance([[0, 0], [0, 0]]) == 0.0


def test_unlabelled_target_is_said_to_be_unknown() -> None:
    results = copy.deepcopy(WORSE)
    for model in ("source_only", "adapted"):
        results[model]["target"] = None
    assert comparison_rows(results)[-1] == ["difference", "0.0", "0.0", "-", "-"]
    (sentence,) = conclusions(results)
    assert "quality there is unknown" in sentence
    assert "better" not in shown(results)


def test_without_a_twin_there_is_no_verdict() -> None:
    results = {**WORSE, "source_only": None}
    assert [row[0] for row in comparison_rows(results)] == ["%", "dann"]
    assert conclusions(results) == [
        "No source-only twin was trained, so there is nothing to compare with."
    ]


def test_source_only_runs_are_not_compared_with_themselves() -> None:
    results = {**WORSE, "method": "source_only", "source_only": None}
    assert comparison_rows(results)[1][0] == "source-only"
    assert "no adaptation" in conclusions(results)[0]


def test_a_run_without_target() -> None:
    results = copy.deepcopy({**WORSE, "target": None, "method": "source_only"})
    for model in ("source_only", "adapted"):
        results[model]["target"] = None
    assert "films" in shown(results)


def test_no_gap_to_close() -> None:
    results = run([[480, 20], [20, 480]], [[480, 20], [20, 480]])
    assert conclusions(results)[1].startswith("The source-only model scores no lower on tweets (")


def test_columns_line_up() -> None:
    table = layout(comparison_rows(WORSE)).splitlines()
    assert "\n".join(table) in shown(WORSE)
    assert len({len(line) for line in table}) == 1
    assert table[0].startswith("%")


def span_run() -> dict[str, Any]:
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    found = [["B-PER", "I-PER", "O", "O"], ["B-LOC", "O"]]
    return {
        **WORSE,
        "task": "token-classification",
        "source_only": {"source": None, "target": span_metrics(truth, found)},
        "adapted": {"source": None, "target": span_metrics(truth, truth)},
    }


def test_entities_have_span_scores_and_a_table_by_type() -> None:
    results = span_run()
    header, before, after, _ = comparison_rows(results)
    assert header[1:4] == ["source span F1", "source precision", "source recall"]
    assert before[1:] == ["-", "-", "-", "80.0", "100.0", "66.7"]
    assert after[4:] == ["100.0", "100.0", "100.0"]
    assert type_rows(results) == [
        ["F1 on target, %", "spans", "source-only", "dann", "difference"],
        ["LOC", "2", "66.7", "100.0", "+33.3"],
        ["PER", "1", "100.0", "100.0", "0.0"],
    ]
    assert "LOC" in shown(results)


def test_types_are_those_of_the_source_where_the_target_has_no_labels() -> None:
    results = span_run()
    results["adapted"]["source"] = results["source_only"]["source"] = results["adapted"]["target"]
    assert "F1 on target, %" in shown(results)
    del results["source_only"], results["adapted"]["target"]
    assert type_rows(results)[:2] == [["F1 on source, %", "spans", "dann"], ["LOC", "2", "100.0"]]


def test_differences_of_spans_have_an_interval() -> None:
    sentence = conclusions(span_run())[0]
    assert sentence.startswith("No clear difference: dann is 20.0 span F1 points above")
    assert "3 true entities)" in sentence
    many = span_run()
    for model in ("source_only", "adapted"):
        many[model]["target"]["f1_variance"] /= 100
        many[model]["target"]["support"] *= 100
    comparison = compare(many, "target")
    assert comparison is not None
    assert comparison.verdict == "better"
    del many["adapted"]["target"]["f1_variance"]  # a run of an earlier version
    assert (
        conclusions(many)[0] == "dann is 20.0 span F1 points better than doing nothing on tweets."
    )


def test_several_targets_are_surer_than_one() -> None:
    one = compare(BETTER, "target")
    several = copy.deepcopy(BETTER)
    for model in ("source_only", "adapted"):
        own = several[model]["target"]
        several[model]["target"] = {**own, "domains": dict.fromkeys("abcd", own)}
    together = compare(several, "target")
    assert one is not None
    assert together is not None
    assert together.half_width == pytest.approx((one.half_width or 0) / 2)


def scored(matrix: list[list[int]]) -> dict[str, Any]:
    """What a run says of a model with this confusion matrix."""
    from nlp_adapt.metrics.classification import classification_metrics

    pairs = [
        (i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) for _ in range(count)
    ]
    names = ["negative", "positive", "neutral"][: len(matrix)]
    return classification_metrics([i for i, _ in pairs], [j for _, j in pairs], names)


def told_apart(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {
        **WORSE,
        "source_only": {"source": None, "target": before},
        "adapted": {"source": None, "target": after},
    }


def judged(before: list[list[int]], after: list[list[int]]) -> dict[str, Any]:
    return told_apart(scored(before), scored(after))


def test_one_stray_prediction_does_not_change_the_classes_that_are_compared() -> None:
    """The target has no neutral rows; the better model says so of one of 1,000."""
    from nlp_adapt.training.results import difference

    results = judged(
        [[450, 50, 0], [50, 450, 0], [0, 0, 0]], [[460, 39, 1], [41, 459, 0], [0, 0, 0]]
    )
    assert results["adapted"]["target"]["macro_f1"] < 0.65  # over three classes, one of them 0
    comparison = compare(results, "target")
    assert comparison is not None
    gained = 100 * (f1_score([0] * 500 + [1] * 500,
                             [0] * 460 + [1] * 39 + [2] + [0] * 41 + [1] * 459,
                             labels=[0, 1], average="macro") - 0.9)  # fmt: skip
    assert comparison.difference == pytest.approx(gained)
    assert difference(results, "macro_f1") == {"target": pytest.approx(gained / 100, abs=1e-6)}
    assert comparison.verdict == "no clear difference"
    assert any("over the classes that have test rows" in text for text in conclusions(results))
    plain = judged([[450, 50], [50, 450]], [[460, 40], [41, 459]])
    assert not any("over the classes that" in text for text in conclusions(plain))


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_a_few_rows_are_no_proof(rows: int) -> None:
    sentence = conclusions(judged([[0, rows], [0, 0]], [[rows, 0], [0, 0]]))[0]
    assert f"is measured on {rows} test rows of" in sentence
    assert "too few" in sentence


@pytest.mark.parametrize("rows", [10, 20, 60])
def test_equally_good_models_are_seldom_told_apart(rows: int) -> None:
    half = rows // 2

    @cache
    def one_model(first: int, second: int) -> dict[str, Any]:
        return scored([[first, half - first], [half - second, second]])

    clear = 0
    for before, after in np.random.default_rng(rows).binomial(half, 0.9, (400, 2, 2)).tolist():
        comparison = compare(told_apart(one_model(*before), one_model(*after)), "target")
        assert comparison is not None
        clear += comparison.verdict != "no clear difference"
    assert clear / 400 < 0.05
