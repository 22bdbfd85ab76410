"""Pictures with one axis, and matrices, each from plain numbers: dots, bars, counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from nlp_adapt.reporting.page.svg import Drawing, Scale, fitting, number, room_for, shown, spanning
from nlp_adapt.reporting.results import percent

WIDTH = 340.0  # of a picture in one of three columns, and on a telephone
ROW = 22.0


@dataclass(frozen=True)
class Dot:
    """A value with its 95 % interval, drawn on a row of its own."""

    name: str
    value: float
    half: float | None
    kind: str
    shape: str = "circle"


def _axis(drawing: Drawing, scale: Scale, top: float, bottom: float, baseline: float) -> None:
    """Lines across the drawing at round shares, with what they are in per cent below."""
    for tick in scale.ticks(4):
        drawing.line(scale(tick), top, scale(tick), bottom, "grid")
        drawing.text(scale(tick), baseline, number(100 * tick), anchor="middle")


def interval_dots(groups: Sequence[tuple[str, Sequence[Dot]]], label: str) -> str:
    """Groups of dots with 95 % intervals, on one axis of shares in per cent."""
    dots = [dot for _, own in groups for dot in own]
    left = room_for((dot.name for dot in dots), 130) + 10
    edges = [dot.value + sign * (dot.half or 0) for dot in dots for sign in (-1, 1)]
    values = [min(max(edge, 0.0), 1.0) for edge in edges]
    height = sum(ROW * len(own) + 24 for _, own in groups) + 22
    scale = spanning(values, left, WIDTH - 46, floor=0.0, ceiling=1.0, least=0.06)
    drawing = Drawing(WIDTH, height, label)
    _axis(drawing, scale, 4, height - 20, height - 5)
    y = 4.0
    for title, own in groups:
        drawing.text(0, y + 13, shown(title, 46), "group")
        y += 24
        for dot in own:
            drawing.text(left - 10, y + 12, shown(dot.name, fitting(left - 6)), "name", "end")
            half = dot.half or 0.0
            low, high = (max(dot.value - half, 0.0), min(dot.value + half, 1.0))
            title = f"{shown(dot.name)}: {percent(dot.value)}"
            if half:
                title += f" (95 % interval {percent(low)} to {percent(high)})"
                drawing.line(scale(low), y + 8, scale(high), y + 8, f"whisker s {dot.kind}")
            drawing.dot(scale(dot.value), y + 8, 5, f"mark {dot.kind}", title, dot.shape)
            # Beside the interval, where nothing is in the way.
            drawing.text(scale(high) + 9, y + 12, percent(dot.value), "value")
            y += ROW
    return str(drawing)


def pairs(rows: Sequence[tuple[str, float, float]], kinds: tuple[str, str], label: str) -> str:
    """For each name two shares, joined by a bar, and their difference in points on the right."""
    left = room_for((name for name, _, _ in rows), 118) + 10
    height = len(rows) * 24 + 26
    scale = spanning(
        [value for _, *both in rows for value in both], left, WIDTH - 56, floor=0.0, ceiling=1.0,
        least=0.06,
    )  # fmt: skip
    drawing = Drawing(WIDTH, height, label)
    _axis(drawing, scale, 2, height - 20, height - 5)
    for row, (name, before, after) in enumerate(rows):
        y = 14 + row * 24
        points = 100 * (after - before)
        drawing.text(left - 10, y + 4, shown(name, fitting(left - 6)), "name", "end")
        better = "" if abs(points) < 0.05 else "up" if points > 0 else "down"
        drawing.line(scale(before), y, scale(after), y, f"bridge {better}")
        drawing.dot(scale(before), y, 4.5, f"mark {kinds[0]}", f"{shown(name)}: {percent(before)}")
        drawing.dot(scale(after), y, 4.5, f"mark {kinds[1]}", f"{shown(name)}: {percent(after)}")
        drawing.text(WIDTH - 2, y + 4, _signed(points), f"value {better}", "end")
    return str(drawing)


def _signed(points: float) -> str:
    return "±0.0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


@dataclass(frozen=True)
class Bar:
    """A share as a bar with its value beside it."""

    name: str
    value: float
    kind: str
    note: str = ""


def share_bars(groups: Sequence[tuple[str, Sequence[Bar]]], label: str, most: float = 1.0) -> str:
    """Groups of horizontal bars from 0; their values stand at their ends."""
    bars = [bar for _, own in groups for bar in own]
    left = room_for((bar.name for bar in bars), 128) + 8
    height = sum(16 * len(own) + (26 if title else 6) for title, own in groups) + 2
    scale = Scale(0.0, max(*(bar.value for bar in bars), most / 20, 1e-9), left, WIDTH - 44)
    drawing = Drawing(WIDTH, height, label)
    y = 0.0
    for title, own in groups:
        if title:
            drawing.text(0, y + 14, shown(title, 46), "group")
        y += 20 if title else 0
        for bar in own:
            drawing.text(left - 8, y + 11, shown(bar.name, fitting(left - 4)), "name", "end")
            width = max(scale(bar.value) - left, 1.0)
            said = bar.note or percent(bar.value)
            drawing.bar(left, y + 1.5, width, 11.5, f"f {bar.kind}", f"{shown(bar.name)}: {said}")
            drawing.text(left + width + 6, y + 11, said, "value")
            y += 16
        y += 6
    return str(drawing)


def stacked(
    rows: Sequence[tuple[str, Sequence[float]]], kinds: Sequence[str], names: Sequence[str],
    label: str,
) -> str:  # fmt: skip
    """Rows of counts laid end to end, each as long as its share of the longest row."""
    left = room_for((name for name, _ in rows), 118) + 8
    scale = Scale(0.0, max((sum(counts) for _, counts in rows), default=1) or 1, left, WIDTH - 4)
    drawing = Drawing(WIDTH, len(rows) * ROW + 2, label)
    for place, (name, counts) in enumerate(rows):
        y, x = place * ROW + 2, 0.0
        drawing.text(left - 8, y + 12, shown(name, fitting(left - 4)), "name", "end")
        for count, kind, what in zip(counts, kinds, names, strict=True):
            if count:
                wide = scale(x + count) - scale(x)
                title = f"{shown(name)}: {count:,.0f} {what}"
                drawing.bar(scale(x), y, max(wide - 1, 0.5), 15, f"f {kind}", title, round_by=1)
                if wide > 7.5 * len(f"{count:,.0f}") + 4:
                    drawing.text(scale(x) + wide / 2, y + 11.5, f"{count:,.0f}", "in", "middle")
            x += count
    return str(drawing)


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]], kind: str, label: str) -> str:
    """A confusion matrix: rows are truths, in per cent of their row; hovering shows counts."""
    size = len(names)
    left = room_for(names, 92) + 10
    cell = min(58.0, (WIDTH - left - 34) / size)
    top = 16.0 if size <= 3 and room_for(names, 999) < cell + 6 else 20 + 0.62 * room_for(names, 92)
    drawing = Drawing(WIDTH, top + cell * size + 6, label)
    for column, name in enumerate(names):
        middle = left + cell * (column + 0.5)
        if top == 16.0:
            drawing.text(middle, top - 5, shown(name, fitting(cell + 6)), "name", "middle")
        else:
            drawing.slanted(middle - 2, top - 5, shown(name, 15))
    for row, own in enumerate(counts):
        total, y = sum(own), top + cell * row
        written = shown(names[row], fitting(left - 6))
        drawing.text(left - 10, y + cell / 2 + 4, written, "name", "end")
        for column, count in enumerate(own):
            share = count / total if total else 0.0
            right = row == column
            tone = kind if right else "bad"
            said = f"{shown(names[row])} called {shown(names[column])}: {count:,} of {total:,}"
            x = left + cell * column
            drawing.bar(x + 1, y + 1, cell - 2, cell - 2, "empty", round_by=3)
            drawing.bar(x + 1, y + 1, cell - 2, cell - 2, f"f {tone}", said, 0.06 + 0.94 * share, 3)
            if cell >= 26 and total and (right or share >= 0.005):
                shade = "cell-on" if share > 0.55 else "cell"
                drawing.text(x + cell / 2, y + cell / 2 + 4, f"{100 * share:.0f}", shade, "middle")
    return str(drawing)


def strip(rows: Sequence[tuple[str, Sequence[tuple[str, float]], str]], label: str) -> str:
    """Rows of dots on one axis in per cent: what each seed has scored, and their mean as a line."""
    left = room_for((name for name, _, _ in rows), 118) + 10
    scale = spanning(
        [value for _, own, _ in rows for _, value in own], left, WIDTH - 46, least=0.02
    )
    drawing = Drawing(WIDTH, len(rows) * 26 + 24, label)
    bottom = len(rows) * 26 + 4
    _axis(drawing, scale, 2, bottom, bottom + 15)
    for place, (name, own, kind) in enumerate(rows):
        y, mean = place * 26 + 15, sum(value for _, value in own) / len(own)
        drawing.text(left - 10, y + 4, shown(name, fitting(left - 6)), "name", "end")
        drawing.line(scale(mean), y - 8, scale(mean), y + 8, f"whisker s {kind}")
        for title, value in own:
            drawing.dot(scale(value), y, 4, f"point {kind}", f"{shown(title)}: {percent(value)}")
        drawing.text(WIDTH - 2, y + 4, percent(mean), "value", "end")
    return str(drawing)
