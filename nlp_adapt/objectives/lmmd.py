"""Zhu et al. 2020, "Deep Subdomain Adaptation Network for Image Classification" (DSAN), IEEE TNNLS."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import LAMBDA_SCHEDULES
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, lambda_at
from nlp_adapt.objectives.mmd import KernelConfig, gaussian_kernels
from nlp_adapt.objectives.statistics import (
    counted,
    full_precision,
    labelled,
    shares,
    subsample,
    zero,
)
from nlp_adapt.options import option


@dataclass(kw_only=True)
class LmmdConfig(KernelConfig):
    """Options of the local maximum mean discrepancy."""

    schedule: str = option("sigmoid", "how the term's strength grows from 0 to 1", LAMBDA_SCHEDULES)


class Lmmd(Objective):
    """The kernel distance of the domains' means within each class, averaged over classes.

    Source units belong to their label, target units to every class by their predicted probability,
    without gradient. Classes missing among the source's labels or the target's likeliest classes
    are left out. Within a class units count by their weights; all classes count the same, so that
    frequent ones, such as words outside entities, do not drown the others.
    """

    config_class = LmmdConfig
    summary = "maximum mean discrepancy within each class, target classes predicted"
    paper = "Zhu et al. 2020, IEEE TNNLS"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`lmmd`; measurement `lmmd/classes`, how many classes were compared."""
        config = self.config
        whole_source, target = source, counted(target)
        source = counted(labelled(source))
        source, target = subsample(source, config.max_units), subsample(target, config.max_units)
        truth = F.one_hot(source.labels, source.logits.shape[1]).float()
        predicted = target.probabilities.detach()
        shared = (truth.sum(0) > 0) & (
            torch.bincount(predicted.argmax(1), minlength=predicted.shape[1]) > 0
        )
        classes = shared.sum().float()
        if not shared.any():
            return {"lmmd": zero(whole_source, target), "lmmd/classes": classes}
        members = torch.cat([class_shares(truth, source), -class_shares(predicted, target)])
        kernel = gaussian_kernels(
            torch.cat([source.features, target.features]), config.kernels, config.bandwidth
        )
        distances = ((kernel @ members) * members).sum(0)
        strength = lambda_at(config.schedule, 1.0, progress)
        return {"lmmd": strength * distances[shared].mean(), "lmmd/classes": classes}


def class_shares(membership: Tensor, output: DomainOutput) -> Tensor:
    """`[units, classes]` weights of the units within each class; columns sum to 1 or are 0."""
    weighted = membership * shares(output).unsqueeze(1)
    return weighted / weighted.sum(0).clamp_min(1e-12)
