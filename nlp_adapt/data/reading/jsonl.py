"""jsonl, and a JSON array of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.lines import Line, filled, line_row, open_bytes, read_lines
from nlp_adapt.data.reading.rows import Format, Row
from nlp_adapt.data.reading.tables import as_records
from nlp_adapt.errors import DataError


class Jsonl(Format):
    """An object a line, or one array of objects or texts, which is read whole."""

    endings = (".jsonl", ".json")

    def rows(self, path: Path) -> Iterator[Row]:
        """A row for each object."""
        lines = filled(read_lines(path))
        first = next(lines, None)
        if first is None:
            return iter(())
        if first[1].lstrip().startswith("["):
            return _array_rows(path)
        file = path.name
        return (_row(file, line) for line in chain([first], lines))


def _row(file: str, line: Line) -> Row:
    record = reason = None
    try:
        record = _parsed(line[1])
    except ValueError as error:
        reason = str(error)
    if not isinstance(record, dict):
        reason = reason or 'is not a JSON object such as {"text": "..."}.'
    return line_row(file, line, record, reason)


def _array_rows(path: Path) -> Iterator[Row]:
    try:
        with open_bytes(path) as stream:
            items = _parsed(stream.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save the file as UTF-8.") from None
    except ValueError as error:
        raise DataError(f"{path} {error}") from None
    if not items:
        raise DataError(f"{path} holds no rows.")
    places = [f"{path.name}:{number}" for number in range(1, len(items) + 1)]
    return map(Row, places, as_records(items, places))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON ({error}).") from None
    except RecursionError:
        raise ValueError("is nested too deeply.") from None
