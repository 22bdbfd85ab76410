"""Reading a file of rows some thousands at a time, with rows that cannot be read set aside.

What `data.files` reads whole for training, prediction reads in pieces, so that memory stays
constant for csv, tsv, jsonl, txt and parquet. A row that cannot be read never stops the file: it
comes back with the reason, and nothing is guessed in its place.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_adapt.data.files import MAX_LINE_BYTES, data_suffix, read_file, read_lines
from nlp_adapt.data.quarantine import BadLines
from nlp_adapt.data.tables import Table
from nlp_adapt.errors import DataError


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
                return self._header()
            if self._suffix == ".txt":
                return ["text"]
            if self._suffix == ".parquet":
                return list(_parquet(self.path).schema_arrow.names)
            names: dict[str, None] = {}
            for _, record, _ in self._rows():
                names.update(dict.fromkeys(record or ()))
            return list(names)

    def features(self) -> Mapping[str, Any] | None:
        """The `datasets` type of each column, for parquet."""
        if self._suffix != ".parquet":
            return None
        from datasets import Features

        return Features.from_arrow_schema(_parquet(self.path).schema_arrow)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """The rows in order, `size` at a time, readable or not.

        Raises:
            DataError: The file cannot be read on, such as for an open quotation mark.
        """
        with _plain_errors(self.path):
            rows = self._rows()
            while part := list(islice(rows, size)):
                chunk = Chunk()
                for place, record, rejected in part:
                    if rejected is not None:
                        chunk.rejected.append(rejected)
                    elif record is not None:
                        chunk.rows.append(place)
                        chunk.records.append(record)
                yield chunk

    @property
    def _suffix(self) -> str:
        return data_suffix(self.path) or ""

    def _rows(self) -> Iterator[Row]:
        suffix = self._suffix
        if suffix == ".csv":
            return self._csv_rows()
        if suffix == ".tsv":
            return self._tsv_rows()
        if suffix == ".txt":
            return self._txt_rows()
        if suffix == ".jsonl" or (suffix == ".json" and not self._is_array()):
            return self._jsonl_rows()
        if suffix == ".parquet":
            return self._parquet_rows()
        return _table_rows(read_file(self.path, self.task))

    def _header(self) -> list[str]:
        bad = _Collected(self.path)
        if self._suffix == ".csv":
            first = next((fields for _, fields in self._csv_fields(bad)), None)
        else:
            first = next((line.split("\t") for _, line in read_lines(self.path, bad) if line), None)
        if first is None:
            raise DataError(f"{self.path} is empty.")
        bad.refuse(next(iter(bad.reasons), 0))
        header = [_unquoted(name).strip() for name in first]
        if len(set(header)) < len(header):
            raise DataError(f"{self.path}:1 names a column twice: {', '.join(header)}.")
        return header

    def _csv_fields(self, bad: BadLines) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        first = next((line for _, line in read_lines(self.path, _Collected(self.path))), "")
        delimiter = ";" if "," not in first and ";" in first else ","
        lines = (line + "\n" for _, line in read_lines(self.path, bad))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        start = 1
        try:
            for fields in reader:
                if fields:
                    yield start, fields
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{self.path}:{start} is not valid csv ({error}): check its quotation marks."
            ) from None

    def _csv_rows(self) -> Iterator[Row]:
        bad = _Collected(self.path)
        return self._fielded(self._csv_fields(bad), bad)

    def _tsv_rows(self) -> Iterator[Row]:
        bad = _Collected(self.path)
        lines = (
            (number, [_unquoted(field) for field in line.split("\t")])
            for number, line in read_lines(self.path, bad)
            if line
        )
        return self._fielded(lines, bad)

    def _fielded(self, numbered: Iterator[tuple[int, list[str]]], bad: _Collected) -> Iterator[Row]:
        header = self._header()
        next(numbered)
        for number, fields in numbered:
            if len(fields) != len(header):
                bad.add(
                    number,
                    f"it has {len(fields)} fields where the header names {len(header)}: put "
                    "quotation marks around a text that holds the separator.",
                )
            record = dict(zip(header, fields, strict=False))
            yield self._row(number, record, bad.take(), fields)

    def _txt_rows(self) -> Iterator[Row]:
        bad = _Collected(self.path)
        for number, line in read_lines(self.path, bad):
            yield self._row(number, {"text": line}, bad.take(), line)

    def _jsonl_rows(self) -> Iterator[Row]:
        bad = _Collected(self.path)
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

    def _is_array(self) -> bool:
        lines = read_lines(self.path, _Collected(self.path))
        first = next((line for _, line in lines if line.strip()), "")
        return first.lstrip().startswith("[")

    def _row(self, number: int, record: Any, reason: str | None, content: Any) -> Row:
        place = f"{self.path.name}:{number}"
        if reason is not None:
            return place, None, Rejected(place, reason, content)
        return place, record, None


class _Collected(BadLines):
    """Takes every bad line; the reader asks for the reasons row by row."""

    def add(self, number: int, reason: str) -> None:
        """Note the line."""
        self.reasons.setdefault(number, reason)

    def take(self) -> str | None:
        """The first reason since the last call."""
        reason = next(iter(self.reasons.values()), None)
        self.reasons.clear()
        return reason


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


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] + field[-1] != '""' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')
