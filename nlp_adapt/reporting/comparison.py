"""Is the adapted model better than doing nothing? An answer in numbers and in plain words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nlp_adapt.metrics.classification import Z95, comparable, share_variance
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION, counted
from nlp_adapt.reporting.results import (
    SIDES,
    Results,
    falls_back,
    few_shot_rows,
    is_source_only,
    main_measure,
    method_title,
    one_answer,
    part,
    what_was_not_learnt,
)
from nlp_adapt.reporting.yardsticks import threshold_remark

SOURCE_ONLY_FOLDER = "source_only/model"
ALSO_TRAINED = "The adapted model was also trained on"
# How far nine of ten estimates were off on targets whose truth is known (docs/benchmarks/validators.md).
ESTIMATE_OFF = {SEQUENCE_CLASSIFICATION: 0.30, TOKEN_CLASSIFICATION: 0.02}
FEWEST = 10  # test rows, or true entities, below which no interval can be trusted
SIGNS_SAY = {
    "adapted": "the signs speak for the adapted model",
    "source-only": "the signs speak for the source-only model, against the adapted one",
    "undecided": "it cannot be told which model is better on the target",
}


@dataclass(frozen=True)
class Comparison:
    """The adapted model against its source-only twin on one test set.

    Attributes:
        measure: What is compared, as a reader calls it, such as "macro-F1".
        difference: Adapted minus source-only, in points (hundredths).
        half_width: Half the 95 % interval of the difference in points; None where unknown.
        size: How large the test set is, in words.
        too_few: Whether the test set is too small for any verdict.
    """

    measure: str
    difference: float
    half_width: float | None
    size: str
    too_few: bool = False

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no clear difference` where the interval holds 0."""
        if self.too_few or abs(self.difference) <= (self.half_width or 0.0):
            return "no clear difference"
        return "better" if self.difference > 0 else "worse"


def compare(results: Results, domain: str) -> Comparison | None:
    """Compare a run's models on "source" or "target"; None where a model or score is missing."""
    before, after = (part(results, model, domain) for model in ("source_only", "adapted"))
    if not before or not after or is_source_only(results):
        return None
    main = main_measure(results)
    variances = [_variance(metrics) for metrics in (before, after)]
    half_width = None
    if None not in variances:
        # Two models scored on the same rows err together, so adding their variances overstates that
        # of the difference: a difference called clear is clear.
        half_width = 100 * Z95 * math.sqrt(sum(variance or 0.0 for variance in variances))
    difference = 100 * (comparable(after, main.key) - comparable(before, main.key))
    counted = "true entities" if "per_type" in after else "test rows"
    size = f"{after.get('support', 0):,} {counted}"
    few = after.get("support", FEWEST) < FEWEST
    return Comparison(main.title, difference, half_width, size, too_few=few)


def _variance(metrics: Results) -> float | None:
    """Sampling variance of the main measure, where the metrics say enough."""
    if domains := metrics.get("domains"):  # the measure is the mean over domains
        own = [_variance(one) for one in domains.values()]
        known = [variance for variance in own if variance is not None]
        return sum(known) / len(own) ** 2 if len(known) == len(own) else None
    found = metrics.get("f1_variance")
    if metrics.get("confusion_matrix"):
        found = macro_f1_variance(metrics["confusion_matrix"])
    support = metrics.get("support", 0)
    if found is None or not support:
        return found
    # A model that is always right, or always wrong, shows no spread: a few such rows are no proof.
    return max(found, share_variance(1.0, support))


def half_width(metrics: Results) -> float | None:
    """Half the 95 % interval of one model's main measure; None where the metrics do not tell."""
    variance = _variance(metrics)
    return None if variance is None else Z95 * math.sqrt(variance)


def estimate_half_width(scores: Results) -> float | None:
    """Half the interval in which nine of ten estimates held what was true, where models were measured."""
    if part(scores, "label_free").get("estimated_accuracy") is None:
        return None
    words = "source_variance" in part(scores, "evidence")
    return ESTIMATE_OFF[TOKEN_CLASSIFICATION if words else SEQUENCE_CLASSIFICATION]


def macro_f1_variance(matrix: Sequence[Sequence[int]]) -> float:
    """Sampling variance of macro-F1 from a confusion matrix (rows are labels).

    The delta method on multinomial cells: with p the share of each cell and g the derivative of
    macro-F1 by it, the variance is (sum p g^2 - (sum p g)^2) / n. It is the macro-F1 of `comparable`.
    """
    total = sum(map(sum, matrix))
    if not total:
        return 0.0
    supports = [sum(row) / total for row in matrix]
    predicted = [sum(column) / total for column in zip(*matrix, strict=True)]
    present = sum(support > 0 for support in supports)
    # F1_k = 2 hits_k / (supports_k + predicted_k), by its margins and by its hits
    by_margin, by_hit = [0.0] * len(matrix), [0.0] * len(matrix)
    for k, support in enumerate(supports):
        if support > 0:
            margin = support + predicted[k]
            by_margin[k] = -2 * (matrix[k][k] / total) / margin**2 / present
            by_hit[k] = 2 / margin / present
    mean = square = 0.0
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            slope = by_margin[i] + by_margin[j] + (by_hit[i] if i == j else 0.0)
            mean += count / total * slope
            square += count / total * slope**2
    return max(square - mean**2, 0.0) / total


def conclusions(results: Results) -> list[str]:
    """What the numbers mean for the user, in plain sentences."""
    return [*_answer(results), *what_was_not_learnt(results), *_remarks(results)]


