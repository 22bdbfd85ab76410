"""jsonl, and a JSON array of rows, which may stand in an object under `data`."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.annotations import is_pair, unfold, unfold_all
from nlp_adapt.data.reading.lines import Line, filled, line_row, read_lines, read_whole
from nlp_adapt.data.reading.rows import Format, Row, as_records
from nlp_adapt.errors import DataError

# Where a file that is one object keeps its rows.
_UNDER = ("data", "rows", "records", "examples")
_NO_OBJECT = 'is not a JSON object such as {"text": "..."}.'
_ONE_OBJECT = (
    "is one JSON object: write a row a line, or all of them as an array [...] (from pandas, with "
    "to_json(orient='records', lines=True))."
)


class Jsonl(Format):
    """An object a line, or one array of objects or texts, which is read whole.

    The array may stand in an object, such as `{"version": 1, "data": [...]}`.
    """

    endings = (".jsonl", ".json")

    def rows(self, path: Path) -> Iterator[Row]:
        """A row for each object."""
        lines = filled(read_lines(path, self.encoding))
        first = next(lines, None)
        if first is None:
            return iter(())
        opening = first[1].strip()
        found = _loaded(opening)
        if opening.startswith("[") and not is_pair(found):
            return _array_rows(path, self.encoding)
        unfinished = opening.startswith("{") and opening[-1] in "{[,"
        unfinished = unfinished and not opening.endswith("},")  # a row with a mark too many
        if unfinished or _rows_within(found) is not None:
            return _array_rows(path, self.encoding)
        second = next(lines, None)
        if second is None and _holds_columns(found):
            raise DataError(f"{path} {_ONE_OBJECT}")
        lines = lines if second is None else chain([second], lines)
        file = path.name
        return (_row(file, line) for line in chain([first], lines))


def _row(file: str, line: Line) -> Row:
    try:
        record = unfold(json.loads(line[1]))
    except (ValueError, RecursionError) as error:
        return line_row(file, line, None, _complaint(error))
    except DataError as error:
        return line_row(file, line, None, str(error))
    is_object = isinstance(record, dict)
    return line_row(file, line, record, None if is_object else _NO_OBJECT)


def _rows_within(found: Any) -> list[Any] | None:
    """The rows that an object keeps under a name for rows; None where it is a row itself."""
    for name in _UNDER if isinstance(found, dict) else ():
        rows = found.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return rows
    pairs = found.get("annotations") if isinstance(found, dict) else None
    return pairs if isinstance(pairs, list) and pairs and all(map(is_pair, pairs)) else None


def _holds_columns(found: Any) -> bool:
    """Whether an object holds columns or splits of a table, and not the values of a row.

    pandas writes `{"text": {"0": "..."}, ...}` and `{"columns": [...], "data": [[...]]}`.
    """
    if not isinstance(found, dict) or not found:
        return False
    values = [*found.values()]
    by_index = all(isinstance(one, dict) and one and all(map(str.isdigit, one)) for one in values)
    rows = all(isinstance(one, list) and one and isinstance(one[0], dict) for one in values)
    return by_index or rows or {"columns", "data"} <= {*found}


def _loaded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _array_rows(path: Path, encoding: str) -> Iterator[Row]:
    try:
        items = json.loads(read_whole(path, encoding))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} {_complaint(error)}") from None
    if isinstance(items, dict):
        if (rows := _rows_within(items)) is None:
            raise DataError(f"{path} {_ONE_OBJECT}")
        items = rows
    if not items:
        raise DataError(f"{path} holds no rows.")
    places = [f"{path.name}:{number}" for number in range(1, len(items) + 1)]
    return map(Row, places, as_records(unfold_all(items, places), places))


def _complaint(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply."
    return f"is not valid JSON ({error})."
