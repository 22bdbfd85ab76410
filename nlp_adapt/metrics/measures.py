"""The numbers of a task's metrics that reports show, and what makes them comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A number that reports show.

    Attributes:
        key: Its name in the metrics.
        title: What tables call it.
        hub_name: The Hub's name of the metric.
    """

    key: str
    title: str
    hub_name: str

    @property
    def hub_title(self) -> str:
        """What the Hub's leaderboards show."""
        return self.title[0].upper() + self.title[1:].replace("-", " ")


def comparable(metrics: Mapping[str, Any], key: str) -> float:
    """The measure `key` such that two models scored on the same rows can be compared.

    Macro-F1 averages over the classes that the model's own predictions hold as well, so that one
    stray prediction of a class without test rows costs a model an equal share of the mean. Here it
    is the mean over the classes that have test rows, for both models alike.
    """
    if domains := metrics.get("domains"):
        return sum(comparable(one, key) for one in domains.values()) / len(domains)
    matrix = metrics.get("confusion_matrix")
    if key != "macro_f1" or not matrix:
        return metrics[key]
    labelled = [sum(row) for row in matrix]
    predicted = [sum(column) for column in zip(*matrix, strict=True)]
    if not any(guesses and not rows for rows, guesses in zip(labelled, predicted, strict=True)):
        return metrics[key]
    scores = [2 * matrix[k][k] / (rows + predicted[k]) for k, rows in enumerate(labelled) if rows]
    return sum(scores) / len(scores)