def verdict_sentences(results: Results) -> list[str]:
    """The verdict of the guard, which sees no target labels, its reasons, and what was done."""
    guard = results.get("guard")
    if not guard or is_source_only(results):
        return []
    verdict = f"Without target labels, {SIGNS_SAY[guard['verdict']]}."
    settled = part(results, "review").get("exported") or guard["verdict"] == "adapted"
    return [verdict, *guard["reasons"], *([] if settled else [_export(results)])]


def _export(results: Results) -> str:
    """Which model is exported, and why."""
    verdict = part(results, "guard")["verdict"]
    if falls_back(results):
        why = "" if verdict == "source-only" else ", which has the better worst case"
        tested = part(results, "adapted", "target")
        labels = " No test label of the target has a say in this." if tested else ""
        return (
            f"So the exported model is the source-only one{why}; the adapted one is kept in "
            f"adapted/model.{labels} `fall_back: false` exports the adapted model, "
            "`nlp-adapt review` asks you which is better."
        )
    return "The exported model is the adapted one."


def answer_sentences(results: Results) -> list[str]:
    """What a person's answers said of both models, if they were asked."""
    if not results.get("review"):
        return []
    from nlp_adapt.reporting.reviewed import review_sentences

    return review_sentences(results)


def _answer(results: Results) -> list[str]:
    """Whether the adapted model is better than doing nothing."""
    target = part(results, "target").get("name", "the target")
    if not part(results, "adapted", "target"):
        return [
            f"{target} has no labelled test rows, so the quality there is unknown: give some with "
            "target_test to measure it."
        ]
    if is_source_only(results):
        return ["This run did no adaptation: it is the yardstick for other methods."]
    comparison = compare(results, "target")
    if comparison is None:
        return ["No source-only twin was trained, so there is nothing to compare with."]
    useless = bool(one_answer(results, "source_only", "target", target))
    conclusion = _conclusion(method_title(results), target, comparison, useless)
    return [conclusion, *threshold_remark(results), *_stray(results), *_gap(results)]


def _conclusion(method: str, target: str, comparison: Comparison, useless_twin: bool) -> str:
    points = f"{abs(comparison.difference):.1f} {comparison.measure} points"
    noise = ""
    if comparison.half_width is not None:
        noise = f" (95 % interval +/- {comparison.half_width:.1f}, {comparison.size})"
    if comparison.verdict == "better":
        return f"{method} is {points} better than doing nothing on {target}{noise}."
    if comparison.verdict == "worse":
        use = f"use the source-only model in {SOURCE_ONLY_FOLDER}, or "
        return (
            f"{method} is {points} worse than doing nothing on {target}{noise}: "
            f"{'' if useless_twin else use}try another method."
        )
    if comparison.too_few and abs(comparison.difference) > (comparison.half_width or 0.0):
        return (
            f"{method} is measured on {comparison.size} of {target} only, too few to tell it from "
            "the source-only model: give more with target_test."
        )
    if comparison.half_width is None or points.startswith("0.0 "):
        return f"{method} and the source-only model score the same on {target}."
    direction = "above" if comparison.difference > 0 else "below"
    return (
        f"No clear difference: {method} is {points} {direction} the source-only model on {target}, "
        f"which sampling noise alone can bring about{noise}."
    )


def _stray(results: Results) -> list[str]:
    """Where the table's macro-F1 and the comparison's differ, why."""
    sides = [results[model]["target"] for model in ("source_only", "adapted")]
    if results["task"] != SEQUENCE_CLASSIFICATION or all(
        math.isclose(comparable(side, "macro_f1"), side["macro_f1"], abs_tol=1e-9)
        for side in sides
        if "macro_f1" in side
    ):
        return []
    return [
        "The comparison averages over the classes that have test rows; a model's own macro-F1 also "
        "counts classes that only it predicts, as 0."
    ]


def _gap(results: Results) -> list[str]:
    scores, main = results["source_only"], main_measure(results)
    if not scores.get("source"):
        return []
    before, after = (100 * comparable(scores[side], main.key) for side in SIDES)
    source, target = (results[side]["name"] for side in SIDES)
    lost = f"{before - after:.1f}"
    if float(lost) > 0:
        return [
            f"The source-only model loses {lost} {main.title} points from {source} to {target}."
        ]
    return [
        f"The source-only model scores no lower on {target} ({after:.1f} {main.title}) than on "
        f"{source} ({before:.1f})."
    ]


def _remarks(results: Results) -> list[str]:
    """What else the adapted model was trained on: labelled target rows and auxiliary tasks."""
    said = []
    if rows := few_shot_rows(results):
        names = " and ".join(results["target_labels"]["domains"])
        bias = results["target_labels"].get("use") == "bias"
        use = "The decisions of the adapted model were set by" if bias else ALSO_TRAINED
        said.append(f"{use} {counted(rows, 'labelled row')} of {names}.")
        if results.get("source_only"):
            said.append(
                "The source-only model has not seen them: the difference is that of adaptation and "
                "of these labels together. The method source_only with the same rows shows what "
                "labels alone give."
            )
    tasks = []
    for name, task in part(results, "auxiliary").items():
        tasks.append(
            f"{name} ({counted(len(task['labels']), 'class')}, {counted(task['rows'], 'row')})"
        )
        if own := part(results, "adapted", "auxiliary").get(name):
            tasks[-1] += (
                f", {100 * own['accuracy']:.1f} % right on {own['count']:,} held-out labels "
                f"(the largest class: {100 * own['largest_class']:.1f} %)"
            )
    return [*said, f"The adapted model was also trained on {'; '.join(tasks)}."] if tasks else said
