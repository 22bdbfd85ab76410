"""The same run with several seeds: how far its numbers scatter."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.measures import comparable
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.results import (
    SIDES,
    SOURCE_ONLY,
    Results,
    main_measure,
    method_title,
    part,
    read_recipe,
    read_results,
)
from nlp_adapt.reporting.table import Row

# What may differ between runs of one recipe: where they lie, how they were watched, the seed.
_FREE = (
    *("seed", "output_dir", "overwrite", "resume", "allow_inexact_resume", "disable_tqdm"),
    *("report_to", "logging_steps", "push_to_hub", "ddp_timeout", "data_doctor", "fsdp"),
)
_SAME = ("task", "method", "model", "labels")


def collect_seeds(run: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """The main measure of runs that differ in nothing but their seed.

    Returns:
        For each run its `seed`, and `source_only` and `adapted` with the measure by domain.

    Raises:
        RunError: A folder holds no finished run.
        ConfigError: Two runs have the same seed, or differ in more than it.
    """
    first, recipe = read_results(run), _recipe(run)
    collected = [_scores(first)]
    for other in others:
        results, theirs = read_results(other), _recipe(other)
        differing = [key for key in _SAME if results.get(key) != first.get(key)]
        if _given_rows(results, theirs) != _given_rows(first, recipe):
            differing.append("fingerprints")
        differing += [
            key
            for key in dict.fromkeys([*recipe, *theirs])
            if key not in (*_FREE, *differing) and recipe.get(key) != theirs.get(key)
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
        return f"One run with seed {results['seed']}; other seeds give other numbers."
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


def _recipe(run: Path) -> dict[str, Any]:
    """The resolved recipe, with the defaults of what it leaves out."""
    return {**Recipe().to_dict(), **read_recipe(run)}
