"""Writing a table with new columns, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from nlp_adapt.data.files import data_suffix
from nlp_adapt.data.tables import Table
from nlp_adapt.errors import DataError, RunError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


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


def write_table(out: Path, table: Table, added: Mapping[str, list[Any]]) -> None:
    """Write the table's columns and then the `added` ones; the file appears when it is complete.

    Raises:
        DataError: A value does not fit the format.
        RunError: The file cannot be written.
    """
    columns = {**table.columns, **added}
    suffix = data_suffix(out)
    with staged_output(out) as staged:
        if suffix == ".parquet":
            _write_parquet(staged, table, columns)
            return
        with open_text(staged, out) as stream:
            if suffix == ".jsonl":
                _write_jsonl(stream, columns)
            else:
                _write_separated(stream, table, columns, tabs=suffix == ".tsv")


def _write_jsonl(stream: TextIO, columns: Mapping[str, Any]) -> None:
    for row in _rows(columns):
        record = dict(zip(columns, row, strict=True))
        stream.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")


def _write_separated(
    stream: TextIO, table: Table, columns: Mapping[str, Any], *, tabs: bool
) -> None:
    writer = csv.writer(stream, delimiter="\t" if tabs else ",", lineterminator="\n")
    writer.writerow(columns)
    for index, row in enumerate(_rows(columns)):
        fields = [_field(value) for value in row]
        if tabs and any(mark in field for field in fields for mark in "\t\n\r"):
            raise DataError(
                f"{table.locate(index)} holds a tab or a line break, which tsv cannot: "
                "write csv or jsonl."
            )
        writer.writerow(fields)


def _write_parquet(path: Path, table: Table, columns: Mapping[str, Any]) -> None:
    from datasets import Dataset, Features, Value

    features = None
    if table.features is not None:
        features = Features({name: table.features[name] for name in table.columns})
        for name in columns.keys() - table.columns.keys():
            features[name] = Value("float64" if name.endswith("score") else "string")
        features = Features({name: features[name] for name in columns})
    data = {name: list(values) for name, values in columns.items()}
    Dataset.from_dict(data, features).to_parquet(path)


def _rows(columns: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*columns.values(), strict=True)


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
