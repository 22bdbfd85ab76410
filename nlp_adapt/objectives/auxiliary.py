"""Auxiliary labelled tasks: Caruana 1997, "Multitask Learning", Machine Learning 28."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Terms
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import (
    SOURCE_SIDE,
    AuxiliarySpec,
    Encode,
    Objective,
    ObjectiveConfig,
    Setup,
    StepView,
)
from nlp_adapt.objectives.views import last_hidden_state
from nlp_adapt.options import SHARE, option


@dataclass(kw_only=True)
class AuxiliaryConfig(ObjectiveConfig):
    """Options that all auxiliary tasks share; each has a weight of its own as well."""

    dropout: float = option(0.1, "dropout before the heads of auxiliary tasks", bounds=SHARE)


class Auxiliary(Objective):
    """Cross-entropy of each task's labels, by a linear head on the features of the main one.

    A task that labels rows reads the row's features (in a run about words, their mean over the
    row); one that labels words reads each word's first piece. A task's rows take a pass of their
    own, and are neither source nor target to other objectives.
    """

    config_class = AuxiliaryConfig
    reads = SOURCE_SIDE | frozenset({"auxiliary"})
    summary = "other labels than the main task's, with heads of their own"
    paper = "Caruana 1997, Machine Learning 28"

    @classmethod
    def check(cls, options: AuxiliaryConfig, config: AdaptationConfig) -> None:
        """It needs tasks."""
        if not config.auxiliary:
            raise ConfigError(
                "the objective 'auxiliary' has nothing to learn: name its tasks under `auxiliary`."
            )

    def __init__(self, config: AuxiliaryConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.tasks = setup.auxiliary
        self.token_level = setup.token_level
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict()
        for task in self.tasks:
            # Where a run about sentences has a task about words, the head reads token states.
            of_tokens = task.words and not setup.token_level
            width = int(setup.task_model.config.hidden_size) if of_tokens else setup.features
            self.heads[head_of(task)] = nn.Linear(width, task.num_labels)

    def forward(self, view: StepView) -> Terms:
        """`auxiliary`; of each task its own `auxiliary/NAME/loss` and `auxiliary/NAME/accuracy`."""
        losses: list[Tensor] = []
        measured: Terms = {}
        for task in self.tasks:
            logits, labels = self.answers(task, view.encode, view.task_model, rows_of(view, task))
            # Over all labelled units of the step, so that the mean over micro-batches is exact.
            labelled = max(view.batch[f"{task.side}_labelled"], 1e-12)
            summed = F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum")
            loss = summed / labelled
            losses.append(task.weight * loss)
            hits = (logits.detach().argmax(-1) == labels).sum()
            measured[f"auxiliary/{task.name}/loss"] = loss.detach()
            measured[f"auxiliary/{task.name}/accuracy"] = hits / labelled
        return {"auxiliary": torch.stack(losses).sum(), **measured}

    def answers(
        self, task: AuxiliarySpec, encode: Encode, task_model: nn.Module, batch: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """What a task's head says of its rows, given as source rows; there may be none.

        `encode` is that of `StepView`.

        Returns:
            `[units, classes]` logits in float32 and `[units]` class indices, -100 where unknown.
        """
        head: Any = self.heads[head_of(task)]
        labels = batch["labels"]
        if not len(batch["input_ids"]):
            features = head.weight.new_zeros(0, head.in_features)
        elif task.words and not self.token_level:
            states = last_hidden_state(task_model, batch["input_ids"], batch["attention_mask"])
            features = states.flatten(0, 1)[batch["unit_positions"]]
        else:
            units = encode(batch)[0]
            features = units.features
            if not task.words:
                rows = units.by_row()
                # The label of a row is that of its first word, see `encode_texts`.
                features, labels = rows.features, labels[torch.searchsorted(units.rows, rows.rows)]
        return head(self.dropout(features)).float(), labels


def head_of(task: AuxiliarySpec) -> str:
    """The name of a task's head among the objective's weights."""
    return f"{task.name}_head"


def rows_of(view: StepView, task: AuxiliarySpec) -> dict[str, Any]:
    """The rows of a task in a micro-batch, as source rows of a batch of their own."""
    prefix, batch = f"{task.side}/", view.batch
    own = {key.removeprefix(prefix): batch[key] for key in batch if key.startswith(prefix)}
    return as_source(own, batch[f"{task.side}_count"], batch[f"{task.side}_labelled"])


def as_source(rows: dict[str, Any], count: float, labelled: float) -> dict[str, Any]:
    """Collated rows as a batch of the source alone, with these denominators."""
    return {
        **rows,
        "source_units": len(rows["labels"]),
        "source_count": count,
        "source_labelled": labelled,
        "target_count": 0.0,
        "target_labelled": 0.0,
    }


def answered_right(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, the share of the largest class, and the count, over the labels that are known."""
    known = labels != IGNORED_LABEL
    labels, right = labels[known], (logits.argmax(-1) == labels)[known]
    total = max(len(labels), 1)
    return {
        "accuracy": round(int(right.sum()) / total, 6),
        "largest_class": round(int(labels.bincount().max()) / total, 6) if len(labels) else 0.0,
        "count": len(labels),
    }
