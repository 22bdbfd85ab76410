"""A small model of a step's time, fitted to measured points and held against points that it never saw.

A step is foretold as a sum of five times, each what the arithmetic says at the ceiling of the machine
times a factor that the fit finds, none of them negative and that of products at least one: products of matrices at the ceiling of a
product, and at the bandwidth of a copy the token states, the attention scores and the weights; and
something for each layer that no size changes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cost import arithmetic
from cost.points import Point

Line = Mapping[str, Any]
PRODUCTS = "products of matrices"
PARTS: Mapping[str, Callable[[Point, float, float], float]] = {
    PRODUCTS: lambda point, flops, _: arithmetic.flops(point) / flops,
    "token states": lambda point, _, width: arithmetic.state_bytes(point) / width,
    "attention scores": lambda point, _, width: arithmetic.score_bytes(point) / width,
    "weights": lambda point, _, width: arithmetic.optimizer_bytes(point) / width,
    "each layer, whatever its size": lambda point, *_: point.layers / 1000,
}


@dataclass(frozen=True)
class CostModel:
    """Factors of the parts of a step.

    Attributes:
        factors: By part; of the last one milliseconds a layer.
    """

    factors: Mapping[str, float]

    def parts(self, point: Point, flops: float, bytes_a_second: float) -> dict[str, float]:
        """Seconds of each part of a step on a machine of these ceilings."""
        return {
            name: self.factors[name] * part(point, flops, bytes_a_second)
            for name, part in PARTS.items()
        }

    def seconds(self, point: Point, flops: float, bytes_a_second: float) -> float:
        """Seconds of a step."""
        return sum(self.parts(point, flops, bytes_a_second).values())


@dataclass(frozen=True)
class Foretold:
    """A measured step beside what the model says of it.

    Attributes:
        point: What was measured.
        measured: Seconds.
        seconds: What the model says.
    """

    point: Point
    measured: float
    seconds: float

    @property
    def error(self) -> float:
        """How far the model is off, as a share of what was measured."""
        return self.seconds / self.measured - 1


def fit(lines: Sequence[Line]) -> CostModel:
    """The factors that fit the lines best, each line's error as a share of its own time.

    Raises:
        ValueError: If there are fewer points than factors.
    """
    from scipy.optimize import nnls

    if len(lines) < len(PARTS):
        raise ValueError(f"{len(lines)} points cannot settle {len(PARTS)} factors: measure more.")
    seconds = np.array([line["seconds"] for line in lines])
    table = np.array([[part(*_given(line)) for part in PARTS.values()] for line in lines])
    shares = table / seconds[:, None]
    least = np.array([float(name == PRODUCTS) for name in PARTS])
    more, _ = nnls(shares, 1 - shares @ least)
    return CostModel(dict(zip(PARTS, map(float, least + more), strict=True)))


def foretell(model: CostModel, lines: Sequence[Line]) -> list[Foretold]:
    """What the model says of measured lines."""
    return [
        Foretold(point, line["seconds"], model.seconds(point, flops, width))
        for line in lines
        for point, flops, width in [_given(line)]
    ]


def errors(found: Sequence[Foretold]) -> tuple[float, float]:
    """Median and largest size of the errors."""
    sizes = [abs(one.error) for one in found]
    return statistics.median(sizes), max(sizes)


def fitted_and_held_out(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Lines of one process in the format that most of them have: to fit, and to test.

    Other formats reach another share of their ceiling, and more processes send gradients as well.
    """
    alone = [line for line in lines if Point.of(line["point"]).processes == 1]
    kinds = [line["precision"] for line in alone]
    usual = [line for line in alone if line["precision"] == max(set(kinds), key=kinds.count)]
    return (
        [line for line in usual if not line["point"]["held_out"]],
        [line for line in usual if line["point"]["held_out"]],
    )


def _given(line: Line) -> tuple[Point, float, float]:
    return Point.of(line["point"]), line["ceiling_flops"], line["ceiling_bytes"]
