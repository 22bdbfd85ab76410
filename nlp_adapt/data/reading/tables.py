"""A table of raw columns in which every row knows where it came from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nlp_adapt.errors import DataError


@dataclass(frozen=True)
class Table:
    """Columns as they were found, before text and labels are recognised.

    Attributes:
        columns: The values of each column; every column has one value a row.
        rows: Where each row stands, as "file:line" or "name/split:index".
        origin: What to call the table in a message.
        features: The `datasets` type of each column, where the table was a Dataset.
        line_per_token: True for CoNLL files, where the tokens of a row stand on successive lines.
        notes: What the reader left out, in plain sentences.
    """

    columns: Mapping[str, Sequence[Any]]
    rows: Sequence[str]
    origin: str
    features: Mapping[str, Any] | None = None
    line_per_token: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def short_name(self) -> str:
        """The file's name, or the dataset's name and split: what a note calls the table."""
        return self.rows[0].rpartition(":")[0] if self.rows else self.origin

    def locate(self, index: int, token: int | None = None) -> str:
        """Say where row `index` (or its token number `token`) stands."""
        row = self.rows[index]
        if token is None:
            return row
        if self.line_per_token:
            file, _, line = row.rpartition(":")
            return f"{file}:{int(line) + token}"
        return f"{row} (token {token + 1})"

    def narrow(self, names: Sequence[str], max_rows: int | None = None, seed: int = 0) -> Table:
        """Some of the columns, as lists, and at most `max_rows` rows drawn without replacement."""
        kept: Sequence[int] = range(len(self))
        if max_rows is not None and max_rows < len(self):
            kept = sorted(random.Random(seed).sample(kept, max_rows))
        columns = {}
        for name in names:
            column = list(self.columns[name])
            columns[name] = [column[i] for i in kept]
        return replace(self, columns=columns, rows=[self.rows[i] for i in kept])


def table_from_dataset(dataset: Any, origin: str, file: str | None = None) -> Table:
    """A `datasets.Dataset` as a table; of a file, its rows are called "file:1" and so on."""
    name, first = (origin, 0) if file is None else (file, 1)
    places = [f"{name}:{i}" for i in range(first, first + len(dataset))]
    columns = {name: dataset[name] for name in dataset.column_names}
    return Table(columns, places, origin, dataset.features)


def as_records(items: Any, rows: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Objects as they are, and texts as the column `text`.

    Raises:
        DataError: The items are something else, or a mixture.
    """
    if all(isinstance(item, Mapping) for item in items):
        return items
    if all(isinstance(item, str) for item in items):
        return [{"text": item} for item in items]
    kind = Mapping if isinstance(items[0], Mapping) else str
    odd = next(i for i, item in enumerate(items) if not isinstance(item, kind))
    raise DataError(
        f"{rows[odd]} holds a {type(items[odd]).__name__}: "
        "give a list of objects with named fields, or a list of texts, not a mixture."
    )
