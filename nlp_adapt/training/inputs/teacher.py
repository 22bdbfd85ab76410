"""What a teacher says of training rows, computed once before a student learns from it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import scatter_to_words
from nlp_adapt.errors import ModelError
from nlp_adapt.methods import Stage
from nlp_adapt.names import order_by_name
from nlp_adapt.objectives import taught_sides
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.prediction.predictor import Predictor, rows_bar
from nlp_adapt.tasks import Task
from nlp_adapt.training.accelerator import precision_of


class Teacher:
    """Answers the training rows of the sides that distillation reads.

    It runs on the run's device, in the run's number format. Several processes share the rows.

    Args:
        stages: Of the run, which say whose rows are distilled.
        accelerator: None outside a run.

    Attributes:
        sides: Of `RunData.train`, those whose rows it answers.
    """

    def __init__(
        self, config: AdaptationConfig, task: Task, stages: Iterable[Stage], accelerator: Any = None
    ) -> None:
        assert config.teacher is not None
        self.path, self.task, self.accelerator = config.teacher, task, accelerator
        sides = taught_sides(stages)
        # Released rows of the target are among its own in a batch.
        self.sides = sides | {"few_shot"} if "target" in sides else sides
        main = accelerator is None or accelerator.is_main_process
        self.shown = main and not config.disable_tqdm  # a large one takes minutes

    @cached_property
    def predictor(self) -> Predictor:
        """The teacher, loaded when it is first asked; `ModelError` if it does not fit the run."""
        run = self.accelerator
        precision, device = ("fp32", None) if run is None else (precision_of(run), str(run.device))
        return load_teacher(self.path, self.task, precision, device)

    def answer(self, rows: EncodedRows, dataset: Any) -> EncodedRows:
        """The rows with the teacher's logits of each unit.

        The teacher reads the data set with its own tokenizer. A word that vanishes in it gets equal
        logits.
        """
        if self.accelerator is None or self.accelerator.num_processes == 1:
            logits = self._logits(dataset)
        else:
            from accelerate.utils import gather_object

            # Shares are stretches of rows, so that what the processes found is put end to end.
            bounds = np.linspace(0, len(dataset), self.accelerator.num_processes + 1).astype(int)
            own = range(*bounds[self.accelerator.process_index :][:2])
            logits = np.concatenate(gather_object([self._logits(dataset.select(own))]))
        if rows.words is not None:
            logits = logits[rows.words]
        return replace(rows, teacher=np.ascontiguousarray(logits, dtype=np.float32))

    def _logits(self, dataset: Any) -> np.ndarray:
        """`[rows, classes]`, or of each word that there is, `[words, classes]`."""
        teacher = self.predictor
        if not len(dataset):
            return np.zeros((0, len(teacher.label_names)), dtype=np.float32)
        encoded = teacher.task.encode(dataset, teacher.tokenizer, teacher.max_length)
        read = len(encoded) * len(getattr(teacher, "members", [teacher]))
        with rows_bar("teacher: answers", read, shown=self.shown) as told:
            logits = teacher.logits(encoded, told)
        if not np.isfinite(logits).all():
            raise ModelError(f"teacher {self.path}: answers are not finite; set precision: fp32.")
        return logits if encoded.words is None else scatter_to_words(logits, encoded, 0.0)


def load_teacher(path: str, task: Task, precision: str, device: str | None) -> Predictor:
    """The teacher, checked to do the same task, with its labels in the run's order."""
    teacher = load_predictor(path, precision=precision, device=device)
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
