"""Rows that know where they come from, what their cells hold, tables, and a format's contract."""

import ast
import json
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from nlp_adapt.errors import DataError

_ITEM = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?\d+""")
_NO_ITEM = re.compile(r"[\s,]*")


class Fault(NamedTuple):
    """Why the line of this number cannot be read, said of the line: "is not UTF-8"."""

    line: int
    reason: str


class Row(NamedTuple):
    """A row and where it stands.

    Attributes:
        place: "file:line" for text, "file:number" for other formats; a row of several lines has
            the number of its first.
        record: Its values by column; None where it cannot be read, for its faults.
        content: What could be read of it all the same.
    """

    place: str
    record: Mapping[str, Any] | None
    faults: Sequence[Fault] = ()
    content: Any = None

    @property
    def file(self) -> str:
        """The file's name."""
        return self.place.rpartition(":")[0]

    @property
    def reason(self) -> str:
        """The first fault as a sentence that begins with "it", or names another line of the row."""
        line, reason = self.faults[0]
        return f"{'it' if self.place == f'{self.file}:{line}' else f'line {line}'} {reason}"


@dataclass(frozen=True)
class Table:
    """Columns as they were found, before text and labels are recognised.

    Attributes:
        rows: Where each row stands, as "file:line" or "name/split:index".
        origin: What to call the table in a message.
        features: The `datasets` type of each column, where the table was a Dataset.
        line_per_token: True for CoNLL files, where the tokens of a row stand on successive lines.
        untyped: True for csv and tsv, where nothing tells a missing value from a word for one.
        notes: What the reader left out, in plain sentences.
        name: What notes call it, where its rows do not say.
    """

    columns: Mapping[str, Sequence[Any]]
    rows: Sequence[str]
    origin: str
    features: Mapping[str, Any] | None = None
    line_per_token: bool = False
    notes: tuple[str, ...] = ()
    untyped: bool = False
    name: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def short_name(self) -> str:
        """The file's name, or the dataset's name and split: what a note calls the table."""
        return self.name or (self.rows[0].rpartition(":")[0] if self.rows else self.origin)

    def locate(self, index: int, token: int | None = None) -> str:
        """Say where row `index` (or its token number `token`) stands."""
        row = self.rows[index]
        if token is None:
            return row
        if self.line_per_token:
            file, _, line = row.rpartition(":")
            return f"{file}:{int(line) + token}"
        return f"{row} (token {token + 1})"

    def narrow(self, names: Sequence[str], max_rows: int | None = None, seed: int = 0) -> "Table":
        """Some of the columns, as lists, and at most `max_rows` rows drawn without replacement."""
        kept: Sequence[int] = range(len(self))
        if max_rows is not None and max_rows < len(self):
            kept = sorted(random.Random(seed).sample(kept, max_rows))
        columns = {}
        for name in names:
            column = list(self.columns[name])
            columns[name] = [column[i] for i in kept]
        return replace(self, columns=columns, rows=[self.rows[i] for i in kept])


def table_of(
    rows: Iterable[Row],
    origin: str,
    columns: Sequence[str] = (),
    *,
    line_per_token: bool = False,
    name: str = "",
) -> Table:
    """Readable rows as a table: these columns, and every other that one of the rows has."""
    values: dict[str, list[Any]] = {key: [] for key in columns}
    places: list[str] = []
    for row in rows:
        for key, value in (row.record or {}).items():
            column = values.setdefault(key, [])
            column.extend([None] * (len(places) - len(column)))  # rows that lack the key
            column.append(value)
        places.append(row.place)
    for column in values.values():
        column.extend([None] * (len(places) - len(column)))
    return Table(values, places, origin, line_per_token=line_per_token, name=name)


def table_from_dataset(dataset: Any, origin: str, file: str | None = None) -> Table:
    """A `datasets.Dataset` as a table; of a file, its rows are called "file:1" and so on.

    Raises:
        DataError: If its rows come from a transform, of which the columns know nothing.
    """
    if dataset.format["type"] == "custom":
        raise DataError(
            f"{origin} has a transform (set_transform): apply it with map, or take it off with "
            "reset_format, so that it is plain what is read."
        )
    dataset = dataset.with_format(None)
    name, first = (origin, 0) if file is None else (file, 1)
    places = [f"{name}:{i}" for i in range(first, first + len(dataset))]
    columns = {name: dataset[name] for name in dataset.column_names}
    return Table(columns, places, origin, dataset.features)


