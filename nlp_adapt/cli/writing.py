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
from typing import Any, TextIO

from nlp_adapt.cli.parts import copy_all
from nlp_adapt.errors import DataError, RunError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
Record = Mapping[str, Any]


def check_output(out: Path, source: Path | None) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises:
        RunError: The folder is missing or closed, or it is the input.
    """
    if source is not None and out.exists() and source.exists() and out.samefile(source):
        raise RunError(f"--out {out}: is the input file; choose another name.")
    if out.is_dir():
        raise RunError(f"--out {out}: is a folder; name a file.")
    if not out.parent.is_dir():
        raise RunError(f"--out {out}: the folder {out.parent} does not exist; make it first.")
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"--out {out}: the folder {out.parent} cannot be written.")


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


def open_text(path: Path, name: Path) -> TextIO:
    """Open `path` for writing UTF-8 text, gzip'd where `name` ends in .gz."""
    if name.name.lower().endswith(".gz"):
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


@dataclass(frozen=True)
class RowFormat:
    """How rows are written.

    Attributes:
        suffix: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
        columns: The columns in order: the input's, then the new ones.
        numbers: Which of them are numbers that this program adds.
        texts: Which of them are texts that this program adds.
        gzipped: Whether the whole is gzip'd.
        features: The `datasets` types of the input's columns, where it has types.
    """

    suffix: str
    columns: Sequence[str]
    numbers: Sequence[str] = ()
    texts: Sequence[str] = ()
    gzipped: bool = False
    features: Mapping[str, Any] | None = None

    def encode(self, records: Sequence[Record], rows: Sequence[str]) -> bytes:
        """Some rows as a part of the output.

        Args:
            records: The values of each row by column.
            rows: Where each row stood, for messages.

        Raises:
            DataError: A value does not fit the format.
        """
        if self.suffix == ".jsonl":
            return b"".join(map(_json_line, records))
        if self.suffix == ".parquet":
            return self._parquet(records)
        stream = io.StringIO(newline="")
        writer = self._writer(stream)
        for record, row in zip(records, rows, strict=True):
            fields = [_field(record.get(name)) for name in self.columns]
            if self.suffix == ".tsv" and any(m in field for field in fields for m in "\t\n\r"):
                raise DataError(
                    f"{row} holds a tab or a line break, which tsv cannot: write csv or jsonl."
                )
            writer.writerow(fields)
        return stream.getvalue().encode("utf-8", "replace")

    def merge(self, parts: list[Path], staged: Path) -> None:
        """Join parts to the whole file."""
        if self.suffix == ".parquet":
            self._merge_parquet(parts, staged)
            return
        with gzip.open(staged, "wb") if self.gzipped else staged.open("wb") as file:
            if self.suffix != ".jsonl":
                header = io.StringIO(newline="")
                self._writer(header).writerow(self.columns)
                file.write(header.getvalue().encode("utf-8", "replace"))
            copy_all(parts, file)

    def _writer(self, stream: TextIO) -> Any:
        delimiter = "\t" if self.suffix == ".tsv" else ","
        return csv.writer(stream, delimiter=delimiter, lineterminator="\n")

    def _parquet(self, records: Sequence[Record]) -> bytes:
        from datasets import Dataset, Features, Value

        features = None
        if self.features is not None:
            types = dict(self.features)
            types |= {name: Value("float64") for name in self.numbers}
            types |= {name: Value("string") for name in self.texts}
            features = Features({name: types[name] for name in self.columns})
        data = {name: [record.get(name) for record in records] for name in self.columns}
        stream = io.BytesIO()
        Dataset.from_dict(data, features).to_parquet(stream)
        return stream.getvalue()

    def _merge_parquet(self, parts: list[Path], staged: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        schemas = [parquet.read_schema(part) for part in parts]
        if not schemas:
            schemas = [pyarrow.schema([(name, pyarrow.string()) for name in self.columns])]
        try:
            schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise DataError(
                f"a column holds values of several types, which parquet cannot ({reason}): "
                "write jsonl."
            ) from error
        metadata = schemas[0].metadata if self.features is not None else None
        with parquet.ParquetWriter(staged, schema.with_metadata(metadata)) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part).cast(writer.schema))


def _json_line(record: Record) -> bytes:
    try:
        return (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can keep
        return (json.dumps(record, default=str) + "\n").encode()


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
