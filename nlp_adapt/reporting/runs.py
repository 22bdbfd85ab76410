"""Several runs on one target, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.measures import comparable
from nlp_adapt.reporting.results import (
    SOURCE_ONLY,
    Results,
    is_source_only,
    main_measure,
    method_title,
    part,
)
from nlp_adapt.reporting.table import MISSING, Row, percent, points
from nlp_adapt.tasks import TASKS

MOST_ROUNDED = 3  # steps by which the rounding of stages makes a run longer
LONGER = 0.02


def require_comparable(runs: Mapping[str, Results]) -> None:
    """Refuse `runs`, results by folder, whose scores on the target do not mean the same.

    Raises:
        ConfigError: Two runs have another task, label set or target.
    """
    (first, expected), *others = ((name, _identity(results)) for name, results in runs.items())
    for name, found in others:
        differing = [title for title in expected if found[title] != expected[title]]
        if differing:
            raise ConfigError(
                f"{name} has another {' and '.join(differing)} than {first}: their scores cannot be "
                "compared."
            )


def comparison(runs: Mapping[str, Results]) -> list[dict[str, Any]]:
    """The scores of each model of `runs`, results by folder, on the target, and what it gained.

    Returns:
        For each model its title (`model`), `run` and `seed`; its measures on the `target`, shares
        between 0 and 1; the `difference` to the source-only model of the same encoder, source, seed
        and length; its `estimated_accuracy`, and the `signs`: the verdict of the run's guard. What
        is not known is None.
    """
    entries = []
    for title, scores, twin, folder in _models(runs):
        results = runs[folder]
        target, before = part(scores, "target"), part(twin or {}, "target")
        key = main_measure(results).key
        gained = comparable(target, key) - comparable(before, key) if target and before else None
        measures = TASKS[results["task"]].measures
        entries.append(
            {
                "model": title,
                "run": folder,
                "seed": results["seed"],
                "target": {one.key: target.get(one.key) for one in measures},
                "difference": gained,
                "estimated_accuracy": part(scores, "label_free").get("estimated_accuracy"),
                "signs": None if title == SOURCE_ONLY else part(results, "guard").get("verdict"),
            }
        )
    return entries


def run_rows(runs: Mapping[str, Results]) -> list[Row]:
    """`comparison` as a table.

    It leaves out the estimates: a collapsed model is sure of itself, so that its own is high.
    """
    first = next(iter(runs.values()))
    titles = [one.title for one in TASKS[first["task"]].measures]
    gain = f"{main_measure(first).title} vs source-only"
    rows = [["target, %", *titles, gain, "signs without labels", "seed", "run"]]
    for entry in comparison(runs):
        gained = entry["difference"]
        rows.append(
            [
                entry["model"],
                *map(percent, entry["target"].values()),
                points(None if gained is None else 0.0, gained),
                entry["signs"] or MISSING,
                str(entry["seed"]),
                entry["run"],
            ]
        )
    return rows


def _models(runs: Mapping[str, Results]) -> Iterator[tuple[str, Results, Results | None, str]]:
    """Title and scores of each model, the source-only scores to compare with, and its run."""
    twins = {folder: twin for folder, results in runs.items() if (twin := _own(results))}
    shown = set()
    for folder, results in runs.items():
        serving = (other for other in twins if _serves(twins[other], runs[other], results))
        place = folder if folder in twins else next(serving, None)
        if place is not None and place not in shown:
            shown.add(place)
            yield SOURCE_ONLY, twins[place], None, place
        if not is_source_only(results):
            twin = None if place is None else twins[place]
            yield method_title(results), results["adapted"], twin, folder


def _own(results: Results) -> Results | None:
    """The source-only model that a run has trained."""
    return results["adapted"] if is_source_only(results) else results.get("source_only")


def _serves(twin: Results, trained: Results, run: Results) -> bool:
    """Whether the source-only model of the run `trained` is the one that `run` would have trained.

    Stages are rounded up to whole steps, so that lengths may differ by a few.
    """
    longer = abs(run["adapted"]["steps"] - twin["steps"])
    alike = longer <= max(MOST_ROUNDED, LONGER * twin["steps"])
    return alike and _start(trained) == _start(run)


def _start(results: Results) -> tuple[Any, ...]:
    """What a source-only model depends on, but for its length."""
    return results["model"], _rows_of(results, "source"), results["seed"]


def _identity(results: Results) -> dict[str, Any]:
    """What runs must share, by what a message calls it."""
    target = _rows_of(results, "target")
    return {"task": results["task"], "label set": results["labels"], "target": target}


def _rows_of(results: Results, side: str) -> dict[str, str]:
    """The fingerprints of a side: of its one domain, of each of several, or of its stream."""
    return {
        name: value
        for name, value in results["fingerprints"].items()
        if name in (side, f"{side}_stream") or name.startswith(f"{side} ")
    }
