"""How labelled rows become a file: a start, then parts, which are joined at the end."""

import csv
import gzip
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from nlp_adapt.data.reading.rows import encodable
from nlp_adapt.errors import DataError, first_line
from nlp_adapt.prediction.files.parts import copy_all


class LabelledRow(NamedTuple):
    """A row of the input: its place, for messages, its values by column, and the new values."""

    place: str
    record: Mapping[str, Any]
    added: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """What the output looks like.

    Attributes:
        columns: The input's columns in order.
        names: Names of the new columns in the output, by their own names; they come last.
        types: Their types by own name: `string`, `int64`, `float64`, or a list or mapping of them.
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
    """Writes labelled rows in one format; `writers` lists the formats.

    Attributes:
        of_words: Whether it holds tagged words alone, without other columns.
        in_pieces: Whether the file is its parts, one after the other.
    """

    of_words: ClassVar[bool] = False
    in_pieces: ClassVar[bool] = True

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def record(self, row: LabelledRow) -> dict[str, Any]:
        """Old and new values by column."""
        new = {name: row.added.get(key) for key, name in self.layout.names.items()}
        return {**row.record, **new}

    def start(self) -> bytes:
        """What comes before the first row."""
        return b""

    @abstractmethod
    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """Some rows as a part of the output."""

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """Write `staged` from parts, files with what `encode` gave; `summary` counts all rows."""
        with open_bytes(staged, gzipped=self.layout.gzipped) as file:
            file.write(self.start())
            copy_all(parts, file)


def open_bytes(path: Path, *, gzipped: bool) -> BinaryIO | gzip.GzipFile:
    """Open `path` for writing; gzip'd without the time, so that equal content is equal bytes."""
    return gzip.GzipFile(path, "wb", mtime=0) if gzipped else path.open("wb")


# What spreadsheets take for the start of a formula, unless it is a number.
_FORMULA = re.compile(r"(?![-+]?[0-9]+(?:\.[0-9]+)?\Z)[=+\-@\t\r]")


def may_be_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell of this text."""
    return bool(_FORMULA.match(text))


class CsvWriter(Writer):
    """A line of column names, then a row a line; lists are written as JSON.

    A label of the model that a spreadsheet would run as a formula stands after an apostrophe.
    """

    delimiter: ClassVar[str] = ","

    def record(self, row: LabelledRow) -> dict[str, Any]:
        """Old and new values by column, a label never a formula."""
        label = row.added.get("label")
        if label and may_be_formula(label):
            row = row._replace(added={**row.added, "label": f"'{label}"})
        return super().record(row)

    def start(self) -> bytes:
        """The line of column names."""
        return self._lines([list(self.layout.all_columns)])

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """A line for each row."""
        return self._lines([self._fields(row) for row in rows])

    def _fields(self, row: LabelledRow) -> list[str]:
        record = self.record(row)
        return [_text(record.get(name)) for name in self.layout.all_columns]

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        stream = io.StringIO(newline="")
        for fields in rows:
            # Python's writer quotes only the line ends that it writes itself, readers see others.
            quoted = any("\r" in text for text in fields)
            csv.writer(
                stream,
                delimiter=self.delimiter,
                lineterminator="\n",
                quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
            ).writerow(fields)
        return stream.getvalue().encode("utf-8", "replace")


class TsvWriter(CsvWriter):
    """The same between tabs."""

    delimiter = "\t"

    def _fields(self, row: LabelledRow) -> list[str]:
        fields = super()._fields(row)
        if any(mark in text for text in fields for mark in "\t\n\r"):
            raise DataError(
                f"{row.place} holds a tab or a line break, which tsv cannot: write csv or jsonl."
            )
        return fields


class JsonlWriter(Writer):
    """An object a line."""

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """A line for each row."""
        return b"".join(json_line(self.record(row)) for row in rows)


class ParquetWriter(Writer):
    """Typed columns; those of the input keep their types."""

    in_pieces = False

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """The rows as a file of their own."""
        import pyarrow
        from datasets import Dataset, Features

        columns, names = self.layout.columns, self.layout.names
        old = {name: [_storable(row.record.get(name)) for row in rows] for name in columns}
        new = {name: [row.added.get(key) for row in rows] for key, name in names.items()}
        stream = io.BytesIO()
        try:
            known = self.layout.features or (Dataset.from_dict(old).features if old else {})
            types = {name: known[name] for name in columns}
            types |= {name: _feature(self.layout.types[key]) for key, name in names.items()}
            Dataset.from_dict({**old, **new}, Features(types)).to_parquet(stream)
        except (pyarrow.ArrowException, TypeError, OverflowError) as error:
            raise _mixed_types(error) from error
        return stream.getvalue()

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """Join parts under a schema that holds the types of all of them."""
        import pyarrow
        from pyarrow import parquet

        schemas = [parquet.read_schema(part) for part in parts] or [
            pyarrow.schema([(name, pyarrow.string()) for name in self.layout.all_columns])
        ]
        metadata = schemas[0].metadata if self.layout.features is not None else None
        try:
            schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
            schema = schema.with_metadata(metadata)
            with parquet.ParquetWriter(staged, schema) as writer:
                for part in parts:
                    writer.write_table(parquet.read_table(part).cast(schema))
        except pyarrow.ArrowException as error:
            raise _mixed_types(error) from error


def _feature(kind: Any) -> Any:
    """The `datasets` type of an added column."""
    from datasets import List, Value

    if isinstance(kind, list):
        return List(_feature(kind[0]))
    if isinstance(kind, dict):
        return {name: _feature(inner) for name, inner in kind.items()}
    return Value(kind)


def _mixed_types(error: Exception) -> DataError:
    return DataError(
        f"a column holds values of several types, which parquet cannot ({first_line(error)}): "
        "write jsonl."
    )


def json_line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of JSON Lines."""
    try:
        return (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can keep
        return (json.dumps(record, default=str) + "\n").encode()


def _storable(value: Any) -> Any:
    """The value without halves of surrogate pairs, which no file of UTF-8 can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {key: _storable(one) for key, one in value.items()}
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
