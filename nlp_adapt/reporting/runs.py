"""Several runs on one target, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.reporting.comparison import is_source_only, main_measure, method_title
from nlp_adapt.reporting.table import MEASURES, MISSING, percent, points

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


def run_rows(runs: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A table with a row for each model: its scores on the target, and what it gained.

    The signs without labels are the verdict of a run's guard. A gain is the difference to the source-only model of the same encoder, source, seed and length.
    """
    task = next(iter(runs.values()))["task"]
    key, name = main_measure(task)
    measures = MEASURES[task]
    header = ["target, %", *(title for _, title in measures)]
    rows = [[*header, f"{name} vs source-only", "signs without labels", "seed", "run"]]
    for title, scores, twin, results, folder in _models(runs):
        target = scores.get("target") or {}
        own = [percent(target.get(measure)) for measure, _ in measures]
        before = ((twin or {}).get("target") or {}).get(key)
        gain, signs = MISSING, MISSING
        if scores is not twin:
            gain, signs = points(before, target.get(key)), _signs(results)
        rows.append([title, *own, gain, signs, str(results["seed"]), folder])
    return rows


def comparison(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same as data: shares between 0 and 1, and None where a number is unknown."""
    key, _ = main_measure(next(iter(runs.values()))["task"])
    entries = []
    for title, scores, twin, results, folder in _models(runs):
        after, before = (((one or {}).get("target") or {}).get(key) for one in (scores, twin))
        difference = None
        if scores is not twin and after is not None and before is not None:
            difference = after - before
        entries.append(
            {
                "model": title,
                "run": folder,
                "seed": results["seed"],
                "target": {
                    measure: (scores.get("target") or {}).get(measure)
                    for measure, _ in MEASURES[results["task"]]
                },
                "difference": difference,
                "estimated_accuracy": (scores.get("label_free") or {}).get("estimated_accuracy"),
                "signs": (results.get("guard") or {}).get("verdict")
                if scores is not twin
                else None,
            }
        )
    return entries


_Model = tuple[str, Mapping[str, Any], Mapping[str, Any] | None, Mapping[str, Any], str]


def _models(runs: Mapping[str, Mapping[str, Any]]) -> Iterator[_Model]:
    """Title, scores, source-only scores to compare with, results and folder of each model."""
    twins = [(folder, twin, results) for folder, results in runs.items() if (twin := _own(results))]
    shown: list[Any] = []
    for folder, results in runs.items():
        found = next((other for other in twins if other[0] == folder), None)
        found = found or next((other for other in twins if _serves(other, results)), None)
        place, twin, _ = found or (None, None, None)
        if twin is not None and place not in shown:
            shown.append(place)
            yield "source-only", twin, twin, results, folder
        if not is_source_only(results):
            yield method_title(results), results["adapted"], twin, results, folder


def _signs(results: Mapping[str, Any]) -> str:
    """Which model the guard is for, in a run that has both; an estimate alone would mislead.

    A collapsed model is sure of itself, so that its estimated accuracy is high.
    """
    return str((results.get("guard") or {}).get("verdict", MISSING))


def _own(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The source-only model that a run has trained."""
    return results["adapted"] if is_source_only(results) else results.get("source_only")


def _serves(twin: tuple[str, Mapping[str, Any], Mapping[str, Any]], run: Mapping[str, Any]) -> bool:
    """Whether another run's source-only model is what this run would have trained.

    Stages are rounded up to whole steps, so that lengths may differ by a few.
    """
    _, scores, results = twin
    wanted, length = run["adapted"]["steps"], scores["steps"]
    alike = abs(wanted - length) <= max(MOST_ROUNDED, LONGER * length)
    return alike and _start(results) == _start(run)


def _start(results: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a source-only model depends on, but for its length."""
    return results["model"], results["fingerprints"].get("source"), results["seed"]


def _identity(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": results["task"],
        "labels": results["labels"],
        "target": results["fingerprints"].get("target"),
    }
