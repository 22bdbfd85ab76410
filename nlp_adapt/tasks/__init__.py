"""What the labels mean: sentence classification or token classification."""

from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from nlp_adapt.tasks.base import Task
from nlp_adapt.tasks.sequence_classification import SequenceClassification
from nlp_adapt.tasks.token_classification import TokenClassification

TASKS: dict[str, type[Task]] = {
    SEQUENCE_CLASSIFICATION: SequenceClassification,
    TOKEN_CLASSIFICATION: TokenClassification,
}

__all__ = ["TASKS", "Task"]
