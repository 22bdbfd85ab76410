"""What a run says while it trains: lines in log.jsonl, a progress bar, trackers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm


class RunLog:
    """Gathers measurements of steps and writes their means every few steps.

    Tensors are read only when a line is written, so that a GPU is not waited for at each step.

    Args:
        path: The log file; None on all but the main process.
        accelerator: For trackers.
        every: Steps between lines.
        show_bar: Whether to draw a progress bar.
    """

    def __init__(self, path: Path | None, accelerator: Any, every: int, show_bar: bool) -> None:
        self._path = path
        self._accelerator = accelerator
        self._every = every
        self._show_bar = show_bar and path is not None
        self._bar: Any = None
        self._where: dict[str, Any] = {}
        self.total_steps = 0
        self._reset()

    def start_stage(self, label: str, steps: int, done: int = 0, **where: Any) -> None:
        """Begin a stage; `where` is written on each of its lines."""
        self._where = where
        self._bar = tqdm(
            total=steps, initial=done, desc=label, unit="step", disable=not self._show_bar,
            dynamic_ncols=True,
        )  # fmt: skip
        self._reset()

    def step(self, step: int, terms: dict[str, Tensor], **numbers: float) -> None:
        """Record one applied step; `numbers` may hold tokens and padded counts."""
        self.total_steps += 1
        self._terms.append(terms)
        for name, value in numbers.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._bar.update(1)
        if step % self._every == 0 or step == self._bar.total:
            self._flush(step)

    def write(self, **values: Any) -> None:
        """Append one line to the log file and send its numbers to the trackers."""
        line = {**self._where, **values}
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        numbers = {
            f"{self._where.get('model', 'run')}/{name}": value
            for name, value in values.items()
            if isinstance(value, (int, float)) and name != "step"
        }
        self._accelerator.log(numbers, step=self.total_steps)

    def end_stage(self) -> None:
        """Close the progress bar."""
        if self._bar is not None:
            self._bar.close()

    def _flush(self, step: int) -> None:
        seconds = time.perf_counter() - self._since
        names = {name for terms in self._terms for name in terms}
        means = {}
        for name in sorted(names):
            values = [float(terms[name]) for terms in self._terms if name in terms]
            means[name] = sum(values) / len(values)
        tokens = self._sums.pop("tokens", 0.0)
        padded = self._sums.pop("padded", 0.0)
        rates = {name: value / len(self._terms) for name, value in self._sums.items()}
        speed = tokens / max(seconds, 1e-9)
        self.write(
            step=step,
            **means,
            **rates,
            tokens_per_second=round(speed, 1),
            padding=round(1 - tokens / padded, 4) if padded else 0.0,
        )
        self._bar.set_postfix(_short(means, speed), refresh=False)
        self._reset()

    def _reset(self) -> None:
        self._terms: list[dict[str, Tensor]] = []
        self._sums: dict[str, float] = {}
        self._since = time.perf_counter()


def _short(means: dict[str, float], speed: float) -> dict[str, str]:
    """The few numbers that fit a progress bar."""
    shown = {"loss": f"{means.get('loss', 0.0):.3f}"}
    for name, value in means.items():
        if name == "task/accuracy":
            shown["task"] = f"{value:.0%}"
        elif name.endswith("/accuracy"):
            shown["discriminator"] = f"{value:.0%}"
        elif name.endswith("/lambda"):
            shown["lambda"] = f"{value:.2f}"
    shown["tokens/s"] = f"{speed:,.0f}"
    return shown
