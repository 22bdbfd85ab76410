"""A second column of labels beside the one that a domain was read with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nlp_adapt.data.labels import read_classes
from nlp_adapt.data.reading.references import describe, read_reference
from nlp_adapt.data.tagging import IGNORE
from nlp_adapt.errors import DataError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, label_key


def read_row_labels(
    reference: Any,
    column: str,
    *,
    task: str = SEQUENCE_CLASSIFICATION,
    label_map: Mapping[Any, str] | None = None,
    quarantine: int = 0,
) -> dict[str, str]:
    """The classes that a column gives to the rows of a reference, all splits together.

    Args:
        reference: What `load_domain` reads the rows from.
        column: The column.
        task: The task that the rows are read for; the column labels rows as a whole in any case.
        label_map: Class -> class name, or "ignore", as in `load_domain`.
        quarantine: As in `load_domain`.

    Returns:
        Class names by what a domain calls its rows ("file:line"); rows without one are left out.

    Raises:
        DataError: Nothing can be read, no table has the column, or rows cannot be told apart.
    """
    mapping = {str(key): str(value) for key, value in (label_map or {}).items()}
    tables = [
        table
        for source in read_reference(reference, task, None, quarantine)
        for parts in source.splits.values()
        for table in parts
    ]
    if not any(column in table.columns for table in tables):
        names = dict.fromkeys(name for table in tables for name in table.columns)
        raise DataError(
            f"{describe(reference)} has no column {column!r} (columns: {', '.join(names)})."
        )
    found: dict[str, str] = {}
    seen: set[str] = set()
    for table in tables:
        if not seen.isdisjoint(table.rows):
            raise DataError(
                f"two files of {describe(reference)} are called {table.short_name}: rename one, so "
                "that their rows can be told apart."
            )
        seen.update(table.rows)
        if column in table.columns:
            labels, _, _ = read_classes(table, column, mapping, named=True)
            for row, label in zip(table.rows, labels, strict=True):
                if label is not None and label != IGNORE:
                    found[row] = label
    return found


def class_names(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct classes among `labels`, numbers by size and before words."""
    names = {label_key(label): label for label in labels}
    return tuple(sorted(names.values(), key=_by_size))


def _by_size(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label
