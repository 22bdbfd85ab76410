"""Where a step's time goes beside its products at the ceiling: a section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speed.timing import table

from cost import arithmetic
from cost.points import Point
from cost.profiled import MATRICES

Line = Mapping[str, Any]


def share(line: Line) -> float:
    """What a step reaches of the ceiling of products."""
    return arithmetic.flops(Point.of(line["point"])) / line["seconds"] / line["ceiling_flops"]


def shares_of_kinds(line: Line) -> dict[str, float]:
    """The share of each kind of operator in a step."""
    kinds = line["profile"]["kinds"]
    whole = sum(kinds.values())
    return {name: value / whole for name, value in kinds.items()}


def losses(line: Line) -> dict[str, float]:
    """Milliseconds of a step above its products at the ceiling, by where they go, the most first.

    The profile's shares of the measured step; of the products only what they take beyond the ceiling.
    """
    whole = 1000 * line["seconds"]
    found = {name: whole * part for name, part in shares_of_kinds(line).items()}
    ideal = 1000 * arithmetic.flops(Point.of(line["point"])) / line["ceiling_flops"]
    short = "products, beyond their time at the ceiling"
    found[short] = max(0.0, found.pop(MATRICES, 0.0) - ideal)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def losses_section(steps: Sequence[Line], drawn: Mapping[str, str]) -> str:
    profiled = [line for line in steps if line.get("profile")]
    if not profiled:
        return ""
    mean = mean_losses(profiled)
    largest = next(iter(mean))
    heads = ["where it goes", "mean share of a step", "most", "at"]
    rows = []
    for name, value in mean.items():
        shares = {
            title_of(line): losses(line).get(name, 0.0) / 1000 / line["seconds"]
            for line in profiled
        }
        most = max(shares, key=lambda title: shares[title])
        rows.append([name, f"{value:.1%}", f"{shares[most]:.1%}", most])
    line = min(profiled, key=share)
    operators = [[f"`{name}`", f"{time:,.1f}", f"{calls:,.0f}"]
                 for name, time, calls in line["profile"]["operators"]]  # fmt: skip
    picture = f"\n![Operators of a step by kind]({drawn['kinds']})\n" if "kinds" in drawn else ""
    return (
        f"## Where the rest goes\n\n**The largest loss is {largest}**: {mean[largest]:.0%} of a step's "
        f"time in the mean over these points.\n\n{table(heads, rows)}\nFrom the PyTorch profiler, over "
        "a few steps of each point, its shares put on the unprofiled time. What lies beside operators, such "
        f"as Python's own work, is not in them.\n{picture}\nThe first operators of {title_of(line)}, which "
        f"reaches the least of its ceiling ({share(line):.0%}):\n\n"
        f"{table(['operator', 'ms', 'calls'], operators)}"
    )


def mean_losses(profiled: Sequence[Line]) -> dict[str, float]:
    """The mean share of each loss in a step, the largest first."""
    found: dict[str, float] = {}
    for line in profiled:
        for name, value in losses(line).items():
            found[name] = found.get(name, 0.0) + value / 1000 / line["seconds"] / len(profiled)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def title_of(line: Line) -> str:
    """A point in words."""
    point = line["point"]
    return f"{point['layers']} x {point['hidden']}, {2 * point['rows']} rows of {point['length']}, {line['precision']}"  # fmt: skip
