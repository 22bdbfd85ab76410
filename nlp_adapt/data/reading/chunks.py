"""Reading a file of rows some thousands at a time, with rows that cannot be read set aside.

What `data.files` reads whole for training, prediction reads in pieces, so that memory stays
constant for csv, tsv, jsonl, txt, parquet and CoNLL columns. A row that cannot be read never stops
the file: it comes back with the reason, and nothing is guessed in its place.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.conll import column_names, conll_sentences, looks_like_conll
from nlp_adapt.data.reading.delimited import delimited_header, delimited_rows
from nlp_adapt.data.reading.files import data_suffix, read_file, read_lines
from nlp_adapt.data.reading.quarantine import CollectedLines
from nlp_adapt.data.reading.tables import Table
from nlp_adapt.errors import DataError
from nlp_adapt.names import TOKEN_CLASSIFICATION


@dataclass(frozen=True)
class Rejected:
    """A row that was set aside.

    Attributes:
        row: Where it stands, as "file:line".
        reason: What is wrong with it.
        content: What could be read of it.
    """

    row: str
    reason: str
    content: Any


@dataclass
class Chunk:
    """Successive rows of a file.

    Attributes:
        rows: Where each readable row stands.
        records: The values of each readable row by column.
        rejected: The rows that could not be read.
    """

    rows: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejected)

    def table(self, columns: Sequence[str], origin: str) -> Table:
        """The readable rows as a table with these columns."""
        values = {name: [record.get(name) for record in self.records] for name in columns}
        return Table(values, self.rows, origin)


Row = tuple[str, dict[str, Any] | None, Rejected | None]


@dataclass(frozen=True)
class RowFile:
    """A file of rows that is read in chunks.

    Args:
        path: The file.
        task: As for `read_file`.
    """

    path: Path
    task: str

    def columns(self) -> list[str]:
        """The columns in order; jsonl is read once for the names in it.

        Raises:
            DataError: The file is missing, empty, of an unknown format or broken in its header.
        """
        with _plain_errors(self.path):
            if self._suffix in (".csv", ".tsv"):
                return delimited_header(self.path, self._suffix)
            if self._suffix == ".txt":
                return ["text"]
            if self.line_per_token:
                return self._conll_columns()
            if self._suffix == ".parquet":
                return list(_parquet(self.path).schema_arrow.names)
            names: dict[str, None] = {}
            for _, record, _ in self._rows():
                names.update(dict.fromkeys(record or ()))
            return list(names)

    def features(self) -> Mapping[str, Any] | None:
        """The `datasets` type of each column, for parquet; None where one has no such type."""
        if self._suffix != ".parquet":
            return None
        from datasets import Features

        try:
            return Features.from_arrow_schema(_parquet(self.path).schema_arrow)
        except ValueError:  # such as a mapping
            return None

    def chunks(self, size: int, characters: int | None = None) -> Iterator[Chunk]:
        """The rows in order, `size` at a time, readable or not.

        Args:
            size: Most rows in a chunk.
            characters: A chunk that holds so many ends early, so that huge cells do not add up.

        Raises:
            DataError: The file cannot be read on, such as for an open quotation mark.
        """
        rows = self.rows()
        while part := _take(rows, size, characters):
            chunk = Chunk()
            for place, record, rejected in part:
                if rejected is not None:
                    chunk.rejected.append(rejected)
                elif record is not None:
                    chunk.rows.append(place)
                    chunk.records.append(record)
            yield chunk

    def rows(self) -> Iterator[Row]:
        """Every row in order: where it stands, and its columns or why it cannot be read.

        Raises:
            DataError: The file cannot be read on, such as for an open quotation mark.
        """
        with _plain_errors(self.path):
            yield from self._rows()

    @property
    def line_per_token(self) -> bool:
        """Whether the file has CoNLL columns."""
        return self._suffix in (".conll", ".bio", ".iob")

    @cached_property
    def _suffix(self) -> str:
        suffix = data_suffix(self.path) or ""
        if suffix == ".txt" and self.task == TOKEN_CLASSIFICATION:
            lines = read_lines(self.path, CollectedLines(self.path))
            return ".conll" if looks_like_conll(lines) else suffix
        return suffix

    def _rows(self) -> Iterator[Row]:
        suffix = self._suffix
        if suffix in (".csv", ".tsv"):
            return (self._row(*row) for row in delimited_rows(self.path, suffix))
        if suffix == ".txt":
            return self._txt_rows()
        if suffix == ".jsonl" or (suffix == ".json" and not self._is_array()):
            return self._jsonl_rows()
        if suffix == ".parquet":
            return self._parquet_rows()
        if self.line_per_token:
            return self._conll_rows()
        return _table_rows(read_file(self.path, self.task))

    def _txt_rows(self) -> Iterator[Row]:
        bad = CollectedLines(self.path)
        for number, line in read_lines(self.path, bad):
            yield self._row(number, {"text": line}, bad.take(), line)

    def _jsonl_rows(self) -> Iterator[Row]:
        bad = CollectedLines(self.path)
        for number, line in read_lines(self.path, bad):
            if not line.strip():
                bad.take()
                continue
            reason, record = bad.take(), None
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = reason or f"it is not valid JSON ({error})."
            if not isinstance(record, dict):
                reason = reason or 'it is not a JSON object such as {"text": "..."}.'
            yield self._row(number, record, reason, line)

    def _parquet_rows(self) -> Iterator[Row]:
        number = 0
        for batch in _parquet(self.path).iter_batches(batch_size=1024):
            for record in batch.to_pylist():
                number += 1
                yield self._row(number, record, None, record)

    def _conll_columns(self) -> list[str]:
        bad = CollectedLines(self.path)
        first = next(conll_sentences(read_lines(self.path, bad), bad), None)
        if first is None:
            raise DataError(f"{self.path} holds no rows.")
        return column_names(len(first.tokens[0]))

    def _conll_rows(self) -> Iterator[Row]:
        bad = CollectedLines(self.path)
        for sentence in conll_sentences(read_lines(self.path, bad), bad):
            names = column_names(len(sentence.tokens[0]))
            record = None
            if sentence.reason is None:
                values = zip(*sentence.tokens, strict=True)
                record = dict(zip(names, map(list, values), strict=True))
            yield self._row(sentence.line, record, sentence.reason, sentence.tokens)

    def _is_array(self) -> bool:
        lines = read_lines(self.path, CollectedLines(self.path))
        first = next((line for _, line in lines if line.strip()), "")
        return first.lstrip().startswith("[")

    def _row(self, number: int, record: Any, reason: str | None, content: Any) -> Row:
        place = f"{self.path.name}:{number}"
        if reason is not None:
            return place, None, Rejected(place, reason, content)
        return place, record, None


class _plain_errors:  # noqa: N801 - reads as a statement
    """Says in one sentence what is wrong with a file as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        if data_suffix(self.path) is None:
            read_file(self.path, "")  # has the sentence for unknown formats

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{self.path} does not exist.") from None
        if isinstance(error, (gzip.BadGzipFile, zlib.error, EOFError)):
            raise DataError(
                f"{self.path} is a damaged or incomplete gzip file: fetch it again."
            ) from None
        if isinstance(error, OSError):
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}.") from None


def _take(rows: Iterator[Row], size: int, characters: int | None) -> list[Row]:
    """The next rows: `size` of them, or fewer once they hold `characters`."""
    part: list[Row] = []
    held = 0
    for row in rows:
        part.append(row)
        if characters is not None:
            held += _characters(row[1] if row[2] is None else row[2].content)
        if len(part) == size or (characters is not None and held >= characters):
            break
    return part


def _characters(value: Any) -> int:
    """Roughly how many characters a value holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_characters, value))
    return 1


def _parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(gzip.open(path) if path.suffix == ".gz" else path)
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable parquet file ({reason}).") from None


def _table_rows(table: Table) -> Iterator[Row]:
    columns = {name: list(values) for name, values in table.columns.items()}
    for index, place in enumerate(table.rows):
        yield place, {name: values[index] for name, values in columns.items()}, None
