"""Runs of `benchmark_peers.py` as rows of tables: differences of quality, ratios of cost, means."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark_runs import Run
from catalogue import OURS, PEERS
from methods_table import Cell, by_pair, gains, half_width, mean, shared
from speed.timing import quarters

MEASURES = {"snippets": ("macro_f1", "auc"), "amazon": ("macro_f1", "auc"), "wnut": ("f1",)}
COSTS = {
    "tokens_per_cpu_second": "tokens / CPU s",
    "tokens_per_second": "tokens / s",
    "peak_mib": "peak memory",
    "cpu_seconds": "CPU time",
    "seconds": "wall time",
}
NAMES = {"macro_f1": "macro-F1", "auc": "AUC", "f1": "span F1"}
# A row of a table, and the number that it is sorted by: the smallest is the worst for us.
Ranked = tuple[float, list[str]]


@dataclass(frozen=True)
class Side:
    """A peer and a method."""

    peer: str
    method: str

    @property
    def name(self) -> str:
        """The method without its variant."""
        return self.method.partition(":")[0]


@dataclass(frozen=True)
class Runs:
    """Finished runs of one suite with the same settings."""

    runs: Sequence[Run]

    @cached_property
    def sides(self) -> list[Side]:
        """In the order in which they were first run."""
        return list(dict.fromkeys(Side(run["peer"], run["method"]) for run in self.runs))

    def of(self, side: Side) -> dict[Cell, Run]:
        """A side's last run of each pair and seed."""
        return {
            ((run["source"], run["target"]), run["seed"]): run
            for run in self.runs
            if (run["peer"], run["method"]) == (side.peer, side.method)
        }

    def cells(self, side: Side, measure: str) -> dict[Cell, float]:
        """A side's scores."""
        return {
            cell: run["scores"][measure]
            for cell, run in self.of(side).items()
            if measure in run["scores"]
        }

    def rivals(self) -> list[tuple[str, Side, Side]]:
        """Title, our method, and a peer's: those of one name, and the defaults."""
        found = []
        for side in self.sides:
            ours = Side(OURS, side.name)
            if side.peer != OURS and ours in self.sides:
                found.append((side.method, ours, side))
        ours = Side(OURS, PEERS[OURS].default)
        for name, peer in PEERS.items():
            side = Side(name, peer.default)
            if name != OURS and side in self.sides and not side.method.startswith("few_"):
                found.append((f"default: {ours.method}, {side.method}", ours, side))
        return found


def quality_rows(runs: Runs, measure: str) -> list[Ranked]:
    """Our difference to every peer's same method, the worst first."""
    found = []
    for title, ours, theirs in runs.rivals():
        after, before = runs.cells(ours, measure), runs.cells(theirs, measure)
        if shared(after, before):
            row = _difference(after, before)
            found.append((row[0], [title, theirs.peer, NAMES[measure], *row[1]]))
    return sorted(found, key=lambda row: row[0])


def best_rows(runs: Runs, measure: str) -> list[Ranked]:
    """Our default against all that peers have, the best of them first."""
    after = runs.cells(Side(OURS, PEERS[OURS].default), measure)
    found = []
    for side in runs.sides:
        before = runs.cells(side, measure)
        if (
            side.peer != OURS
            and PEERS[side.peer].adapter != PEERS[OURS].adapter
            and shared(after, before)
        ):
            row = _difference(after, before)
            found.append((row[0], [side.method, side.peer, *row[1]]))
    return sorted(found, key=lambda row: row[0])


def cost_rows(runs: Runs) -> list[Ranked]:
    """Ratios of cost with every peer's same method, the slowest of ours first."""
    found = []
    for title, ours, theirs in runs.rivals():
        one, other = runs.of(ours), runs.of(theirs)
        both = [
            cell for cell in one if cell in other and one[cell]["sitting"] == other[cell]["sitting"]
        ]
        ratios = {
            cost: [
                one[cell][cost] / other[cell][cost]
                for cell in both
                if one[cell][cost] and other[cell][cost]
            ]
            for cost in COSTS
        }
        if both:
            shown = [_spread(own, 2) if own else "" for own in ratios.values()]
            speed = ratios["tokens_per_cpu_second"]
            order = statistics.median(speed) if speed else float("inf")
            found.append((order, [title, theirs.peer, f"{len(both)}", *shown]))
    return found


def mean_rows(runs: Runs, suite: str) -> list[list[str]]:
    """Every peer and method by itself, the best first."""
    measures = MEASURES[suite]
    found = []
    for side in runs.sides:
        cells = [runs.cells(side, measure) for measure in measures]
        own = list(runs.of(side).values())
        costs = [
            _spread(values, 0) if (values := [run[cost] for run in own if run[cost]]) else ""
            for cost in COSTS
        ]
        scores = [f"{100 * mean(by_pair(one)):.1f}" if one else "" for one in cells]
        order = -mean(by_pair(cells[0])) if cells[0] else 0.0
        found.append((order, [side.peer, side.method, f"{len(own)}", *scores, *costs]))
    return [row for _, row in sorted(found, key=lambda row: row[0])]


def _difference(after: dict[Cell, float], before: dict[Cell, float]) -> Ranked:
    """The mean difference, and a row: runs, both means, difference, interval, spread, worst pair."""
    both = shared(after, before)
    own = gains(after, before)
    width = half_width(own)
    by_seed: dict[Any, list[float]] = {}
    for cell in both:
        by_seed.setdefault(cell[0], []).append(after[cell] - before[cell])
    spreads = [statistics.stdev(one) for one in by_seed.values() if len(one) > 1]
    worst = min(own, key=lambda pair: own[pair])
    means = [mean(by_pair({cell: side[cell] for cell in both})) for side in (after, before)]
    middle = mean(own)
    return middle, [
        f"{len(both)}",
        *(f"{100 * one:.1f}" for one in means),
        f"{100 * middle:+.1f}",
        "" if width is None else f"{100 * (middle - width):+.1f} to {100 * (middle + width):+.1f}",
        f"{100 * statistics.fmean(spreads):.1f}" if spreads else "one seed",
        f"{worst[0]} to {worst[1]} {100 * own[worst]:+.1f}",
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = quarters(values)
    if len(values) < 2:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
