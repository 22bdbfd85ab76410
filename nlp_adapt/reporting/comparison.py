"""Is the adapted model better than doing nothing? An answer in numbers and in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_adapt.metrics.measures import comparable
from nlp_adapt.names import SEQUENCE_CLASSIFICATION
from nlp_adapt.reporting.several import few_shot_rows, remarks
from nlp_adapt.tasks import TASKS

SOURCE_ONLY_FOLDER = "source_only/model"
Z95 = 1.96  # two-sided 95 %
FEWEST = 10  # test rows, or true entities, below which no interval can be trusted


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


def main_measure(task: str) -> tuple[str, str]:
    """Key and printed name of the number that decides."""
    measure = TASKS[task].main_measure()
    return measure.key, measure.title


def compare(results: Mapping[str, Any], domain: str) -> Comparison | None:
    """Compare the two models of a run on `domain` ("source" or "target").

    Returns:
        None where a model or its score is missing.
    """
    before = (results.get("source_only") or {}).get(domain)
    after = (results.get("adapted") or {}).get(domain)
    if not before or not after or is_source_only(results):
        return None
    key, measure = main_measure(results["task"])
    variances = [_variance(metrics) for metrics in (before, after)]
    half_width = None
    if None not in variances:
        # Two models scored on the same rows err together, so adding their variances overstates that
        # of the difference: a difference called clear is clear.
        half_width = 100 * Z95 * math.sqrt(sum(variance or 0.0 for variance in variances))
    difference = 100 * (comparable(after, key) - comparable(before, key))
    few = after.get("support", FEWEST) < FEWEST
    return Comparison(measure, difference, half_width, _size(after), too_few=few)


def _variance(metrics: Mapping[str, Any]) -> float | None:
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
    # A model that is always right, or always wrong, shows no spread; that of two hits and two misses
    # more (Agresti & Coull 1998, The American Statistician) keeps a few such rows from being proof.
    return max(found, 2 * (support + 2) / (support + 4) ** 3)


def _size(metrics: Mapping[str, Any]) -> str:
    counted = "true entities" if "per_type" in metrics else "test rows"
    return f"{metrics.get('support', 0):,} {counted}"


def macro_f1_variance(matrix: Sequence[Sequence[int]]) -> float:
    """Sampling variance of macro-F1 from a confusion matrix (rows are labels).

    The delta method on multinomial cells: with p the share of each cell and g the derivative of
    macro-F1 by it, the variance is (sum p g^2 - (sum p g)^2) / n. It is the macro-F1 of `comparable`.
    """
    size = len(matrix)
    total = sum(map(sum, matrix))
    if not total:
        return 0.0
    supports = [sum(row) / total for row in matrix]
    predicted = [sum(row[k] for row in matrix) / total for k in range(size)]
    hits = [matrix[k][k] / total for k in range(size)]
    present = [k for k in range(size) if supports[k] > 0]
    # F1_k = 2 hits_k / (supports_k + predicted_k)
    by_margin = dict.fromkeys(range(size), 0.0)
    by_hit = dict.fromkeys(range(size), 0.0)
    for k in present:
        margin = supports[k] + predicted[k]
        by_margin[k] = -2 * hits[k] / margin**2 / len(present)
        by_hit[k] = 2 / margin / len(present)
    mean = square = 0.0
    for i in range(size):
        for j in range(size):
            slope = by_margin[i] + by_margin[j] + (by_hit[i] if i == j else 0.0)
            mean += matrix[i][j] / total * slope
            square += matrix[i][j] / total * slope**2
    return max(square - mean**2, 0.0) / total


def is_source_only(results: Mapping[str, Any]) -> bool:
    """Whether the run's method is no adaptation at all."""
    name = str(results["method"]).replace("-", "_")
    beside = (results.get("augmentation"), few_shot_rows(results), results.get("auxiliary"))
    return name == "source_only" and not any(beside)


def method_title(results: Mapping[str, Any]) -> str:
    """What a reader calls the adapted model: its method, and what it was trained on beside.

    That is the edit of its copies if it had any, labelled target rows and auxiliary tasks.
    """
    if is_source_only(results):
        return "source-only"
    edit = (results.get("augmentation") or {}).get("edit")
    beside = [
        edit,
        "few-shot" if few_shot_rows(results) else None,
        *(results.get("auxiliary") or ()),
    ]
    return " + ".join([str(results["method"]), *filter(None, beside)])


def conclusions(results: Mapping[str, Any]) -> list[str]:
    """What the numbers mean for the user, in plain sentences."""
    return [*_answer(results), *remarks(results)]


def _answer(results: Mapping[str, Any]) -> list[str]:
    """Whether the adapted model is better than doing nothing."""
    method = method_title(results)
    target = (results.get("target") or {}).get("name", "the target")
    adapted = results.get("adapted") or {}
    if not adapted.get("target"):
        return [
            f"{target} has no labelled test rows, so the quality there is unknown: give some with "
            "target_test to measure it."
        ]
    if is_source_only(results):
        return ["This run did no adaptation: it is the yardstick for other methods."]
    comparison = compare(results, "target")
    if comparison is None:
        return ["No source-only twin was trained, so there is nothing to compare with."]
    return [_conclusion(method, target, comparison), *_stray(results), *_gap(results)]


def _stray(results: Mapping[str, Any]) -> list[str]:
    """Where the table's macro-F1 and the comparison's differ, why."""
    if results["task"] != SEQUENCE_CLASSIFICATION:
        return []
    sides = [results[name]["target"] for name in ("source_only", "adapted")]
    if all(
        math.isclose(comparable(side, "macro_f1"), side["macro_f1"], abs_tol=1e-9)
        for side in sides
        if "macro_f1" in side
    ):
        return []
    return [
        "The comparison averages over the classes that have test rows; a model's own macro-F1 also "
        "counts classes that only it predicts, as 0."
    ]


def _conclusion(method: str, target: str, comparison: Comparison) -> str:
    points = f"{abs(comparison.difference):.1f} {comparison.measure} points"
    noise = ""
    if comparison.half_width is not None:
        noise = f" (95 % interval +/- {comparison.half_width:.1f}, {comparison.size})"
    if comparison.verdict == "better":
        return f"{method} is {points} better than doing nothing on {target}{noise}."
    if comparison.verdict == "worse":
        return (
            f"{method} is {points} worse than doing nothing on {target}{noise}: use the "
            f"source-only model in {SOURCE_ONLY_FOLDER}, or try another method."
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


def _gap(results: Mapping[str, Any]) -> list[str]:
    scores = results["source_only"]
    if not scores.get("source"):
        return []
    key, measure = main_measure(results["task"])
    lost = 100 * (comparable(scores["source"], key) - comparable(scores["target"], key))
    names = f"from {results['source']['name']} to {results['target']['name']}"
    if lost <= 0:
        return [f"The source-only model loses nothing {names}: there is no gap to close."]
    return [f"The source-only model loses {lost:.1f} {measure} points {names}."]
