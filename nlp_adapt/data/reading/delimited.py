"""csv, tsv and xlsx.

The reader of csv is the standard library's, which reports where a file is broken. A tsv holds one
row a line without quoting, as its specification has it; a field that is quoted as a whole is
unwrapped. An xlsx is read with openpyxl as the csv that could be saved of it.
"""

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
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

_NAMED_MARK = re.compile(r"sep=(.)\s*", re.IGNORECASE)
FIRST_LINES = 20
_LATE_QUOTE = re.compile(r'\s+".*"\s*', re.DOTALL)
_NAME_COLUMNS = "the first line must name the columns, between the marks that part the fields."
_AFTER_SPACE = "has a space before a quotation mark, which then marks nothing: take the space out."
_STRAY_QUOTE = (
    "opens a quotation mark that ends on line {last} alone, and the lines between look like rows: "
    "take the mark out, or double it within quotation marks."
)


class Delimited(Format):
    """Rows of fields, the first of which names the columns."""

    untyped = True
    _advice = "put quotation marks around a text that holds the separator."
    _advice_of_one_column = _NAME_COLUMNS

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row below the header; those with too many or too few fields have a fault."""
        faults: list[Fault] = []
        numbered = self._fields(path, faults)
        header = _header(path, numbered, faults)
        name = path.name
        for number, fields in numbered:
            if not faults and (reason := self._misfit(fields, header)):
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

    def _misfit(self, fields: Sequence[str], header: Sequence[str]) -> str:
        """Why a row does not fit the header; empty where it does."""
        if len(fields) == len(header):
            return ""
        advice = self._advice if len(header) > 1 else self._advice_of_one_column
        fields_are = counted(len(fields), "field")
        return f"has {fields_are} where the header names {len(header)}: {advice}"


def _header(path: Path, numbered: Fields, faults: list[Fault]) -> list[str]:
    first = next(numbered, None)
    if first is None:
        raise DataError(f"{path} is empty.")
    if faults:
        raise DataError(f"{path}:{faults[0].line} {faults[0].reason}")
    header = [_unquoted(name).strip() for name in first[1]]
    if header.count("") > 1:
        unnamed = counted(header.count(""), "column")
        raise DataError(f"{path}:1 has {unnamed} without a name: name them, or take them out.")
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1 names a column twice: {', '.join(header)}.")
    return header


class Csv(Delimited):
    """Fields between commas, semicolons, tabs or bars, whichever the first lines have alike.

    Spreadsheets in much of Europe write semicolons; Excel's first line `sep=;` names the mark.
    """

    endings = (".csv",)

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        csv.field_size_limit(MAX_LINE_BYTES)
        first = [line for _, line, _ in islice(read_lines(path, self.encoding), FIRST_LINES)]
        named = _NAMED_MARK.fullmatch(first[0]) if first else None
        before = 1 if named else 0
        mark = named[1] if named else _mark_of(first)
        taken: list[str] = []  # lines of the row that is being read
        lines = _noted(islice(_texts(path, self.encoding, faults), before, None), taken)
        reader = csv.reader(lines, delimiter=mark, strict=True)
        start, width = 1 + before, 0
        try:
            for fields in reader:
                if fields:
                    width = width or len(fields)
                    if len(taken) > 2 and _are_rows(taken, mark, width):
                        last = start + len(taken) - 1
                        faults.append(Fault(start, _STRAY_QUOTE.format(last=last)))
                    yield start, fields
                taken.clear()
                start = reader.line_num + 1 + before
        except csv.Error as error:
            reason = f"is not valid csv ({error}): check its quotation marks."
            if "new-line character" in str(error):
                reason = "holds a carriage return: put the text that has it in quotation marks."
            raise DataError(f"{path}:{start} {reason}") from None

    def _misfit(self, fields: Sequence[str], header: Sequence[str]) -> str:
        late = any(_LATE_QUOTE.fullmatch(field) for field in fields)
        return _AFTER_SPACE if late else super()._misfit(fields, header)


def _mark_of(lines: Sequence[str]) -> str:
    """What parts the fields of the header, and as many in most of the lines below it."""
    found = [mark for mark in ",;\t|" if lines and mark in lines[0]]

    def alike(mark: str) -> int:
        try:
            fields = [len(next(csv.reader([line], delimiter=mark), ())) for line in lines]
        except csv.Error:  # of a carriage return; the reader of the rows says where
            return 0
        return fields.count(fields[0])

    return max(found, key=alike) if len(found) > 1 else next(iter(found), ",")


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _are_rows(lines: Sequence[str], mark: str, width: int) -> bool:
    """Whether the lines of one quoted text look like rows of their own, all but the last.

    In prose a space follows a comma, and not every line has as many.
    """
    if width < 2:
        return False
    rows = [line.rstrip("\n").split(mark) for line in lines[:-1]]
    return all(
        len(row) == width and all(field and not field[0].isspace() for field in row[1:])
        for row in rows
    )


class Tsv(Delimited):
    """Fields between tabs."""

    endings = (".tsv",)
    _advice = "each line is a row, whatever is in quotation marks: take tabs and line breaks out of the texts, or save the file as csv."

    def _fields(self, path: Path, faults: list[Fault]) -> Fields:
        for number, line in enumerate(_texts(path, self.encoding, faults), start=1):
            if line != "\n":
                yield number, [_unquoted(field) for field in line[:-1].split("\t")]


class Xlsx(Delimited):
    """Cells of the one sheet of a workbook that is not empty."""

    endings = (".xlsx",)
    _advice = _advice_of_one_column = "name each column in the first row."

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
