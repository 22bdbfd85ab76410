"""csv, tsv and xlsx.

The reader of csv is the standard library's, which reports where a file is broken. A tsv holds one
row a line without quoting, as its specification has it; a field that is quoted as a whole is
unwrapped. An xlsx is read with openpyxl as the csv that could be saved of it.
"""

import contextlib
import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from nlp_adapt.data.reading.lines import (
    MAX_LINE_BYTES,
    most_unpacked,
    open_to_seek,
    read_lines,
    refuse_bomb,
)
from nlp_adapt.data.reading.rows import Fault, Format, Row
from nlp_adapt.errors import DataError
from nlp_adapt.names import counted

Fields = Iterator[tuple[int, list[str]]]


class Delimited(Format):
    """Rows of fields, the first of which names the columns."""

    untyped = True
    _advice = "put quotation marks around a text that holds the separator."

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row below the header; those with too many or too few fields have a fault."""
        faults: list[Fault] = []
        numbered = self._fields(path, faults)
        header = _header(path, numbered, faults)
        name = path.name
        for number, fields in numbered:
            if len(fields) != len(header) and not faults:
                reason = (
                    f"has {counted(len(fields), 'field')} where the header names {len(header)}: "
                    f"{self._advice}"
                )
                faults.append(Fault(number, reason))
            place = f"{name}:{number}"
            if faults:
                yield Row(place, None, tuple(faults), fields)
                faults.clear()
            else:
                yield Row(place, dict(zip(header, fields, strict=True)))

    def columns(self, path: Path) -> list[str]:
        """The header."""
        faults: list[Fault] = []
        return _header(path, self._fields(path, faults), faults)

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        """Number and fields of each row that is not empty; `faults` takes those of its lines."""
        raise NotImplementedError


def _header(path: Path, numbered: Fields, faults: list[Fault]) -> list[str]:
    first = next(numbered, None)
    if first is None:
        raise DataError(f"{path} is empty.")
    if faults:
        raise DataError(f"{path}:{faults[0].line} {faults[0].reason}")
    header = [_unquoted(name).strip() for name in first[1]]
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1 names a column twice: {', '.join(header)}.")
    return header


class Csv(Delimited):
    """Fields between commas, or semicolons or tabs where the first line has no comma.

    Spreadsheets in much of Europe write semicolons.
    """

    endings = (".csv",)

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        csv.field_size_limit(MAX_LINE_BYTES)
        lines = _texts(path, self.encoding, faults)
        first = next(lines, "")
        delimiter = next((mark for mark in ",;\t" if mark in first), ",")
        reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
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


class Tsv(Delimited):
    """Fields between tabs."""

    endings = (".tsv",)

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        for number, line in enumerate(_texts(path, self.encoding, faults), start=1):
            if line != "\n":
                yield number, [_unquoted(field) for field in line[:-1].split("\t")]


class Xlsx(Delimited):
    """Cells of the one sheet of a workbook that is not empty."""

    endings = (".xlsx",)
    _advice = "name each column in the first row."

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        width = 0
        with _plain_errors(path), _workbook(path) as book:
            sheets = [sheet for sheet in book.worksheets if next(_filled(sheet), None)]
            if len(sheets) > 1:
                names = ", ".join(sheet.title for sheet in sheets)
                raise DataError(f"{path} has several sheets ({names}): save each as a file.")
            for number, fields in (row for sheet in sheets for row in _filled(sheet)):
                width = width or len(fields)
                yield number, fields + [""] * (width - len(fields))


def _filled(sheet: Any) -> Fields:
    """Number and texts of each row that is not empty, up to the last cell that holds something."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        fields = [_cell(value) for value in cells]
        while fields and not fields[-1]:
            fields.pop()
        if fields:
            yield number, fields


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


@contextlib.contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path} is read with openpyxl: pip install 'nlp-adapt[xlsx]', or save it as csv."
        ) from None
    with open_to_seek(path) as file:
        if sum(part.file_size for part in ZipFile(file).infolist()) > most_unpacked(path):
            refuse_bomb(path, most_unpacked(path))
        yield openpyxl.load_workbook(file, read_only=True, data_only=True)


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, FileNotFoundError, GeneratorExit):
        raise
    except Exception as error:  # openpyxl and the parsers below it have errors that share no class
        raise DataError(f"{path} is not a readable xlsx file ({error}).") from None


def _texts(path: Path, encoding: str, faults: list[Fault]) -> Iterator[str]:
    for number, line, fault in read_lines(path, encoding):
        if fault is not None:
            faults.append(Fault(number, fault))
        yield line + "\n"


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] + field[-1] != '""' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')
