"""The one reader of files: lazily row by row, in chunks, or whole.

Training reads a file whole, streaming and prediction a piece at a time, so that their memory does
not grow with it. Nothing is guessed in place of a row that cannot be read: it comes with the reason.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.conll import Conll, looks_like_conll
from nlp_adapt.data.reading.delimited import Tsv
from nlp_adapt.data.reading.formats import ENDINGS, FORMATS, data_ending, format_of
from nlp_adapt.data.reading.lines import Texts, read_lines
from nlp_adapt.data.reading.quarantine import SHOWN, Quarantine
from nlp_adapt.data.reading.rows import Format, Row, Table, table_of
from nlp_adapt.errors import DataError
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted, were

_EDGE_BYTES = 65536
# What a file is in truth, whatever its ending says, by how it begins.
_PAGE = "is a web page, not data: fetch the file itself."
_OTHERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file: fetch it with `git lfs pull`.",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"__label__": "holds fastText's labels in its texts: save it as csv, with the columns text and label.",
}


@dataclass(frozen=True)
class RowFile:
    """A file of rows: csv, tsv, xlsx, jsonl, json, parquet, txt or CoNLL columns, each also gzip'd.

    The task "token-classification" lets a .txt or .tsv file, or one of another ending, hold CoNLL
    columns. `encoding` is that of text; None: UTF-8.
    """

    path: Path
    task: str
    encoding: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def line_per_token(self) -> bool:
        """Whether the file has CoNLL columns."""
        return self._format.line_per_token

    def columns(self) -> list[str]:
        """The columns in order; jsonl is read once for the names in it."""
        with _plain_errors(self.path):
            return self._format.columns(self.path)

    def features(self) -> Mapping[str, Any] | None:
        """The `datasets` type of each column, for parquet; None where one has no such type."""
        return self._format.features(self.path)

    def rows(self) -> Iterator[Row]:
        """Every row in order, readable or not."""
        with _plain_errors(self.path):
            yield from self._format.rows(self.path)

    def chunks(self, size: int, characters: int | None = None) -> Iterator[list[Row]]:
        """The rows in order, readable or not, at most `size` at a time.

        A chunk of so many `characters` ends early, so that huge cells do not add up.
        """
        chunk: list[Row] = []
        held = 0
        for row in self.rows():
            chunk.append(row)
            if characters is not None:
                held += _characters(row.content if row.record is None else row.record)
            if len(chunk) == size or (characters is not None and held >= characters):
                yield chunk
                chunk, held = [], 0
        if chunk:
            yield chunk

    def table(self, quarantine: int = 0) -> Table:
        """The whole file; up to `quarantine` unreadable lines are set aside with their rows.

        Raises:
            DataError: The file is missing, of an unknown format, empty or broken; names file and
                line.
        """
        reasons: dict[int, str] = {}
        with _plain_errors(self.path):
            table = self._format.table(self.path)
            if table is None:
                rows = self._readable(Quarantine(quarantine), reasons)
                table = table_of(rows, str(self.path), line_per_token=self.line_per_token)
        if not len(table):
            raise DataError(f"{self.path} holds no rows.")
        notes = (self._set_aside(reasons),) if reasons else ()
        return replace(table, notes=notes, untyped=self._format.untyped)

    def _readable(self, quarantine: Quarantine, reasons: dict[int, str]) -> Iterator[Row]:
        """The readable rows; `reasons` takes why not, by line, of the others."""
        for row in self._format.rows(self.path):
            for line, what in row.faults:
                reasons[line] = f"{self.path}:{line} {what}"
                quarantine.take("", str(self.path), reasons[line])
            if row.record is not None:
                yield row

    def _set_aside(self, reasons: Mapping[int, str]) -> str:
        """The note on lines that were set aside."""
        listed = ", ".join(f"{self.name}:{line}" for line in [*reasons][:SHOWN])
        more = ", ..." if len(reasons) > SHOWN else ""
        return (
            f"{counted(len(reasons), 'unreadable line')} of {self.name} {were(len(reasons))} set aside "
            f"with {'its row' if len(reasons) == 1 else 'their rows'}: "
            f"{listed}{more}. The first: {next(iter(reasons.values()))}"
        )

    def fingerprint(self) -> str:
        """Hash of name, size, and the file's first and last 64 KiB."""
        size = self.path.stat().st_size
        digest = hashlib.sha256(f"{self.name}:{size}".encode())
        with self.path.open("rb") as file:
            digest.update(file.read(_EDGE_BYTES))
            file.seek(max(0, size - _EDGE_BYTES))
            digest.update(file.read(_EDGE_BYTES))
        return digest.hexdigest()

    @cached_property
    def _format(self) -> Format:
        encoding = self.encoding or Format.encoding
        own = ENDINGS.get(data_ending(self.path) or "")
        if own is None or own in FORMATS:  # a format of the user's own knows what it reads
            _refuse_others(self.path)
        if self.task == TOKEN_CLASSIFICATION and (own is None or isinstance(own, (Texts, Tsv))):
            own = Conll() if looks_like_conll(read_lines(self.path, encoding)) else own
        found = copy(own or format_of(self.path))
        found.encoding = encoding
        return found


def read_file(path: Path, task: str, quarantine: int = 0, encoding: str | None = None) -> Table:
    """Read one data file whole; see `RowFile.table`."""
    return RowFile(path, task, encoding).table(quarantine)


def _refuse_others(path: Path) -> None:
    """Refuse what would be read as rows of text, and is none."""
    with suppress(OSError), path.open("rb") as file:  # what is not there is told by the format
        start = file.read(64).lower()
        for mark, what in _OTHERS.items():
            if start.startswith(mark):
                raise DataError(f"{path} {what}")


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Says in one sentence what is wrong with a file as a whole."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        with path.open("rb") as file:
            if file.read(2) != b"\x1f\x8b":
                raise DataError(
                    f"{path} is not gzip, whatever its name says: take .gz off it, or pack it."
                ) from None
        raise DataError(f"{path} is a damaged or incomplete gzip file: fetch it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _characters(value: Any) -> int:
    """Roughly how many characters a value holds."""
    if isinstance(value, str):
        return len(value)
    values = value.values() if isinstance(value, dict) else value
    return sum(map(_characters, values)) if isinstance(value, (dict, list, tuple)) else 1
