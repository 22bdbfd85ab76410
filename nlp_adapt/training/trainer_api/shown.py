"""What `train()` returns: results.json as a dict that a terminal and a notebook can show."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nlp_adapt.escaping import in_lines
from nlp_adapt.reporting.ending import ending
from nlp_adapt.reporting.table import layout


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


def _table(rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head, *body = rows
    below = "".join(line(cells, "td") for cells in body)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{below}</tbody></table>"
