"""What a teacher says of training rows, computed once before a student learns from it."""

from dataclasses import replace
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import scatter_to_words
from nlp_adapt.errors import ModelError
from nlp_adapt.names import order_by_name
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import Task


def load_teacher(path: str, task: Task, precision: str = "fp32") -> Predictor:
    """The teacher, checked to do the same task, with its labels in the run's order."""
    teacher = load_predictor(path, precision=precision)
    if teacher.task.name != task.name:
        raise ModelError(f"teacher {path}: does {teacher.task.name}, not {task.name}.")
    order = order_by_name(teacher.label_names, task.label_names)
    if order is None:
        raise ModelError(
            f"teacher {path}: its labels are {', '.join(teacher.label_names)}, but the run's are "
            f"{', '.join(task.label_names)}; name them in its config.json (id2label) or by label_map."
        )
    teacher.take_labels(task, order)
    return teacher


def with_teacher(teacher: Predictor, rows: EncodedRows, dataset: Any) -> EncodedRows:
    """The rows with the teacher's logits of each unit.

    The teacher reads the data set with its own tokenizer. A word that vanishes in it gets equal
    logits.

    """
    encoded = teacher.task.encode(dataset, teacher.tokenizer, teacher.max_length)
    logits = teacher.logits(encoded)
    if rows.words is not None:
        logits = scatter_to_words(logits, encoded, 0.0)[rows.words]
    return replace(rows, teacher=np.ascontiguousarray(logits, dtype=np.float32))
