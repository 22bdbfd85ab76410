"""The same run with several seeds: how far its numbers scatter."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.config import Recipe
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.metrics.measures import comparable
from nlp_adapt.recipe import read_yaml
from nlp_adapt.reporting.comparison import main_measure, method_title

# What may differ between runs of one recipe: where they lie, how they were watched, the seed.
_FREE = (
    *("seed", "output_dir", "overwrite", "resume", "allow_inexact_resume", "disable_tqdm"),
    *("report_to", "logging_steps", "push_to_hub", "ddp_timeout", "data_doctor", "fsdp"),
)
_SAME = ("task", "method", "model", "labels")
MODELS = ("source_only", "adapted")
DOMAINS = ("source", "target")


def read_results(run: Path) -> dict[str, Any]:
    """The results of a finished run.

    Raises:
        RunError: There are none.
    """
    try:
        return json.loads((run / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run}: has no readable results.json; train there first.") from error


def collect_seeds(run: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """The main measure of runs that differ in nothing but their seed.

    Returns:
        For each run its `seed`, and `source_only` and `adapted` with the measure by domain.

    Raises:
        RunError: A folder holds no finished run.
        ConfigError: Two runs have the same seed, or differ in more than it.
    """
    first, recipe = read_results(run), _recipe(run)
    collected = [_measures(first)]
    for other in others:
        results = read_results(other)
        theirs = _recipe(other)
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
        collected.append(_measures(results))
    return collected


def seed_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """A table of the spread over seeds; empty where only one is known."""
    runs = results.get("seeds") or []
    if len(runs) < 2:
        return []
    measure = main_measure(results["task"])[1]
    rows = [[f"{measure}, {len(runs)} seeds", "mean", "standard deviation", "lowest", "highest"]]
    for title, values in _series(runs, method_title(results)):
        numbers = [statistics.mean(values), statistics.stdev(values), min(values), max(values)]
        rows.append([title, *(f"{100 * number:.1f}" for number in numbers)])
    return rows


def seed_sentence(results: Mapping[str, Any]) -> str:
    """How many seeds there are, and on how many adaptation won."""
    runs = results.get("seeds") or []
    if len(runs) < 2:
        return f"One run with seed {results['seed']}; other seeds give other numbers."
    seeds = ", ".join(str(run["seed"]) for run in runs)
    text = (
        f"The spread is that of {len(runs)} runs with seeds {seeds}; the weights are those of seed "
        f"{results['seed']}."
    )
    gains = [_value(run, "adapted", "target", minus="source_only") for run in runs]
    if None in gains:
        return text
    won = sum(gain > 0 for gain in gains if gain is not None)
    return f"{text} The adapted model scored higher on the target in {won} of {len(runs)} of them."


def _series(runs: Sequence[Mapping[str, Any]], method: str) -> Iterator[tuple[str, list[float]]]:
    """The values over seeds of each model and of their difference, by domain."""
    lines: tuple[tuple[str, str, str | None], ...] = (
        ("source-only", "source_only", None),
        (method, "adapted", None),
        ("difference", "adapted", "source_only"),
    )
    for domain in DOMAINS:
        for title, model, minus in lines:
            values = [_value(run, model, domain, minus) for run in runs]
            known = [value for value in values if value is not None]
            if len(known) == len(runs):
                yield f"{title} on {domain}", known


def _value(
    run: Mapping[str, Any], model: str, domain: str, minus: str | None = None
) -> float | None:
    value = (run.get(model) or {}).get(domain)
    if minus is None or value is None:
        return value
    other = (run.get(minus) or {}).get(domain)
    return None if other is None else value - other


def _measures(results: Mapping[str, Any]) -> dict[str, Any]:
    key, _ = main_measure(results["task"])
    found: dict[str, Any] = {"seed": results["seed"]}
    for model in MODELS:
        scores = results.get(model) or {}
        found[model] = {
            domain: comparable(scores[domain], key) for domain in DOMAINS if scores.get(domain)
        }
    return found


def _given_rows(results: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
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
    path = run / "recipe.yaml"
    return {**Recipe().to_dict(), **(read_yaml(path) if path.is_file() else {})}
