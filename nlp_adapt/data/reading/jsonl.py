"""jsonl, and a JSON array of rows."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from nlp_adapt.data.reading.lines import Line, filled, line_row, open_bytes, read_lines
from nlp_adapt.data.reading.rows import Format, Row, as_records
from nlp_adapt.errors import DataError

_NO_OBJECT = 'is not a JSON object such as {"text": "..."}.'


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
    try:
        record = json.loads(line[1])
    except (ValueError, RecursionError) as error:
        return line_row(file, line, None, _complaint(error))
    is_object = isinstance(record, dict)
    return line_row(file, line, record, None if is_object else _NO_OBJECT)


def _array_rows(path: Path) -> Iterator[Row]:
    try:
        with open_bytes(path) as stream:
            items = json.loads(stream.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} {_complaint(error)}") from None
    if not items:
        raise DataError(f"{path} holds no rows.")
    places = [f"{path.name}:{number}" for number in range(1, len(items) + 1)]
    return map(Row, places, as_records(items, places))


def _complaint(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply."
    return f"is not valid JSON ({error})."