def is_column(data: Any) -> bool:
    """Whether it is one value a row: a Series, an array of one dimension, a column of a Dataset."""
    return getattr(data, "ndim", None) == 1 or hasattr(data, "column_name")


def items_of(rows: Any) -> list[Any]:
    """The items of a list; of a column its texts, empty where one is missing."""
    return ["" if is_missing(item) else item for item in rows] if is_column(rows) else list(rows)


def table_of_items(items: Sequence[Any]) -> Table:
    """Objects or texts that stand in no file as a table.

    Raises:
        DataError: The items are something else, or a mixture.
    """
    places = [f"rows:{i}" for i in range(len(items))]
    return table_of(map(Row, places, as_records(items, places)), "the list of rows")


def as_records(items: Any, rows: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Objects as they are, and texts as the column `text`."""
    if all(isinstance(item, Mapping) for item in items):
        return items
    if all(isinstance(item, str) for item in items):
        return [{"text": item} for item in items]
    kind = Mapping if isinstance(items[0], Mapping) else str
    odd = next(i for i, item in enumerate(items) if not isinstance(item, kind))
    raise DataError(
        f"{rows[odd]} holds {_kind(items[odd])}: "
        "give a list of objects with named fields, or a list of texts, not a mixture."
    )


class Format:
    """How files of some endings hold rows; see `formats` for those there are.

    Attributes:
        endings: The endings of their names, all lower case; the first is the one to write.
        line_per_token: Whether the tokens of a row stand on successive lines.
        untyped: Whether every cell is text.
        encoding: Of the text in them; a file that has another is read by a copy that says so.
    """

    endings: tuple[str, ...]
    line_per_token = False
    untyped = False
    encoding = "utf-8"

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row in order, read as it is asked for. Rows that cannot be read say why."""
        raise NotImplementedError

    def columns(self, path: Path) -> list[str]:
        """The names of the columns in order; by default the file is read once for them."""
        names: dict[str, None] = {}
        for row in self.rows(path):
            names.update(dict.fromkeys(row.record or ()))
        return list(names)

    def features(self, path: Path) -> Mapping[str, Any] | None:
        """The `datasets` type of each column, where the file says it."""
        return None

    def table(self, path: Path) -> Table | None:
        """The whole file, where it is held more compactly than as rows."""
        return None


class UnusableCellError(Exception):
    """A cell that holds something else than text; `reason`, without advice, says what."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason + advice)
        self.reason = reason


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def read_text(value: Any) -> str:
    """The text of a cell, empty where it holds nothing; `UnusableCellError` for anything else."""
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise UnusableCellError(
            f"holds {_kind(value)} where text is expected",
            ": name another column with text_column.",
        )
    return encodable(value)


def read_tokens(value: Any) -> list[str]:
    """The words of a cell that holds a list, or the text of one; `UnusableCellError` for others."""
    value = listed(value)
    if is_missing(value) or value == "":
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UnusableCellError(
            'does not hold a list of tokens (strings), such as ["two", "words"]',
            ": name the column of tokens, or of plain text, with text_column.",
        )
    return [encodable(word) for word in value]


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, or the NaN or NA that data frames put in its place."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return type(value).__name__ in ("NAType", "NaTType")  # of pandas, which is not imported for it


def has_text(text: str | list[str]) -> bool:
    """Whether there is more than white space in a text, or in one of its words."""
    return bool(text.strip()) if isinstance(text, str) else any(word.strip() for word in text)


def encodable(text: str) -> str:
    """JSON may escape half a surrogate pair, which no UTF-8 can hold: U+FFFD takes its place."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def listed(value: Any) -> Any:
    """A list that a cell holds as text, as JSON, Python or numpy write it; else the value itself."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    inner = value.strip()
    try:
        return json.loads(inner)
    except (ValueError, RecursionError):
        pass
    try:
        # Python would join 'a' 'b', which numpy writes for two items.
        if inner.endswith("]") and _NO_ITEM.fullmatch(_ITEM.sub(" ", inner[1:-1])):
            return [ast.literal_eval(item) for item in _ITEM.findall(inner)]
        found = ast.literal_eval(inner)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value
    return found if isinstance(found, list) else value


def one_label(value: Any) -> Any:
    """The class in a list of one, as doccano and Label Studio write it; None for an empty list."""
    value = listed(value)
    if not isinstance(value, list) or len(value) > 1:
        return value
    return value[0] if value and not isinstance(value[0], (list, dict)) else value or None
