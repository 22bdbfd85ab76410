"""The plots beside the page, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cost.fit import fit, fitted_and_held_out, foretell
from cost.losses import shares_of_kinds
from cost.page import newest

Line = Mapping[str, Any]
SIZE = (6.4, 4.0)
DOTS = 120


def draw(lines: Sequence[Line], page: Path) -> dict[str, str]:
    """Draw what the lines allow; returns the files by what they show, none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return {}
    matplotlib.use("Agg")
    steps = newest(lines, "steps")
    found = {}
    for name, plot in (("foretold", _foretold), ("kinds", _kinds)):
        if steps and (figure := plot(steps)) is not None:
            file = page.with_name(f"{page.stem}.{name}.png")
            # Without the date and version that matplotlib writes: the same lines, the same file.
            figure.savefig(file, dpi=DOTS, bbox_inches="tight", metadata={"Software": None})
            found[name] = file.name
    return found


def _foretold(steps: Sequence[Line]) -> Any:
    from matplotlib.figure import Figure

    fitted, held_out = fitted_and_held_out(steps)
    try:
        model = fit(fitted)
    except ValueError:
        return None
    figure = Figure(figsize=SIZE)
    axes = figure.subplots()
    for name, own, mark in (("fitted", fitted, "o"), ("held out", held_out, "s")):
        found = foretell(model, own)
        axes.scatter([one.measured for one in found], [one.seconds for one in found], marker=mark, label=name)  # fmt: skip
    both = [line["seconds"] for line in (*fitted, *held_out)]
    axes.plot([min(both), max(both)], [min(both), max(both)], color="grey", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="seconds a step, measured",
             ylabel="seconds a step, foretold")  # fmt: skip
    axes.legend(frameon=False)
    return figure


def _kinds(steps: Sequence[Line]) -> Any:
    from matplotlib.figure import Figure

    profiled = [line for line in steps if line.get("profile")]
    if not profiled:
        return None
    shares = [shares_of_kinds(line) for line in profiled]
    kinds = sorted({kind for one in shares for kind in one}, key=lambda kind: -sum(one.get(kind, 0) for one in shares))  # fmt: skip
    figure = Figure(figsize=(SIZE[0], 0.32 * len(profiled) + 1.6))
    axes = figure.subplots()
    left = [0.0] * len(profiled)
    names = [_name(line) for line in profiled]
    for kind in kinds:
        widths = [100 * one.get(kind, 0.0) for one in shares]
        axes.barh(names, widths, left=left, label=kind)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="percent of a step's operators", xlim=(0, 100))
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _name(line: Line) -> str:
    point = line["point"]
    return f"{point['layers']} x {point['hidden']}, {point['rows']} x {point['length']}, {line['precision']}"  # fmt: skip
