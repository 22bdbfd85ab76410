"""What a task makes of a row: the contract of `predict` for texts and words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from nlp_adapt.data.reading.chunks import Chunk
from nlp_adapt.errors import DataError
from nlp_adapt.prediction.files.writing import Format, RowFormat


class UnusableCellError(Exception):
    """Why a cell cannot be labelled, as a sentence that begins with "it"."""


class Answer(NamedTuple):
    """What is added to one row.

    Attributes:
        values: The value of each new column, by the column's own name.
        labels: What the summary counts.
    """

    values: Mapping[str, Any]
    labels: Sequence[str]


@dataclass(frozen=True)
class Layout:
    """What the output looks like.

    Attributes:
        suffix: Its format, one of the labeller's suffixes.
        gzipped: Whether it is gzip'd.
        columns: The input's columns in order.
        names: Names of the new columns in the output, by their own names.
        types: Types of the new columns, by their own names; see `RowFormat`.
        features: The `datasets` types of the input's columns, where it has types.
        line_per_token: Whether the input has CoNLL columns.
    """

    suffix: str
    gzipped: bool
    columns: Sequence[str]
    names: Mapping[str, str]
    types: Mapping[str, Any]
    features: Mapping[str, Any] | None
    line_per_token: bool

    def rows(self) -> RowFormat:
        """The input's columns and behind them the new ones."""
        return RowFormat(
            self.suffix, self.columns, self.names, self.types, self.gzipped, self.features
        )


class Labeller(ABC):
    """What a task makes of a cell, and what it adds to a row.

    Args:
        predictor: A `Predictor` for the task.
        text_column: The column to read; None recognises it.
        all_scores: Whether to add the score of every label.
        likeness: Says how far texts are from the training domains; None leaves it out.

    Attributes:
        suffixes: Formats that it can be written in.
    """

    suffixes: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        predictor: Any,
        *,
        text_column: str | None = None,
        all_scores: bool = False,
        likeness: Any = None,
    ) -> None:
        self.predictor = predictor
        self.text_column = text_column
        self.all_scores = all_scores
        self.likeness = likeness

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """What the summary counts, in order."""

    @abstractmethod
    def find_column(self, first: Chunk, columns: Sequence[str], origin: str) -> str:
        """The column to read, from the first rows.

        Raises:
            DataError: There is none.
        """

    @abstractmethod
    def types(self) -> dict[str, Any]:
        """The new columns in order, with their types; known once the column is found."""

    def names(self, columns: Sequence[str], origin: str) -> dict[str, str]:
        """What the new columns are called beside the input's.

        Raises:
            DataError: A column of the input would be lost.
        """
        return predicted(list(self.types()), columns, origin)

    @abstractmethod
    def read(self, value: Any) -> Any:
        """What the model reads of a cell, or None where it holds no text.

        Raises:
            UnusableCellError: It holds something else.
        """

    @abstractmethod
    def answer(self, inputs: list[Any]) -> list[Answer]:
        """The answers for what `read` gave, in order."""

    @abstractmethod
    def blank(self) -> Answer:
        """The answer for a row without text."""

    def output_format(self, layout: Layout) -> Format:
        """How rows are written."""
        return layout.rows()


def predicted(names: Sequence[str], columns: Sequence[str], origin: str) -> dict[str, str]:
    """Names for new columns that the input does not have.

    Where the input has one of them, all are called `predicted_...`, so that they stay together.

    Raises:
        DataError: The input has such a name too.
    """
    if not any(name in columns for name in names):
        return {name: name for name in names}
    renamed = {name: f"predicted_{name}" for name in names}
    for name in renamed.values():
        if name in columns:
            raise DataError(
                f"{origin} already has a column '{name}': rename it, so that it is not lost."
            )
    return renamed
