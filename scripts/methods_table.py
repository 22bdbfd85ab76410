"""Runs as a table of methods, pairs and seeds: paired means, gains and intervals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark_runs import Run

SOURCE_ONLY, TARGET_TRAINED, TWIN = "source_only", "target_trained", "twin_of_"
# Told the target's class shares, the source-only model needs no other label of it.
SHARES_TOLD = "shares_told"
DISTILLED = "distilled_from_"
Pair = tuple[str, str]
Cell = tuple[Pair, int]


@dataclass(frozen=True)
class Table:
    """Finished runs of one code, one encoder and one set of settings.

    Args:
        measure: The key of the main measure in the runs' scores.
    """

    runs: Sequence[Run]
    measure: str

    @cached_property
    def methods(self) -> list[str]:
        """In the order in which they were first run."""
        return list(dict.fromkeys(run["method"] for run in self.runs))

    @cached_property
    def pairs(self) -> list[Pair]:
        """All that any method was run on."""
        return sorted({(run["source"], run["target"]) for run in self.runs})

    @cached_property
    def seeds(self) -> set[int]:
        """Those that every method has on every pair; methods that have fewer do not count here."""
        whole = {method: self._whole_seeds(method) for method in self.methods}
        most = max(map(len, whole.values()), default=0)
        full = [seeds for seeds in whole.values() if len(seeds) == most > 0]
        return set.intersection(*full) if full else {run["seed"] for run in self.runs}

    def _whole_seeds(self, method: str) -> set[int]:
        by_seed: dict[int, set[Pair]] = {}
        for run in self.runs:
            if run["method"] == method:
                by_seed.setdefault(run["seed"], set()).add((run["source"], run["target"]))
        return {seed for seed, pairs in by_seed.items() if len(pairs) == len(self.pairs)}

    def cells(self, method: str, *keys: str) -> dict[Cell, float]:
        """A score of a method, of each pair and seed that has it."""
        found: dict[Cell, float] = {}
        for run in self.runs:
            if run["method"] == method and run["seed"] in self.seeds:
                value: Any = run["scores"]
                for key in keys or (self.measure,):
                    value = (value or {}).get(key)
                if value is not None:
                    found[(run["source"], run["target"]), run["seed"]] = value
        return found

    @property
    def short(self) -> list[str]:
        """Methods without a run of some pair and seed."""
        whole = len(self.pairs) * len(self.seeds)
        return [method for method in self.methods if len(self.cells(method)) < whole]

    def yardsticks(self, method: str) -> list[str]:
        """The columns, best first, that a method must beat; none for a yardstick itself."""
        if is_yardstick(method):
            return []
        known = [f"{TWIN}{method}", SOURCE_ONLY, SHARES_TOLD]
        there = [name for name in known if shared(self.cells(name), self.cells(method))]
        return sorted(there, key=lambda name: mean(gains(self.cells(method), self.cells(name))))


def is_yardstick(method: str) -> bool:
    """Whether a column is there to be held against, not to be judged."""
    return method in (SOURCE_ONLY, TARGET_TRAINED, SHARES_TOLD) or method.startswith(TWIN)


def shared(one: Iterable[Cell], other: Iterable[Cell]) -> set[Cell]:
    """Pairs and seeds that both have."""
    return {*one} & {*other}


def by_pair(cells: dict[Cell, float]) -> dict[Pair, float]:
    """Each pair's mean over seeds."""
    values: dict[Pair, list[float]] = {}
    for (pair, _), value in cells.items():
        values.setdefault(pair, []).append(value)
    return {pair: statistics.fmean(own) for pair, own in values.items()}


def gains(after: dict[Cell, float], before: dict[Cell, float]) -> dict[Pair, float]:
    """Each pair's mean difference over the seeds that both have."""
    return by_pair({cell: after[cell] - before[cell] for cell in shared(after, before)})


def mean(values: dict[Pair, float]) -> float:
    """Over pairs, each counting the same."""
    return statistics.fmean(values.values())


def half_width(values: dict[Pair, float]) -> float | None:
    """Half the 95 % t interval of the mean over pairs; None for a single pair."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    error = statistics.stdev(values.values()) / len(values) ** 0.5
    return float(t.ppf(0.975, len(values) - 1)) * error
