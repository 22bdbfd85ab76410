"""What a teacher says of training rows, computed once before a student learns from it."""

from dataclasses import replace
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import scatter_to_words
from nlp_adapt.errors import ModelError
from nlp_adapt.names import label_key
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import Task


def load_teacher(path: str, task: Task, precision: str = "fp32") -> Predictor:
    """The teacher, checked to do the same task with the same labels."""
    teacher = load_predictor(path, precision=precision)
    if teacher.task.name != task.name:
        raise ModelError(f"teacher {path}: does {teacher.task.name}, not {task.name}.")
    theirs = {label_key(name) for name in teacher.label_names}
    mine = {label_key(name) for name in task.label_names}
    if theirs != mine:
        raise ModelError(
            f"teacher {path}: its labels are {', '.join(teacher.label_names)}, but the run's are "
            f"{', '.join(task.label_names)}."
        )
    return teacher


def with_teacher(teacher: Predictor, rows: EncodedRows, dataset: Any, task: Task) -> EncodedRows:
    """The rows with the teacher's logits of each unit, classes in the run's order.

    The teacher reads the data set with its own tokenizer. A word that vanishes in it gets equal
    logits.

    """
    encoded = teacher.task.encode(dataset, teacher.tokenizer, teacher.max_length)
    logits = teacher.logits(encoded)
    places = {label_key(name): index for index, name in enumerate(teacher.label_names)}
    logits = logits[:, [places[label_key(name)] for name in task.label_names]]
    if rows.words is not None:
        logits = scatter_to_words(logits, encoded, 0.0)[rows.words]
    return replace(rows, teacher=np.ascontiguousarray(logits, dtype=np.float32))
