"""How labelled rows become a file: a start, then parts, which are joined at the end."""

from __future__ import annotations

import gzip
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from nlp_adapt.errors import RunError
from nlp_adapt.prediction.files.parts import copy_all


class LabelledRow(NamedTuple):
    """A row of the input and what is added to it.

    Attributes:
        place: Where it stood, for messages.
        record: Its values by column.
        added: The new values, by the new columns' own names.
    """

    place: str
    record: Mapping[str, Any]
    added: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """What the output looks like.

    Attributes:
        columns: The input's columns in order.
        names: Names of the new columns in the output, by their own names; they follow the others.
        types: Types of the new columns, by their own names: `string`, `int64` or `float64`, or a
            list or mapping of them.
        gzipped: Whether the whole is gzip'd.
        features: The `datasets` types of the input's columns, where it has types.
        line_per_token: Whether the input has CoNLL columns.
        labels: What the summary counts.
    """

    columns: Sequence[str]
    names: Mapping[str, str]
    types: Mapping[str, Any]
    gzipped: bool = False
    features: Mapping[str, Any] | None = None
    line_per_token: bool = False
    labels: Sequence[str] = ()

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of the output."""
        return (*self.columns, *self.names.values())


class Writer(ABC):
    """Writes labelled rows in one format; see `writers` for those there are.

    Attributes:
        of_words: Whether it has room for tagged words alone, and none for other columns.
        in_pieces: Whether its parts, one after the other, are the file.
    """

    of_words: ClassVar[bool] = False
    in_pieces: ClassVar[bool] = True

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def start(self) -> bytes:
        """What stands before the first row."""
        return b""

    @abstractmethod
    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """Some rows as a part of the output.

        Raises:
            DataError: A value does not fit the format.
        """

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """Join parts to the whole file.

        Args:
            parts: Files with what `encode` gave, in order.
            staged: The file to write.
            summary: What was counted over all parts.
        """
        with open_bytes(staged, gzipped=self.layout.gzipped) as file:
            file.write(self.start())
            copy_all(parts, file)


def open_bytes(path: Path, *, gzipped: bool) -> BinaryIO | gzip.GzipFile:
    """Open `path` for writing; gzip'd without the time, so that equal content is equal bytes."""
    return gzip.GzipFile(path, "wb", mtime=0) if gzipped else path.open("wb")


def check_output(out: Path, source: Path | None, option: str = "--out") -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises:
        RunError: The folder is missing or closed, or it is the input.
    """
    if source is not None and out.exists() and source.exists() and out.samefile(source):
        raise RunError(f"{option} {out}: is the input file; choose another name.")
    if out.is_dir():
        raise RunError(f"{option} {out}: is a folder; name a file.")
    if not out.parent.is_dir():
        raise RunError(f"{option} {out}: the folder {out.parent} does not exist; make it first.")
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"{option} {out}: the folder {out.parent} cannot be written.")
