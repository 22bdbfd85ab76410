"""Formats that only tagged words have: CoNLL columns, and a page to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_adapt.prediction.files.parts import copy_all
from nlp_adapt.prediction.files.tagged_page import (
    PAGE_END,
    conll_sentence,
    page_head,
    page_hues,
    page_item,
)
from nlp_adapt.prediction.files.writing import LabelledRow, open_bytes


@dataclass(frozen=True)
class ConllFormat:
    """One word a line, its tag last, a blank line after each sentence.

    Attributes:
        columns: Columns of the input that stand before the tags; none: the words alone.
        gzipped: Whether the whole is gzip'd.
    """

    columns: Sequence[str] = ()
    gzipped: bool = False

    def start(self) -> bytes:
        """Nothing: the columns have no names."""
        return b""

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """The lines of some sentences; a row without words is a blank line."""
        return "".join(map(self._sentence, rows)).encode("utf-8", "replace")

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """Join the parts."""
        with open_bytes(staged, gzipped=self.gzipped) as file:
            copy_all(parts, file)

    def _sentence(self, row: LabelledRow) -> str:
        given = [row.record[name] for name in self.columns] or [row.added["tokens"]]
        return conll_sentence(*given, row.added["tags"])


@dataclass(frozen=True)
class PageFormat:
    """A page of its own on which entities are coloured by type.

    Attributes:
        types: The entity types that may occur.
        gzipped: Whether the whole is gzip'd.
    """

    types: Sequence[str]
    gzipped: bool = False

    def start(self) -> bytes:
        """Nothing: the top of the page says how much is on it, which is known at the end."""
        return b""

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """Some texts as items of the page."""
        hues = page_hues(self.types)
        items = (page_item(row.added["text"], row.added["entities"], hues) for row in rows)
        return "".join(items).encode("utf-8", "replace")

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """The whole page."""
        head = page_head(summary["labels"], summary["rows"], page_hues(self.types))
        with open_bytes(staged, gzipped=self.gzipped) as file:
            file.write(head.encode())
            copy_all(parts, file)
            file.write(PAGE_END.encode())
