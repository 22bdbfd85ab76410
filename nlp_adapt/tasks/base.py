"""The contract of a task: models, encoding, decoding and metrics for one meaning of labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows


@dataclass(frozen=True)
class Measure:
    """A number that reports show: its key in the metrics, and its name in tables and on the Hub."""

    key: str
    title: str
    hub_name: str

    @property
    def hub_title(self) -> str:
        """What the Hub's leaderboards show."""
        return self.title[0].upper() + self.title[1:].replace("-", " ")


class Task(ABC):
    """One meaning of labels.

    Attributes:
        name: As recipes write it.
        auto_class: The transformers auto class of the task model.
        pipeline_tag: The Hub's name of the task.
        measures: The numbers of its metrics that reports show.
        main_metric: The key of the one that summaries compare.
        units_are_words: Whether words carry the labels.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    main_metric: ClassVar[str]
    units_are_words: ClassVar[bool] = False

    def __init__(self, label_names: Sequence[str]) -> None:
        self.label_names = tuple(label_names)

    @classmethod
    def main_measure(cls) -> Measure:
        """The measure that summaries compare."""
        return next(one for one in cls.measures if one.key == cls.main_metric)

    @property
    def outside(self) -> int | None:
        """Index of the label `O`, where the task has one."""
        return None

    @abstractmethod
    def encode(self, dataset: Any, tokenizer: Any, max_length: int) -> EncodedRows:
        """Tokenise a canonical `datasets.Dataset`; labels are matched by name where present."""

    def remember(self, dataset: Any) -> None:  # noqa: B027 - most tasks have nothing to note
        """Note what the labelled training rows hold, where metrics tell old from new."""

    def source_quality(
        self, logits: np.ndarray, encoded: EncodedRows
    ) -> tuple[float, float] | None:
        """What selects a model by held-out rows of the source, and its sampling variance.

        None where balanced accuracy over the units does. Needs no more than the logits
        `[units, classes]` of labelled rows, so that no label of a target can come in.
        """
        return None

    @abstractmethod
    def metrics(self, logits: np.ndarray, encoded: EncodedRows, dataset: Any) -> dict[str, Any]:
        """Score the logits `[units, classes]` of a labelled data set; plain Python values."""
