"""A little SVG: scales, marks and text, coloured by classes so that one style sheet rules all.

Colours are classes, never attributes: the page's content security policy allows no inline style, and
dark mode changes them. Text comes escaped out of `shown`, and nothing else may hold foreign text.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlp_adapt.escaping import one_line

CHARACTER = 6.3  # mean width of one at 11.5 units, for room beside the plots


def shown(value: Any, most: int | None = None) -> str:
    """Foreign text as one line that HTML shows as it is; cut to `most` characters."""
    line = one_line(value)
    if most is not None and len(line) > most:
        line = line[: most - 1].rstrip() + "…"
    return html.escape(line)


def number(value: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    return f"{value:.1f}".removesuffix(".0").replace("-0", "0" if abs(value) < 0.05 else "-0")


@dataclass(frozen=True)
class Scale:
    """A straight map of data onto the page, from `low` to `start` and from `high` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        """Round numbers inside the scale, `about` as many."""
        step = _round_step((self.high - self.low) / max(about, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 10) for number in range(first, last + 1)]


def spanning(
    values: Iterable[float],
    start: float,
    stop: float,
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    least: float = 1e-9,
) -> Scale:
    """A scale over values with a margin, `least` wide at least.

    Margins end at `floor` and `ceiling`; values beyond them are shown.
    """
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    margin = max((high - low) * 0.08, (least - (high - low)) / 2, 1e-9)
    low, high = low - margin, high + margin
    if floor is not None:
        low = max(low, min(floor, *known))
    if ceiling is not None:
        high = min(high, max(ceiling, *known))
    return Scale(low, max(high, low + 1e-9), start, stop)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(step, 1e-12)))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if step <= power * factor * 1.0001)


@dataclass
class Drawing:
    """An SVG picture of `width` by `height` units, about pixels on a telephone.

    Args:
        label: What a screen reader says of it.
        kind: Its class, where the style sheet places it apart.
    """

    width: float
    height: float
    label: str
    kind: str = ""
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        ends = (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2))
        self.parts.append(f'<line {_attributes(ends)} class="{kind}"/>')

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        places = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        self.parts.append(f'<path d="M{places}" class="{kind}"/>')

    def dot(
        self, x: float, y: float, radius: float, kind: str, title: str = "", shape: str = "circle"
    ) -> None:
        """A mark: a `circle`, a `cross` or a `diamond`."""
        r = radius
        if shape == "circle":
            placed = _attributes((("cx", x), ("cy", y), ("r", r)))
            self._add("circle", placed, kind, title)
            return
        outlines = {
            "cross": f"m{number(-r)} {number(-r)}l{number(2 * r)} {number(2 * r)}"
            f"m0 {number(-2 * r)}l{number(-2 * r)} {number(2 * r)}",
            "diamond": f"m0 {number(-1.35 * r)}l{number(1.35 * r)} {number(1.35 * r)}"
            f"l{number(-1.35 * r)} {number(1.35 * r)}l{number(-1.35 * r)} {number(-1.35 * r)}z",
        }
        self._add("path", f'd="M{number(x)} {number(y)}{outlines[shape]}"', kind, title)

    def bar(
        self, x: float, y: float, width: float, height: float, kind: str, title: str = "",
        opacity: float | None = None, round_by: float = 2,
    ) -> None:  # fmt: skip
        """A rectangle."""
        placed = (("x", x), ("y", y), ("width", width), ("height", height), ("rx", round_by))
        shade = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        self._add("rect", _attributes(placed) + shade, kind, title)

    def text(
        self, x: float, y: float, written: str, kind: str = "tick", anchor: str = "start"
    ) -> None:
        """Escaped text, whose baseline starts, ends or is centred (`middle`) at a point."""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        placed = _attributes((("x", x), ("y", y)))
        self.parts.append(f'<text {placed} class="{kind}"{where}>{written}</text>')

    def slanted(self, x: float, y: float, written: str) -> None:
        """Escaped text that rises to the right from a point."""
        turned = f'transform="translate({number(x)} {number(y)}) rotate(-38)"'
        self.parts.append(f'<text {turned} class="name">{written}</text>')

    def _add(self, name: str, attributes: str, kind: str, title: str) -> None:
        inner = f"><title>{title}</title></{name}>" if title else "/>"
        self.parts.append(f'<{name} {attributes} class="{kind}"{inner}')

    def __str__(self) -> str:
        size = f"0 0 {number(self.width)} {number(self.height)}"
        kind = f' class="{self.kind}"' if self.kind else ""
        head = f'<svg viewBox="{size}" width="{number(self.width)}" role="img"{kind}'
        return f'{head} aria-label="{self.label}">{"".join(self.parts)}</svg>'


def _attributes(pairs: Iterable[tuple[str, float]]) -> str:
    return " ".join(f'{name}="{number(value)}"' for name, value in pairs)


def room_for(names: Iterable[str], most: float) -> float:
    """Width that the longest of some names takes, at most `most`."""
    longest = max((len(one_line(name)) for name in names), default=0)
    return min(longest * CHARACTER + 4, most)


def fitting(width: float) -> int:
    """How many characters fit a width."""
    return max(3, int(width / CHARACTER))
