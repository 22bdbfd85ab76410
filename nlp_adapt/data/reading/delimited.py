"""Rows of csv and tsv files, one at a time; broken ones come with the reason."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from nlp_adapt.data.reading.files import MAX_LINE_BYTES, read_lines
from nlp_adapt.data.reading.quarantine import BadLines, CollectedLines
from nlp_adapt.errors import DataError

Fields = tuple[int, list[str]]
# Line, values by column, what is wrong with the row or None, its fields.
RawRow = tuple[int, dict[str, str], str | None, list[str]]


def delimited_header(path: Path, suffix: str) -> list[str]:
    """The names of the columns.

    Raises:
        DataError: The file is empty, or its first line is broken or names a column twice.
    """
    bad = CollectedLines(path)
    first = next(_fields(path, suffix, bad), None)
    if first is None:
        raise DataError(f"{path} is empty.")
    bad.refuse(next(iter(bad.reasons), 0))
    header = [_unquoted(name).strip() for name in first[1]]
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1 names a column twice: {', '.join(header)}.")
    return header


def delimited_rows(path: Path, suffix: str) -> Iterator[RawRow]:
    """Every row below the header.

    Raises:
        DataError: The header cannot be used, or a quotation mark is never closed.
    """
    header = delimited_header(path, suffix)
    bad = CollectedLines(path)
    numbered = _fields(path, suffix, bad)
    next(numbered)
    for number, fields in numbered:
        if len(fields) != len(header):
            bad.add(
                number,
                f"it has {len(fields)} fields where the header names {len(header)}: put "
                "quotation marks around a text that holds the separator.",
            )
        yield number, dict(zip(header, fields, strict=False)), bad.take(), fields


def _fields(path: Path, suffix: str, bad: BadLines) -> Iterator[Fields]:
    return _tsv_fields(path, bad) if suffix == ".tsv" else _csv_fields(path, bad)


def _csv_fields(path: Path, bad: BadLines) -> Iterator[Fields]:
    csv.field_size_limit(MAX_LINE_BYTES)
    first = next((line for _, line in read_lines(path, CollectedLines(path))), "")
    delimiter = ";" if "," not in first and ";" in first else ","
    lines = (line + "\n" for _, line in read_lines(path, bad))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{start} is not valid csv ({error}): check its quotation marks."
        ) from None


def _tsv_fields(path: Path, bad: BadLines) -> Iterator[Fields]:
    for number, line in read_lines(path, bad):
        if line:
            yield number, [_unquoted(field) for field in line.split("\t")]


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] + field[-1] != '""' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')
