"""Auxiliary labelled tasks beside the main one, each with a head of its own on shared features.

Caruana 1997, "Multitask Learning", Machine Learning 28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.config import option
from nlp_adapt.modeling.outputs import DomainOutput
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import (
    SOURCE_SIDE,
    AuxiliarySpec,
    Objective,
    ObjectiveConfig,
    Setup,
    StepView,
)
from nlp_adapt.objectives.checks import require_share
from nlp_adapt.objectives.views import last_hidden_state

AUXILIARY_SIDE = frozenset({"auxiliary"})


@dataclass(kw_only=True)
class AuxiliaryConfig(ObjectiveConfig):
    """Options that all auxiliary tasks share; each has a weight of its own as well."""

    dropout: float = option(0.1, "dropout before the heads of auxiliary tasks")


@dataclass(frozen=True)
class Reading:
    """What a task's head has read of a micro-batch.

    Attributes:
        logits: `[units, classes]` in float32.
        labels: `[units]` class indices, -100 where unknown.
        labelled: Labelled units of a micro-batch, on average over the whole optimizer step; never 0.
    """

    logits: Tensor
    labels: Tensor
    labelled: Tensor


class Auxiliary(Objective):
    """Cross-entropy of each task's labels, by a linear head on the features of the main one.

    A task that labels rows reads the row's features, or the mean over its words where the run is
    about words; one that labels words reads each word's first piece. Labels may stand on the
    source's own rows, which costs no pass, or on rows of their own, which are read in a pass of
    their own inside the one forward and are neither source nor target to other objectives.
    """

    config_class: ClassVar = AuxiliaryConfig
    reads: ClassVar[frozenset[str]] = SOURCE_SIDE | AUXILIARY_SIDE
    summary: ClassVar[str] = "other labels than the main task's, with heads of their own"
    paper: ClassVar[str] = "Caruana 1997, Machine Learning 28"

    def __init__(self, config: AuxiliaryConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        require_share(config, "dropout")
        self.tasks = setup.auxiliary
        self.token_level = setup.token_level
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict(
            {
                head_of(task): nn.Linear(self._width(task, setup), task.num_labels)
                for task in self.tasks
            }
        )

    def forward(self, view: StepView) -> dict[str, Tensor]:
        """`auxiliary`; of each task its own `auxiliary/NAME/loss` and `auxiliary/NAME/accuracy`."""
        losses: list[Tensor] = []
        measured: dict[str, Tensor] = {}
        for task in self.tasks:
            found = self.read(view, task)
            summed = F.cross_entropy(
                found.logits, found.labels, ignore_index=IGNORED_LABEL, reduction="sum"
            )
            loss = summed / found.labelled
            losses.append(task.weight * loss)
            hits = (found.logits.detach().argmax(-1) == found.labels).sum()
            measured[f"auxiliary/{task.name}/loss"] = loss.detach()
            # Over all labelled units of the step, so that the mean over micro-batches is exact.
            measured[f"auxiliary/{task.name}/accuracy"] = hits / found.labelled
        return {"auxiliary": torch.stack(losses).sum(), **measured}

    def read(self, view: StepView, task: AuxiliarySpec) -> Reading:
        """What the head of `task` says of the units that may have its labels."""
        if task.side == "source":
            features, labels = self._of_rows(view.source, view.batch["row_labels"], task)
            labelled = view.batch["source/row_labelled"][task.column]
        else:
            batch = _own_batch(view.batch, task.side)
            features, labels = self._of_own_rows(view, batch, task)
            labelled = (
                batch["source_labelled"] if task.words else batch["row_labelled"][task.column]
            )
        logits = self.heads[head_of(task)](self.dropout(features))
        return Reading(logits.float(), labels, torch.as_tensor(labelled).clamp_min(1e-12))

    def _width(self, task: AuxiliarySpec, setup: Setup) -> int:
        """Size of the features: token states where a run about sentences has a task about words."""
        if task.words and not setup.token_level:
            return int(setup.task_model.config.hidden_size)
        return setup.features

    def _of_rows(
        self, output: DomainOutput, row_labels: Tensor, task: AuxiliarySpec
    ) -> tuple[Tensor, Tensor]:
        rows = output.by_row()
        return rows.features, row_labels[rows.rows, task.column]

    def _of_own_rows(
        self, view: StepView, batch: dict[str, Any], task: AuxiliarySpec
    ) -> tuple[Tensor, Tensor]:
        """Features and labels of a task's own rows; none where a micro-batch got no row of them."""
        ids = batch["input_ids"]
        if not len(ids):
            head: Any = self.heads[head_of(task)]
            return head.weight.new_zeros(0, head.in_features), batch["labels"][:0]
        if task.words and not self.token_level:
            states = last_hidden_state(view.task_model, ids, batch["attention_mask"])
            return states.flatten(0, 1)[batch["unit_positions"]], batch["labels"]
        output = view.encode(batch)[0]
        if task.words:
            return output.features, output.labels
        return self._of_rows(output, batch["row_labels"], task)


def head_of(task: AuxiliarySpec) -> str:
    """The name of a task's head among the objective's weights."""
    return f"{task.name}_head"


def _own_batch(batch: dict[str, Any], side: str) -> dict[str, Any]:
    """The rows of `side`, all of them as source rows of a batch of their own."""
    own = {
        key.removeprefix(f"{side}/"): value
        for key, value in batch.items()
        if key.startswith(f"{side}/")
    }
    return {
        **own,
        "source_units": len(own["labels"]),
        "source_count": batch[f"{side}_count"],
        "source_labelled": batch[f"{side}_labelled"],
        "target_count": 0.0,
        "target_labelled": 0.0,
    }
