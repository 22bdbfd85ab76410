"""What a task makes of a row: the contract of `predict` for texts and words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nlp_adapt.data.reading.rows import Row
from nlp_adapt.errors import DataError


class Answer(NamedTuple):
    """What is added to one row.

    Attributes:
        values: The value of each new column, by the column's own name.
        labels: What the summary counts.
    """

    values: Mapping[str, Any]
    labels: Sequence[str]


class Labeller(ABC):
    """What a task makes of a cell, and what it adds to a row.

    Args:
        predictor: A `Predictor` for the task.
        text_column: The column to read; None recognises it.
        all_scores: Whether to add the score of every label.
        likeness: Says how far texts are from the training domains; None leaves it out.
    """

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
    def find_column(self, first: Sequence[Row], columns: Sequence[str], origin: str) -> str:
        """The column to read, from the first readable rows.

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
