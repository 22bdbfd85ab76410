"""Several runs on one target, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.measures import comparable
from nlp_adapt.reporting.comparison import is_source_only, main_measure, method_title
from nlp_adapt.reporting.table import MEASURES, MISSING, percent, points

SOURCE_ONLY = "source-only"
SAME = {"task": "task", "labels": "label set", "target": "target"}
MOST_ROUNDED = 3  # steps by which the rounding of stages makes a run longer
LONGER = 0.02


def require_comparable(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse runs whose scores on the target do not mean the same.

    Args:
        runs: The content of each run's results.json by its folder.

    Raises:
        ConfigError: Two runs have another task, label set or target.
    """
    (first, expected), *others = ((name, _identity(results)) for name, results in runs.items())
    for name, found in others:
        differing = [title for key, title in SAME.items() if found[key] != expected[key]]
        if differing:
            raise ConfigError(
                f"{name} has another {' and '.join(differing)} than {first}: their scores cannot be "
                "compared."
            )


def comparison(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each model's scores on the target, and what it gained.

    Args:
        runs: As for `require_comparable`.

    Returns:
        For each model its title (`model`), `run` and `seed`; its measures on the `target`, shares
        between 0 and 1; the `difference` to the source-only model of the same encoder, source, seed
        and length; its `estimated_accuracy`, and the `signs`: the verdict of the run's guard. What
        is not known is None.
    """
    entries = []
    for title, scores, twin, folder in _models(runs):
        results = runs[folder]
        key, _ = main_measure(results["task"])
        target = scores.get("target") or {}
        before = (twin or {}).get("target")
        difference = (
            comparable(target, key) - comparable(before, key) if target and before else None
        )
        guard = results.get("guard") or {}
        entries.append(
            {
                "model": title,
                "run": folder,
                "seed": results["seed"],
                "target": {
                    measure: target.get(measure) for measure, _ in MEASURES[results["task"]]
                },
                "difference": difference,
                "estimated_accuracy": (scores.get("label_free") or {}).get("estimated_accuracy"),
                "signs": None if title == SOURCE_ONLY else guard.get("verdict"),
            }
        )
    return entries


def run_rows(runs: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """`comparison` as a table.

    It leaves out the estimates: a collapsed model is sure of itself, so that its own is high.
    """
    task = next(iter(runs.values()))["task"]
    titles = [title for _, title in MEASURES[task]]
    gain = f"{main_measure(task)[1]} vs source-only"
    rows = [["target, %", *titles, gain, "signs without labels", "seed", "run"]]
    for entry in comparison(runs):
        difference = entry["difference"]
        rows.append(
            [
                entry["model"],
                *(percent(value) for value in entry["target"].values()),
                points(None if difference is None else 0.0, difference),
                entry["signs"] or MISSING,
                str(entry["seed"]),
                entry["run"],
            ]
        )
    return rows


_Model = tuple[str, Mapping[str, Any], Mapping[str, Any] | None, str]


def _models(runs: Mapping[str, Mapping[str, Any]]) -> Iterator[_Model]:
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


def _own(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The source-only model that a run has trained."""
    return results["adapted"] if is_source_only(results) else results.get("source_only")


def _serves(twin: Mapping[str, Any], trained: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether the source-only model of the run `trained` is the one that `run` would have trained.

    Stages are rounded up to whole steps, so that lengths may differ by a few.
    """
    longer = abs(run["adapted"]["steps"] - twin["steps"])
    alike = longer <= max(MOST_ROUNDED, LONGER * twin["steps"])
    return alike and _start(trained) == _start(run)


def _start(results: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a source-only model depends on, but for its length."""
    return results["model"], _rows_of(results, "source"), results["seed"]


def _identity(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": results["task"],
        "labels": results["labels"],
        "target": _rows_of(results, "target"),
    }


def _rows_of(results: Mapping[str, Any], side: str) -> dict[str, str]:
    """The fingerprints of a side: of its one domain, of each of several, or of its stream."""
    return {
        name: value
        for name, value in results["fingerprints"].items()
        if name in (side, f"{side}_stream") or name.startswith(f"{side} ")
    }
