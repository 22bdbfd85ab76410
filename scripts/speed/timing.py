"""Timing on a machine that others use too: what is compared runs in turns, and ratios come from pairs."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Course:
    """Steps that can be timed one after the other.

    Attributes:
        step: Runs one step and returns its real and its padded tokens.
        speeds: Real tokens a second, one number a round.
        seconds: Seconds a step, one number a round.
        real: Real tokens so far.
        padded: Tokens with padding so far.
        share: Of the steps of a round, how many this one takes: less than 1 if it is slow.
    """

    step: Callable[[], tuple[float, float]]
    share: float = 1.0
    speeds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    real: float = 0.0
    padded: float = 0.0

    def round(self, steps: int) -> None:
        """Time about as many steps."""
        steps = max(1, round(steps * self.share))
        started, tokens = time.perf_counter(), 0.0
        for _ in range(steps):
            real, padded = self.step()
            tokens += real
            self.real += real
            self.padded += padded
        elapsed = time.perf_counter() - started
        self.speeds.append(tokens / elapsed)
        self.seconds.append(elapsed / steps)

    @property
    def padding(self) -> float:
        """Share of padding."""
        return 1 - self.real / self.padded if self.padded else 0.0


def in_turns(courses: Mapping[str, Any], rounds: int, run: Callable[[Any, int], None]) -> None:
    """Run every course once a round; each round begins with another one.

    Args:
        courses: What is compared, by name.
        rounds: How often.
        run: Runs a course in the round of that number.
    """
    order = list(courses.values())
    for number in range(rounds):
        first = number % len(order)
        for course in order[first:] + order[:first]:
            run(course, number)


def spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    """Median, and the quarters around it."""
    low, middle, high = quarters(values)
    return f"{middle:,.{digits}f}{unit} ({low:,.{digits}f} to {high:,.{digits}f})"


def quarters(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(values: Sequence[float], baseline: Sequence[float]) -> str:
    """Median and quarters of the ratio within each round."""
    return spread(ratios(values, baseline), 2)


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The ratio within each round."""
    return [one / other for one, other in zip(values, baseline, strict=True)]


def milliseconds(seconds: Sequence[float]) -> str:
    """Median and quarters in milliseconds."""
    return spread([1000 * value for value in seconds], 1)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def machine(device: torch.device) -> str:
    """Processor or GPU, cores, threads."""
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}"
    name = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = f"{named[0]} ({name})" if named else name
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def load() -> float:
    """How many programs wanted a core over the last minute, this one included."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
