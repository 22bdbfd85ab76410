"""What a file of rows is made of, and what there is to know of a format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_adapt.data.reading.tables import Table


class Fault(NamedTuple):
    """Why a line cannot be read.

    Attributes:
        line: Its number.
        reason: What is wrong with it, said of the line: "is not UTF-8".
    """

    line: int
    reason: str


class Row(NamedTuple):
    """A row and where it stands.

    Attributes:
        place: "file:line" for text, "file:number" for other formats; a row of several lines has
            the number of its first.
        record: Its values by column; None where it cannot be read.
        faults: Why not.
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
        fault = self.faults[0]
        return f"{'it' if self.place == f'{self.file}:{fault.line}' else f'line {fault.line}'} {fault.reason}"


def table_of(
    rows: Iterable[Row], origin: str, columns: Sequence[str] = (), *, line_per_token: bool = False
) -> Table:
    """Readable rows as a table: these columns, and every other that one of the rows has."""
    values: dict[str, list[Any]] = {name: [] for name in columns}
    places: list[str] = []
    for row in rows:
        for name, value in (row.record or {}).items():
            column = values.setdefault(name, [])
            column.extend([None] * (len(places) - len(column)))  # rows that lack the key
            column.append(value)
        places.append(row.place)
    for column in values.values():
        column.extend([None] * (len(places) - len(column)))
    return Table(values, places, origin, line_per_token=line_per_token)


class Format:
    """How files of some endings hold rows; see `formats` for those there are.

    Attributes:
        endings: The endings of their names, all lower case; the first is the one to write.
        line_per_token: Whether the tokens of a row stand on successive lines.
    """

    endings: tuple[str, ...]
    line_per_token = False

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row in order, read as it is asked for. Rows that cannot be read say why.

        Raises:
            DataError: The file cannot be read on, such as for an open quotation mark.
        """
        raise NotImplementedError

    def columns(self, path: Path) -> list[str]:
        """The names of the columns in order; by default the file is read once for them.

        Raises:
            DataError: The file is empty, or broken where its columns are named.
        """
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
