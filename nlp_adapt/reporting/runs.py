"""Several runs: side by side on one target, or one recipe with several seeds."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.classification import comparable
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.results import (
    MISSING,
    SIDES,
    SOURCE_ONLY,
    Results,
    is_source_only,
    main_measure,
    method_title,
    one_seed,
    part,
    percent,
    read_recipe,
    read_results,
)
from nlp_adapt.reporting.table import Row, points
from nlp_adapt.tasks import TASKS

MOST_ROUNDED = 3  # steps by which the rounding of stages makes a run longer
LONGER = 0.02
# What may differ between runs of one recipe: where they lie, how they were watched, the seed.
FREE = (
    *("seed", "output_dir", "overwrite", "resume", "allow_inexact_resume", "disable_tqdm"),
    *(
        "report_to",
        "project",
        "run_name",
        "logging_steps",
        "logging_strategy",
        "logging_first_step",
        "eval_on_start",
        "hub_revision",
        "push_to_hub",
        "ddp_timeout",
        "data_doctor",
        "fsdp",
    ),
)
_SAME = ("task", "method", "model", "labels")


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
    """What each model of `runs`, results by folder, scores on the target, and what it gained.

    Returns:
        For each model its title (`model`), `run` and `seed`; its measures on the `target`, from 0
        to 1; the `difference` to the source-only model of the same encoder, source, seed and
        length; its `estimated_accuracy`; and the guard's verdict (`signs`). What is unknown is None.
    """
    entries = []
    for title, scores, twin, folder in models_of(runs):
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
    """`comparison` as a table, without the estimates: a collapsed model is sure of itself."""
    first = next(iter(runs.values()))
    titles = [one.title for one in TASKS[first["task"]].measures]
    gain = f"{main_measure(first).title} vs source-only"
    rows = [["target, %", *titles, gain, "signs without labels", "seed", "run"]]
    for entry in comparison(runs):
        gain = points(None if entry["difference"] is None else 0.0, entry["difference"])
        scores = [entry["model"], *map(percent, entry["target"].values()), gain]
        rows.append([*scores, entry["signs"] or MISSING, str(entry["seed"]), entry["run"]])
    return rows


def models_of(runs: Mapping[str, Results]) -> Iterator[tuple[str, Results, Results | None, str]]:
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
    """Whether the source-only model of the run `trained` can stand in for one that `run` lacks.

    It has the same encoder, source, seed and length; the learning-rate cycles of its method's stages
    may be others. Stages are rounded up to whole steps, so that lengths may differ by a few.
    """
    longer = abs(run["adapted"]["steps"] - twin["steps"])
    if longer > max(MOST_ROUNDED, LONGER * twin["steps"]):
        return False
    ours, theirs = (
        (results["model"], _rows_of(results, "source"), results["seed"])
        for results in (run, trained)
    )
    return ours == theirs


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


def collect_seeds(run: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """The main measure of runs that differ in nothing but their seed.

    Returns:
        For each run its `seed`, and `source_only` and `adapted` with the measure by domain.

    Raises:
        RunError: A folder holds no finished run.
        ConfigError: Two runs have the same seed, or differ in more than it.
    """
    first, recipe = read_results(run), resolved_recipe(run)
    collected = [_scores(first)]
    for other in others:
        results, theirs = read_results(other), resolved_recipe(other)
        differing = [key for key in _SAME if results.get(key) != first.get(key)]
        if _given_rows(results, theirs) != _given_rows(first, recipe):
            differing.append("fingerprints")
        differing += [
            key
            for key in dict.fromkeys([*recipe, *theirs])
            if key not in (*FREE, *differing) and recipe.get(key) != theirs.get(key)
        ]
        if differing:
            raise ConfigError(
                f"{other} differs from {run} in {', '.join(differing)}: runs whose spread is shown "
                "may differ in their seed alone."
            )
        if any(one["seed"] == results["seed"] for one in collected):
            raise ConfigError(f"{other} has seed {results['seed']}, as a run before it.")
        collected.append(_scores(results))
    return collected


def seed_rows(results: Results) -> list[Row]:
    """A table of the spread over seeds; empty where only one is known."""
    runs = results.get("seeds") or []
    if len(runs) < 2:
        return []
    title = f"{main_measure(results).title}, {len(runs)} seeds"
    rows = [[title, "mean", "standard deviation", "lowest", "highest"]]
    for name, values in _series(runs, method_title(results)):
        numbers = [statistics.mean(values), statistics.stdev(values), min(values), max(values)]
        rows.append([name, *(f"{100 * number:.1f}" for number in numbers)])
    return rows


def seed_sentence(results: Results) -> str:
    """How many seeds there are, and on how many adaptation won."""
    runs = results.get("seeds") or []
    if len(runs) < 2:
        return one_seed(results)
    seeds = ", ".join(str(run["seed"]) for run in runs)
    text = (
        f"The spread is that of {len(runs)} runs with seeds {seeds}; the weights are those of seed "
        f"{results['seed']}."
    )
    gains = [gain for run in runs if (gain := _gain(run, "target")) is not None]
    if len(gains) < len(runs):
        return text
    won = sum(gain > 0 for gain in gains)
    return f"{text} The adapted model scored higher on the target in {won} of {len(runs)} of them."


def _series(runs: Sequence[Results], method: str) -> Iterator[tuple[str, list[float]]]:
    """The values over seeds of each model and of their difference, by domain."""
    for side in SIDES:
        for title, found in (
            (SOURCE_ONLY, [part(run, "source_only").get(side) for run in runs]),
            (method, [part(run, "adapted").get(side) for run in runs]),
            ("difference", [_gain(run, side) for run in runs]),
        ):
            values = [value for value in found if value is not None]
            if len(values) == len(runs):
                yield f"{title} on {side}", values


def _gain(run: Results, side: str) -> float | None:
    before, after = (part(run, model).get(side) for model in ("source_only", "adapted"))
    return None if before is None or after is None else after - before


def _scores(results: Results) -> dict[str, Any]:
    key = main_measure(results).key
    found: dict[str, Any] = {"seed": results["seed"]}
    for model in ("source_only", "adapted"):
        scores = part(results, model)
        found[model] = {side: comparable(scores[side], key) for side in SIDES if scores.get(side)}
    return found


def _given_rows(results: Results, recipe: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of the data, but of what the seed draws from it."""
    few_shot, auxiliary = recipe.get("target_few_shot"), recipe.get("auxiliary") or {}
    each = few_shot if isinstance(few_shot, dict) else None

    def drawn(name: str) -> bool:
        kind, _, of = name.partition(" rows of ")
        if kind == "labelled":
            return isinstance(few_shot if each is None else each.get(of), int)
        task = auxiliary.get(name.removeprefix("auxiliary task "))
        return isinstance(task, dict) and task.get("max_rows") is not None

    return {name: value for name, value in results["fingerprints"].items() if not drawn(name)}


def resolved_recipe(run: Path) -> dict[str, Any]:
    """The resolved recipe, with the defaults of what it leaves out."""
    return {**Recipe().to_dict(), **read_recipe(run)}
