"""Cross-entropy on the labelled units: the term that every method shares."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import SOURCE_SIDE, Objective, ObjectiveConfig, Setup
from nlp_adapt.options import SHARE, option


@dataclass(kw_only=True)
class TaskLossConfig(ObjectiveConfig):
    """Options of the task loss."""

    label_smoothing: float | None = option(
        None,
        "share of probability spread over all classes",
        bounds=SHARE,
        recipe="label_smoothing_factor",
    )


class TaskLoss(Objective):
    """Mean cross-entropy over labelled source units; exactly zero where there are none.

    Several sources count the same, or by their weights, however long their texts are. Released
    labels of the target count by `few_shot_share`: with 0.25, a fifth of the loss is theirs.
    """

    config_class = TaskLossConfig
    reads = SOURCE_SIDE | frozenset({"few_shot"})
    trains_task_head = True
    summary = "cross-entropy on the labelled source rows"

    def __init__(self, config: TaskLossConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.few_shot_share = float(setup.defaults.get("few_shot_share", 1.0))

    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`task`; measurements `task/accuracy` on the source, and `task/few_shot_accuracy`."""
        loss = self._mean(source)
        terms = {"task": loss, "task/accuracy": _accuracy(source)}
        if target.labelled > 0:
            share = self.few_shot_share
            # The balance is that of all targets' texts, not of the labelled ones among them.
            released = self._mean(replace(target, balance=None))
            terms["task"] = (loss + share * released) / (1.0 + share)
            terms["task/few_shot_accuracy"] = _accuracy(target)
        return terms

    def _mean(self, output: DomainOutput) -> Tensor:
        summed = summed_cross_entropy(output, self.config.label_smoothing)
        return summed / max(output.labelled, 1e-12)


def summed_cross_entropy(output: DomainOutput, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in float32, summed over the labelled units, each domain having its share.

    Units count by their `importance`, where they have one. A domain of `output` is labelled throughout or not at all.
    """
    factors = [one for one in (output.balance, output.importance) if one is not None]
    losses = F.cross_entropy(
        output.logits.float(), output.labels, ignore_index=IGNORED_LABEL,
        label_smoothing=label_smoothing, reduction="none" if factors else "sum",
    )  # fmt: skip
    return (losses * math.prod(factors)).sum() if factors else losses


@torch.no_grad()
def _accuracy(output: DomainOutput) -> Tensor:
    """Over all labelled units of the step: its mean over micro-batches is exact."""
    known = output.labels != IGNORED_LABEL
    hits = (output.logits.float().argmax(-1) == output.labels) & known
    return hits.sum() / max(output.labelled, 1e-12)
