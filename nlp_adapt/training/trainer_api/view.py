"""What can be read off a trainer at any time, and how its results show themselves."""

import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.escaping import in_lines
from nlp_adapt.reporting.ending import ending
from nlp_adapt.reporting.results import read_log
from nlp_adapt.reporting.table import layout
from nlp_adapt.tasks import Task
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.inputs.data import RunData
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.scoring import Scorer


class RunResults(dict[str, Any]):
    """The content of results.json, which `str` and notebooks show as the last screen of a run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, results: Mapping[str, Any], folder: str | Path) -> None:
        super().__init__(results)
        self.folder = str(folder)

    def __str__(self) -> str:
        (before, after), tables = self._ending()
        return "\n\n".join([before, *map(layout, tables), after])

    def _repr_html_(self) -> str:
        """The verdict, the tables, and what is said after them."""
        (before, after), tables = self._ending()
        first = [f"<p>{escape(part)}</p>" for part in before.split("\n\n")]
        return "\n".join([*first, *map(_table, tables), f"<pre>{escape(after)}</pre>"])

    def show(self) -> None:
        """Print the last screen where a person reads it: on a terminal."""
        if sys.stdout.isatty():
            print(f"\n{self}")

    def _ending(self) -> tuple[list[str], list[list[list[str]]]]:
        return ending(in_lines(dict(self)), in_lines(self.folder))


class TrainerView:
    """The parts of a run by their names, as properties."""

    args: AdaptationConfig
    context: RunContext
    results: RunResults
    _accelerator: Any = None

    @property
    def inputs(self) -> Inputs:
        """Domains and stream."""
        return self.context.inputs

    @property
    def source(self) -> Domain:
        """The source; the first of several."""
        return self.inputs.sources[0]

    @property
    def target(self) -> Domain | None:
        """The target, or None; the first of several."""
        return next(iter(self.inputs.targets), None)

    @property
    def task(self) -> Task:
        """What the labels mean."""
        return self.context.task

    @property
    def processing_class(self) -> Any:
        """The tokenizer."""
        return self.context.tokenizer

    @property
    def model_name(self) -> str:
        """What the starting model is called."""
        return self.context.start.name

    @property
    def method_name(self) -> str:
        """The method, or `custom` where the recipe spells out its own stages."""
        return self.context.method

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.context.folder

    @property
    def data(self) -> RunData:
        """The run's tokenised rows, made on first use."""
        return self.context.data

    @property
    def accelerator(self) -> Any:
        """The `accelerate.Accelerator` of the run; made on first use."""
        if self._accelerator is None:
            self._accelerator = make_accelerator(self.args)
        return self._accelerator

    @property
    def state(self) -> Any:
        """Where the run stands, as a `transformers.TrainerState`; `log_history` is log.jsonl.

        Each line says of which `model` of the run it is; the other numbers are the adapted one's.
        """
        from transformers import TrainerState

        scores = self.results.get("adapted") or {}
        best = scores.get("best") or {}
        return TrainerState(
            global_step=scores.get("steps", 0),
            max_steps=scores.get("steps", 0),
            log_history=read_log(self.folder.path),
            best_metric=best.get("score"),
            best_global_step=best.get("step"),
        )

    @property
    def scorer(self) -> Scorer:
        """Scores models on the run's labelled rows."""
        return self.context.scorer


def _table(rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head, *body = rows
    below = "".join(line(cells, "td") for cells in body)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{below}</tbody></table>"
