"""Ranks methods by a label-free score, with true scores beside it where there are labels."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.comparing.agreement import AGREEMENT, agreements
from nlp_adapt.comparing.training import Trained
from nlp_adapt.metrics.classification import comparable
from nlp_adapt.reporting.results import MISSING, main_measure, part, percent
from nlp_adapt.reporting.runs import require_comparable
from nlp_adapt.reporting.table import Row

SOURCE_ONLY, LABEL_FREE = "source_only", "label_free"
CONFIDENCE = 0.95
Interval = dict[str, float | None]


def rank(trained: Sequence[Trained], selector: str | None = None) -> dict[str, Any]:
    """Methods from best to worst by the mean of a label-free score over equal seeds.

    What a method gains is counted from source_only, or from the first method where that is missing: the
    mean of the differences between runs of one seed, with a 95 % t interval over seeds. A method one of
    whose runs failed has no rank.

    Args:
        selector: A score of `results.json` under `label_free`. Default: agreement with the other
            methods, which tells most of their order (docs/benchmarks/validators.md); of fewer than
            three methods `label_free`.

    Returns:
        Plain values: `selector`, `measure`, `seeds`, `baseline`, and `methods`, each with `rank`,
        means of the `selector` and of the main measure on `target` and `source`, their `gains`, `steps`,
        `seconds`, the `runs` by seed and what `failed`.

    Raises:
        ConfigError: Two runs have another task, label set or target, as where data has changed.
    """
    results = {one.folders[seed]: found for one in trained for seed, found in one.runs.items()}
    agreed = agreements(trained) if selector is None else {}
    if selector is None:
        whole = all(one.runs.keys() == agreed[one.method].keys() for one in trained)
        selector = AGREEMENT if whole else LABEL_FREE
    if not results:
        return {"selector": selector, "measure": None, "seeds": [], "baseline": None,
                "methods": [_entry(one, {}, {}) for one in trained]}  # fmt: skip
    require_comparable(results)
    measure = main_measure(next(iter(results.values())))
    values = {one.method: _values(one, selector, measure.key) for one in trained}
    if selector == AGREEMENT:
        values = {name: {**own, "selector": agreed[name]} for name, own in values.items()}
    names = [one.method for one in trained if one.runs]
    baseline = SOURCE_ONLY if SOURCE_ONLY in names else names[0]
    entries = [_entry(one, values[one.method], values[baseline]) for one in trained]
    ranked = sorted(
        (one for one in entries if not one["failed"] and one["selector"] is not None),
        key=lambda one: -one["selector"],
    )
    for place, entry in enumerate(ranked, 1):
        entry["rank"] = place
    others = [one for one in entries if one["rank"] is None]
    return {
        "selector": selector,
        "measure": measure.title,
        "seeds": sorted({seed for one in trained for seed in (*one.runs, *one.failed)}),
        "baseline": baseline,
        "methods": [*ranked, *others],
    }


def paired(values: Mapping[int, float], before: Mapping[int, float]) -> Interval | None:
    """The mean difference over the seeds that both have, and its 95 % t interval.

    Returns:
        `mean`, `low` and `high`, which are None with a single seed; None without any.
    """
    from scipy.stats import t

    gains = [values[seed] - before[seed] for seed in values if seed in before]
    if not gains:
        return None
    mean = statistics.mean(gains)
    if len(gains) < 2:
        return {"mean": mean, "low": None, "high": None}
    error = statistics.stdev(gains) / len(gains) ** 0.5
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half}


def ranking_rows(ranking: Mapping[str, Any]) -> list[Row]:
    """The ranking as a table."""
    against = f"vs {ranking['baseline']}"
    measure = ranking["measure"]
    rows = [["method", "rank", ranking["selector"], against, f"target {measure}, %", against,
             f"source {measure}, %", "steps", "runs"]]  # fmt: skip
    for one in ranking["methods"]:
        is_base = one["method"] == ranking["baseline"]
        rank, score = one["rank"], one["selector"]
        gains = ["-" if is_base else _points(one["gains"].get(k)) for k in ("selector", "target")]
        rows.append(
            [
                one["method"],
                MISSING if rank is None else str(rank),
                percent(score),
                gains[0],
                percent(one["target"]),
                gains[1],
                percent(one["source"]),
                MISSING if one["steps"] is None else f"{one['steps']:,}",
                str(len(one["runs"])),
            ]
        )
    return rows


def ranking_sentences(ranking: Mapping[str, Any]) -> list[str]:
    """What the ranking means, and what failed."""
    said = []
    ranked = [one for one in ranking["methods"] if one["rank"]]
    if ranked:
        count = len(ranking["seeds"])
        intervals = (
            f"Brackets are 95 % intervals, paired over {count} seeds; they leave out that other test "
            "rows would give other scores."
            if count > 1
            else "One seed shows no spread: give --seeds 3 for intervals."
        )
        means = ": how often it says of the target what another method says" * (
            ranking["selector"] == AGREEMENT
        )
        said.append(
            f"Ranked by {ranking['selector']}{means}, which reads no target label. {intervals}"
        )
    known = [one for one in ranked if one["target"] is not None]
    if known:
        first, best = ranked[0], max(known, key=lambda one: one["target"])
        lost = 100 * (best["target"] - (first["target"] or 0.0))
        said.append(
            f"By target labels {best['method']} is best as well."
            if first is best
            else f"By target labels {best['method']} is best, {lost:.1f} points above "
            f"{first['method']}, which the labels did not choose."
        )
    elif ranked:
        said.append("No target label was given, so that the ranking may be wrong: train the one that you "
                    "choose with `nlp-adapt train`, and `nlp-adapt review` that run.")  # fmt: skip
    for one in ranking["methods"]:
        for seed, error in one["failed"].items():
            said.append(f"{one['method']} with seed {seed} failed: {error}")
    return said


def _values(one: Trained, selector: str, key: str) -> dict[str, dict[int, float]]:
    """The numbers of a method's runs by seed."""
    found: dict[str, dict[int, float]] = {"selector": {}, "target": {}, "source": {}}
    for seed, results in one.runs.items():
        value = part(results, "adapted", "label_free").get(selector)
        if value is not None:
            found["selector"][seed] = value
        for side in ("target", "source"):
            if scores := part(results, "adapted", side):
                found[side][seed] = comparable(scores, key)
    return found


def _entry(
    one: Trained,
    values: Mapping[str, Mapping[int, float]],
    before: Mapping[str, Mapping[int, float]],
) -> dict[str, Any]:
    means = {
        key: statistics.mean(own.values()) if (own := values.get(key)) else None
        for key in ("selector", "target", "source")
    }
    used = {
        key: [part(results, "adapted").get(key, 0) for results in one.runs.values()]
        for key in ("steps", "seconds")
    }
    return {
        "method": one.method,
        "rank": None,
        **means,
        "gains": {
            key: paired(values[key], before[key]) for key in ("selector", "target") if key in values
        },
        **{key: round(statistics.mean(own)) if own else None for key, own in used.items()},
        "runs": {str(seed): folder for seed, folder in one.folders.items()},
        "failed": {str(seed): error for seed, error in one.failed.items()},
    }


def _points(gain: Interval | None) -> str:
    if gain is None or gain["mean"] is None:
        return MISSING
    shown = f"{100 * gain['mean']:+.1f}"
    if gain["low"] is None or gain["high"] is None:
        return shown
    return f"{shown} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
