"""Jin et al. 2020, "Minimum Class Confusion for Versatile Domain Adaptation", ECCV."""

from dataclasses import dataclass

import torch

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import TARGET_SIDE, Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import counted, entropy, full_precision, shares, zero
from nlp_adapt.options import POSITIVE, option


@dataclass(kw_only=True)
class MccConfig(ObjectiveConfig):
    """Options of minimum class confusion."""

    temperature: float = option(
        2.5, "softening of the predictions before they are compared", bounds=POSITIVE
    )


class Mcc(Objective):
    """How much the model confuses pairs of classes on the target, made small.

    The softened predictions of a batch, weighted by `1 + exp(-entropy)` (no gradient) and by the
    units' weights, give a class correlation matrix. Each of its rows is normalised, which gives
    rare classes the same say as frequent ones; the loss is the mean of what lies off the diagonal.
    """

    config_class = MccConfig
    reads = TARGET_SIDE
    trains_task_head = True
    summary = "confuse no pair of classes on the target"
    paper = "Jin et al. 2020, ECCV"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`mcc`, from 0 to 1."""
        target = counted(target)
        if not len(target):
            return {"mcc": zero(target)}
        logits = target.logits / self.config.temperature
        probabilities = logits.softmax(-1)
        certainty = shares(target) * (1.0 + torch.exp(-entropy(logits.detach())))
        certainty = certainty * (len(target) / certainty.sum())
        correlation = probabilities.T @ (probabilities * certainty.unsqueeze(1))
        correlation = correlation / correlation.sum(1, keepdim=True).clamp_min(1e-12)
        return {"mcc": 1.0 - correlation.diagonal().mean()}
