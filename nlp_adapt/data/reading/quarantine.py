"""Lines of a file that cannot be read: refused, or set aside up to a limit."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

from nlp_adapt.data.reading.tables import Table
from nlp_adapt.errors import DataError

SHOWN = 5


class BadLines:
    """The unreadable lines of one file.

    A reader reports each one and goes on with a stand-in; afterwards `drop_rows` leaves out the
    rows that such lines are part of, so that no row is ever repaired by guessing.

    Args:
        path: The file, for messages.
        limit: How many may be set aside; 0 refuses the first.
    """

    def __init__(self, path: Path, limit: int = 0) -> None:
        self.path = path
        self.limit = limit
        self.reasons: dict[int, str] = {}

    def add(self, number: int, reason: str) -> None:
        """Report line `number`.

        Raises:
            DataError: Nothing is set aside, or this is one line too many.
        """
        if not self.limit:
            raise DataError(reason)
        self.reasons.setdefault(number, reason)
        if len(self.reasons) > self.limit:
            raise DataError(
                f"{self.path} has more unreadable lines than quarantine allows ({self.limit:,}); "
                f"the first: {next(iter(self.reasons.values()))}"
            )

    def refuse(self, number: int) -> None:
        """Raise if line `number`, which cannot be done without, is a bad one."""
        if number in self.reasons:
            raise DataError(self.reasons[number])

    def drop_rows(self, table: Table) -> Table:
        """The table without the rows that bad lines are part of, and with a note that says so.

        A row owns the lines from its first one to the next row's first one.
        """
        if not self.reasons:
            return table
        starts = [int(row.rpartition(":")[2]) for row in table.rows]
        dropped = {bisect_right(starts, line) - 1 for line in self.reasons}
        kept = [i for i in range(len(table)) if i not in dropped]
        columns = {name: [values[i] for i in kept] for name, values in table.columns.items()}
        places = [f"{self.path.name}:{line}" for line in sorted(self.reasons)]
        listed = ", ".join(places[:SHOWN]) + (", ..." if len(places) > SHOWN else "")
        note = (
            f"{len(places):,} unreadable lines of {self.path.name} were set aside with their rows: "
            f"{listed}. The first: {self.reasons[min(self.reasons)]}"
        )
        return replace(table, columns=columns, rows=[table.rows[i] for i in kept], notes=(note,))


class CollectedLines(BadLines):
    """Takes every unreadable line, without a limit; the reader asks for the reasons row by row."""

    def add(self, number: int, reason: str) -> None:
        """Note the line."""
        self.reasons.setdefault(number, reason)

    def take(self) -> str | None:
        """The first reason since the last call."""
        reason = next(iter(self.reasons.values()), None)
        self.reasons.clear()
        return reason
