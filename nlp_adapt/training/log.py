"""What a run says while it trains: lines in log.jsonl, a progress bar, trackers."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from nlp_adapt.escaping import for_bars, one_line
from nlp_adapt.files import checksums, said_of, write_text
from nlp_adapt.names import counted
from nlp_adapt.training.accelerator import from_every_process, mean_of_logs
from nlp_adapt.training.schedule import in_steps

FEWEST_LINES = 3
RISE, LEAST_RISE = 1.1, 0.1  # of the task's loss, as a factor and in nats


class RunLog:
    """Gathers measurements of steps and writes their means every few steps.

    Tensors are read only when a line is written, so that a GPU is not waited for at each step.

    Args:
        path: The log file; None on all but the main process.
        every: Steps between lines, or a share of a stage's below 1; 0 for its last one alone.
        first_step: Whether a stage's first step has a line as well.
    """

    def __init__(
        self,
        path: Path | None,
        accelerator: Any,
        every: float,
        show_bar: bool,
        *,
        first_step: bool = False,
    ) -> None:
        self._path = path
        self._accelerator = accelerator
        self._every = every
        self._first_step = first_step
        self._show_bar = show_bar and path is not None
        self._bar: Any = None
        self._where: dict[str, Any] = {}
        self._before = 0
        self._at: dict[str, float] = {}
        self.total_steps = 0
        self.listener: Callable[[Mapping[str, Any]], None] | None = None
        self._reset()

    def start_stage(
        self, label: str, steps: int, done: int = 0, before: int = 0, **where: Any
    ) -> None:
        """Begin a stage; `where` is written on each of its lines.

        Args:
            before: Steps of the model's earlier stages: trackers count a model's steps throughout.
        """
        self._where, self._before = where, before
        self._bar = tqdm(
            total=steps, initial=done, desc=one_line(label), unit="step", file=for_bars(),
            disable=not self._show_bar, dynamic_ncols=True,
        )  # fmt: skip
        self._reset()

    def step(
        self, step: int, terms: dict[str, Tensor], at: Mapping[str, float], **numbers: float
    ) -> None:
        """Record one applied step; `numbers` may hold tokens and padded counts.

        Args:
            at: Where training stands, such as the learning rate: written as it is at the last step.
        """
        self.total_steps += 1
        self._at = dict(at)
        self._terms.append(terms)
        for name, value in numbers.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._bar.update(1)
        if self._is_due(step):
            self.flush(step)

    def _is_due(self, step: int) -> bool:
        last = self._bar.total
        ends = step == last or (step == 1 and self._first_step)
        return ends or (self._every > 0 and step % in_steps(self._every, last) == 0)

    def state(self) -> dict[str, Any]:
        """What was measured since the last line, and the file's checksum; every process calls it."""
        terms = [{name: float(value) for name, value in one.items()} for one in self._terms]
        own = {"terms": terms, "sums": self._sums, "seconds": time.perf_counter() - self._since}
        pending = from_every_process(self._accelerator, own)
        file = None
        if self._path is not None and self._path.is_file():
            (file,) = checksums([self._path], self._path.parent).values()
        return {"pending": pending, "file": file}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on within a line, where `state()` was taken by as many processes."""
        pending = (state or {}).get("pending", [])
        if len(pending) == self._accelerator.num_processes:
            own = pending[self._accelerator.process_index]
            self._terms.extend(own["terms"])
            self._sums.update(own["sums"])
            self._since = time.perf_counter() - own["seconds"]

    def write(self, **values: Any) -> None:
        """Append one line to the log file and send its numbers to the trackers."""
        line = {**self._where, **values}
        if self.listener is not None:
            self.listener(line)
        if self._path is not None:
            with (
                said_of(self._path, "run again with --resume"),
                self._path.open("a", encoding="utf-8") as file,
            ):
                file.write(json.dumps(line) + "\n")
        numbers = {
            name: value
            for name, value in values.items()
            if isinstance(value, (int, float)) and name != "step"
        }
        self._accelerator.log(numbers, step=self._before + values.get("step", 0))

    def write_for(self, before: int, *, model: str, stage: int, **values: Any) -> None:
        """Append a line of a stage, with `before` steps of the model before it, that trained elsewhere."""
        self._where, self._before = {"model": model, "stage": stage}, before
        self.write(**values)

    def continue_from(self, finished: set[str], position: dict[str, Any] | None) -> None:
        """Drop the lines that a resumed run will write again, and one that was cut short.

        Args:
            position: The checkpoint that the run goes on from, if there is one.
        """
        if self._path is None or not self._path.is_file():
            return
        kept = []
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            place = (line.get("stage", 0) - 1, line.get("step", 0))
            before = (
                position is not None
                and line.get("model") == position["model"]
                and place <= (position["stage"], position["step"])
            )
            if before or line.get("model") in finished:
                kept.append(text + "\n")
        write_text(self._path, "".join(kept))

    def close(self) -> None:
        """End a stage, and with it the line of the progress bar."""
        if self._bar is not None:
            self._bar.close()

    def flush(self, step: int) -> None:
        """Write a line of what was measured since the last one, if anything was."""
        if not self._terms:
            return
        seconds = time.perf_counter() - self._since
        own = mean_of_logs([{k: float(v) for k, v in terms.items()} for terms in self._terms])
        parts = from_every_process(self._accelerator, (own, self._sums))
        means = mean_of_logs([part for part, _ in parts])
        tokens = sum(sums.get("tokens", 0.0) for _, sums in parts)
        padded = sum(sums.get("padded", 0.0) for _, sums in parts)
        self._sums.pop("tokens", None)
        self._sums.pop("padded", None)
        rates = {name: value / len(self._terms) for name, value in self._sums.items()}
        speed = tokens / max(seconds, 1e-9)
        self.write(
            step=step,
            **self._at,
            **means,
            **rates,
            tokens_per_second=round(speed, 1),
            padding=round(1 - tokens / padded, 4) if padded else 0.0,
            seconds_left=round(seconds / len(self._terms) * (self._bar.total - step), 3),
        )
        self._bar.set_postfix(_short(means, speed), refresh=False)
        self._reset()

    def _reset(self) -> None:
        self._terms: list[Mapping[str, Tensor | float]] = []
        self._sums: dict[str, float] = {}
        self._since = time.perf_counter()


def _short(means: dict[str, float], speed: float) -> dict[str, str]:
    """The few numbers that fit a progress bar."""
    shown = {"loss": f"{means.get('loss', 0.0):.3f}"}
    for name, value in means.items():
        if name == "task/accuracy":
            shown["task"] = f"{value:.0%}"
        elif name.startswith("auxiliary/"):
            continue  # there may be many; the log has them
        elif name.endswith("/accuracy"):
            shown["discriminator"] = f"{value:.0%}"
        elif name.endswith("/lambda"):
            shown["lambda"] = f"{value:.2f}"
    shown["tokens/s"] = f"{speed:,.0f}"
    return shown


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, the libraries underneath draw no bars and give no advice; the run's own remain."""
    import datasets
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    others = not datasets.utils.are_progress_bars_disabled()
    theirs.set_verbosity(max(level, theirs.ERROR))
    theirs.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
        if others:
            datasets.enable_progress_bars()


def remarks_on_log(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What went wrong while a model was trained, from its lines of log.jsonl."""
    return [*_loss(lines), *_self_training(lines)]


def _loss(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if broken := sum(bool(line.get("non_finite")) for line in lines):
        yield f"its loss was not finite in {counted(broken, 'step')}: lower learning_rate."
    losses = [line["task"] for line in lines if "task" in line]
    if len(losses) < FEWEST_LINES:
        return
    first, last = losses[0], fmean(losses[-max(1, len(losses) // 3) :])
    if last > max(RISE * first, first + LEAST_RISE):
        yield (
            f"its loss on the source rose from {first:.2f} to {last:.2f} in training: lower "
            "learning_rate, or raise warmup_steps."
        )


def _self_training(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    weights = [line["self_training/weight"] for line in lines if "self_training/weight" in line]
    if len(weights) >= FEWEST_LINES and not any(weights):
        yield (
            "self_training gave every row the weight 0, so that its teacher taught nothing: lower "
            "options.self_training.confidence, or choose another weighting."
        )
