"""Writing rows as csv, tsv, jsonl or parquet, in parts that are joined at the end."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO

from nlp_adapt.data.columns import encodable
from nlp_adapt.errors import DataError, RunError
from nlp_adapt.prediction.files.parts import copy_all

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


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


def check_format(out: Path, suffixes: Sequence[str]) -> str:
    """The suffix of `out` without .gz.

    Raises:
        RunError: It is none of `suffixes`.
    """
    name = out.name.lower()
    for suffix in suffixes:
        if name.removesuffix(".gz").endswith(suffix) and not name.endswith(".parquet.gz"):
            return suffix
    raise RunError(f"--out {out}: must end in {', '.join(suffixes)}.")


@contextlib.contextmanager
def staged_output(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to; it takes the place of `out` when it is complete.

    Raises:
        RunError: The file cannot be written.
    """
    staged = out.with_name(f".{out.name}.partial")
    try:
        yield staged
        os.replace(staged, out)
    except OSError as error:
        raise RunError(f"--out {out}: cannot be written ({error.strerror or error}).") from error
    finally:
        staged.unlink(missing_ok=True)


class Format(Protocol):
    """How labelled rows become a file: a start, then parts."""

    def start(self) -> bytes:
        """What stands before the first row."""

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


@dataclass(frozen=True)
class RowFormat:
    """Rows as csv, tsv, jsonl or parquet.

    Attributes:
        suffix: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
        columns: The input's columns in order.
        names: Names of the new columns in the output, by their own names; they follow the others.
        types: Types of the new columns, by their own names: `string`, `int64` or `float64`, or a
            list or mapping of them.
        gzipped: Whether the whole is gzip'd.
        features: The `datasets` types of the input's columns, where it has types.
    """

    suffix: str
    columns: Sequence[str]
    names: Mapping[str, str]
    types: Mapping[str, Any]
    gzipped: bool = False
    features: Mapping[str, Any] | None = None

    def start(self) -> bytes:
        """The line of column names, for csv and tsv."""
        if self.suffix in (".jsonl", ".parquet"):
            return b""
        header = io.StringIO(newline="")
        self._write(header, [*self.columns, *self.names.values()])
        return header.getvalue().encode("utf-8", "replace")

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """Some rows as a part of the output; see `Format`."""
        if self.suffix == ".jsonl":
            return b"".join(_json_line(self._record(row)) for row in rows)
        if self.suffix == ".parquet":
            return self._parquet(rows)
        stream = io.StringIO(newline="")
        for row in rows:
            record = self._record(row)
            fields = [_text(record.get(name)) for name in (*self.columns, *self.names.values())]
            if self.suffix == ".tsv" and any(m in text for text in fields for m in "\t\n\r"):
                raise DataError(
                    f"{row.place} holds a tab or a line break, which tsv cannot: write csv or "
                    "jsonl."
                )
            self._write(stream, fields)
        return stream.getvalue().encode("utf-8", "replace")

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """Join parts to the whole file; see `Format`."""
        if self.suffix == ".parquet":
            self._merge_parquet(parts, staged)
            return
        with open_bytes(staged, gzipped=self.gzipped) as file:
            file.write(self.start())
            copy_all(parts, file)

    def _record(self, row: LabelledRow) -> dict[str, Any]:
        """Old and new values by column."""
        return {**row.record, **{name: row.added.get(key) for key, name in self.names.items()}}

    def _write(self, stream: TextIO, fields: Sequence[str]) -> None:
        delimiter = "\t" if self.suffix == ".tsv" else ","
        # Python's writer quotes only the line ends that it writes itself, readers see others too.
        quoted = any("\r" in text for text in fields)
        csv.writer(
            stream,
            delimiter=delimiter,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        ).writerow(fields)

    def _parquet(self, rows: Sequence[LabelledRow]) -> bytes:
        import pyarrow
        from datasets import Dataset, Features

        old = {name: [_storable(row.record.get(name)) for row in rows] for name in self.columns}
        new = {name: [row.added.get(key) for row in rows] for key, name in self.names.items()}
        stream = io.BytesIO()
        try:
            known = self.features or (Dataset.from_dict(old).features if old else {})
            types = {name: known[name] for name in self.columns}
            types |= {name: _feature(self.types[key]) for key, name in self.names.items()}
            Dataset.from_dict({**old, **new}, Features(types)).to_parquet(stream)
        except (pyarrow.ArrowException, TypeError, OverflowError) as error:
            raise _mixed_types(error) from error
        return stream.getvalue()

    def _merge_parquet(self, parts: list[Path], staged: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        schemas = [parquet.read_schema(part) for part in parts]
        if not schemas:
            schemas = [
                pyarrow.schema(
                    [(name, pyarrow.string()) for name in (*self.columns, *self.names.values())]
                )
            ]
        try:
            schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
        except pyarrow.ArrowException as error:
            raise _mixed_types(error) from error
        metadata = schemas[0].metadata if self.features is not None else None
        with parquet.ParquetWriter(staged, schema.with_metadata(metadata)) as writer:
            for part in parts:
                table = parquet.read_table(part)
                try:
                    table = table.cast(writer.schema)
                except pyarrow.ArrowException as error:
                    raise _mixed_types(error) from error
                writer.write_table(table)


def open_bytes(path: Path, *, gzipped: bool) -> BinaryIO | gzip.GzipFile:
    """Open `path` for writing; gzip'd without the time, so that equal content is equal bytes."""
    return gzip.GzipFile(path, "wb", mtime=0) if gzipped else path.open("wb")


def _feature(kind: Any) -> Any:
    """The `datasets` type of an added column."""
    from datasets import List, Value

    if isinstance(kind, list):
        return List(_feature(kind[0]))
    if isinstance(kind, dict):
        return {name: _feature(inner) for name, inner in kind.items()}
    return Value(kind)


def _mixed_types(error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return DataError(
        f"a column holds values of several types, which parquet cannot ({reason}): write jsonl."
    )


def _json_line(record: Mapping[str, Any]) -> bytes:
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
