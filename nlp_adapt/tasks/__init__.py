"""What the labels mean: sentence classification or token classification."""

from __future__ import annotations

from nlp_adapt.tasks.base import Task
from nlp_adapt.tasks.sequence_classification import SequenceClassification
from nlp_adapt.tasks.token_classification import TokenClassification

TASKS: dict[str, type[Task]] = {
    "sequence-classification": SequenceClassification,
    "token-classification": TokenClassification,
}

__all__ = ["TASKS", "Task"]
