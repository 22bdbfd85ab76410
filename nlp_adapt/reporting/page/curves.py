"""Pictures with two axes: lines over steps, points in a plane, reliability."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from nlp_adapt.reporting.page.charts import WIDTH
from nlp_adapt.reporting.page.svg import Drawing, Scale, room_for, shown, spanning
from nlp_adapt.reporting.results import percent

FLAT = 0.02  # of its size: what a line that hardly changes is drawn in
Written = Callable[[float], str]


@dataclass(frozen=True)
class Series:
    """A line over steps."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str
    chosen: float | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Frame:
    """What several pictures over steps share.

    Attributes:
        last: The last step of all models.
        borders: Steps at which a stage ends, with what is written there.
    """

    last: float
    borders: Sequence[tuple[float, str]] = field(default_factory=tuple)


def lines(
    series: Sequence[Series], frame: Frame, label: str, written: Written | None = None,
    limits: tuple[float | None, float | None] = (None, None), level: float | None = None,
) -> str:  # fmt: skip
    """Lines over steps, the last value of each at its end, the chosen checkpoint as a ring."""
    height, bottom = 176.0, 154.0
    values = [value for one in series for _, value in one.points]
    values += [level] if level is not None else []
    least = FLAT * max(map(abs, values), default=1.0)
    y = spanning(values, bottom, 12, floor=limits[0], ceiling=limits[1], least=least)
    ticks = y.ticks(4)
    on_axis, written = _writers(ticks, written)
    left = room_for((on_axis(tick) for tick in ticks), 56) + 6
    x = Scale(0.0, max(frame.last, 1.0), left, WIDTH - 46)
    drawing = Drawing(WIDTH, height, label, kind="low")
    for tick in ticks:
        drawing.line(left, y(tick), WIDTH - 46, y(tick), "grid")
        drawing.text(left - 6, y(tick) + 4, on_axis(tick), anchor="end")
    for tick in x.ticks(4):
        if float(tick).is_integer():
            drawing.text(x(tick), height - 6, f"{tick:,.0f}", anchor="middle")
    for step, title in frame.borders:
        drawing.line(x(step), 8, x(step), bottom, "border")
        drawing.text(x(step) + 5, 16, shown(title))
    if level is not None:
        drawing.line(left, y(level), WIDTH - 46, y(level), "level")
    ends: list[tuple[float, Series]] = []
    for one in series:
        dashed = " dashed" if one.dashed else ""
        places = [(x(step), y(value)) for step, value in one.points]
        if len(places) > 1:
            drawing.path(places, f"line s {one.kind}{dashed}")
        for (step, value), (across, down) in zip(one.points, places, strict=True):
            title = f"{shown(one.name)}, step {step:,.0f}: {written(value)}"
            drawing.dot(across, down, 2.2, f"f {one.kind}", title)
            if one.chosen == step:
                drawing.dot(across, down, 5.5, f"ring s {one.kind}", f"{title} (kept)")
        if places:
            ends.append((places[-1][1], one))
    for down, one in _apart(ends):
        end = x(one.points[-1][0])
        drawing.text(
            end + (10 if one.chosen else 7),
            down + 4,
            written(one.points[-1][1]),
            f"value t {one.kind}",
        )
    return str(drawing)


def _writers(ticks: Sequence[float], written: Written | None) -> tuple[Written, Written]:
    """How numbers on the axis and beside it are written, as finely as the ticks lie."""
    step = min((two - one for one, two in pairwise(ticks)), default=1.0)
    if written is not None:
        places = 0 if step >= 0.00999 else 1
        return (lambda value: f"{100 * value:.{places}f}"), written
    if max(map(abs, ticks), default=1.0) < 1e-2:

        def short(value: float) -> str:
            return f"{value:.1e}".replace("e-0", "e-") if value else "0"

        return short, short
    places = max(0, math.ceil(-math.log10(step) - 1e-9))
    return (lambda value: f"{value:.{places}f}"), (lambda value: f"{value:.{places + 1}f}")


def _apart(ends: Sequence[tuple[float, Series]], least: float = 12.0) -> list[tuple[float, Series]]:
    """Places of labels, moved down so that none lies on another."""
    placed: list[tuple[float, Series]] = []
    for down, one in sorted(ends, key=lambda pair: pair[0]):
        down = max(down, placed[-1][0] + least) if placed else down
        placed.append((down, one))
    return placed


@dataclass(frozen=True)
class Point:
    """A unit in the plane: where (from -1 to 1), its colour and shape, and what hovering says."""

    x: float
    y: float
    kind: str
    shape: str
    title: str


def scatter(points: Sequence[Point], label: str) -> str:
    """Points in a plane whose axes have no unit."""
    width, height, edge = 480.0, 380.0, 12.0
    x = spanning((point.x for point in points), edge, width - edge)
    y = spanning((point.y for point in points), height - edge, edge)
    drawing = Drawing(width, height, label)
    for point in points:
        kind = f"stroke {point.kind}" if point.shape == "cross" else f"point {point.kind}"
        size = 4.0 if point.shape == "cross" else 4.4
        drawing.dot(x(point.x), y(point.y), size, kind, point.title, point.shape)
    return str(drawing)


def reliability(
    before: Sequence[tuple[int, float, float]],
    after: Sequence[tuple[int, float, float]],
    kind: str,
    label: str,
) -> str:
    """Accuracy over confidence, before (filled) and after (hollow) temperature; size is count."""
    low = min([0.5, *(value for one in (*before, *after) for value in one[1:])])
    low = max(0.0, round(low - 0.05, 1))
    size, left, top = 262.0, 34.0, 22.0
    x, y = Scale(low, 1.0, left, left + size), Scale(low, 1.0, top + 190, top)
    drawing = Drawing(WIDTH, 240, label)
    drawing.text(0, 9, "right, %")
    for tick in x.ticks(5):
        drawing.line(left, y(tick), left + size, y(tick), "grid")
        drawing.text(left - 6, y(tick) + 4, f"{100 * tick:.0f}", anchor="end")
        drawing.text(x(tick), top + 205, f"{100 * tick:.0f}", anchor="middle")
    drawing.line(x(low), y(low), x(1.0), y(1.0), "level")
    total = max(sum(count for count, _, _ in before), 1)
    for bins, mark in ((after, f"hollow s {kind}"), (before, f"mark {kind}")):
        drawing.path([(x(one), y(two)) for _, one, two in bins], f"line s {kind} faint")
        for count, one, two in bins:
            radius = 2.5 + 7 * (count / total) ** 0.5
            title = f"{count:,} answers with confidence {percent(one)}: {percent(two)} right"
            drawing.dot(x(one), y(two), radius, mark, title)
    drawing.text(left + size, top + 218, "confidence, %", "tick", "end")
    return str(drawing)
