"""Consistency: the student, seeing edited target text, must agree with the teacher on the clean one.

Tarvainen & Valpola 2017, "Mean teachers are better role models", NeurIPS; Xie et al. 2020,
"Unsupervised Data Augmentation for Consistency Training", NeurIPS.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp_adapt.config import EDITS
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.teacher import TeacherConfig, TeacherObjective
from nlp_adapt.options import POSITIVE, option


@dataclass(kw_only=True)
class ConsistencyConfig(TeacherConfig):
    """Options of consistency training."""

    edit: str = option("mask", "edit of the words that the student sees", ("none", *EDITS))
    divergence: str = option("kl", "KL(teacher | student), or squared error", ("kl", "mse"))
    temperature: float = option(
        1.0, "below 1 sharpens the teacher's probabilities", bounds=POSITIVE
    )
    confidence: float = option(0.0, "units where the teacher is less sure than this are left out")


class Consistency(TeacherObjective):
    """Divergence of the student's probabilities from the teacher's, averaged over target units."""

    config_class = ConsistencyConfig
    summary = "an averaged teacher against a view of the target with edited words"
    paper = "Tarvainen & Valpola 2017, NeurIPS; Xie et al. 2020, NeurIPS"
    name = "consistency"

    def compare(self, teacher_logits: Tensor, student: DomainOutput, progress: Progress) -> Terms:
        """`consistency`; measurement `consistency/kept`, the share of units that counted."""
        config = self.config
        log_targets = (teacher_logits / config.temperature).log_softmax(-1)
        log_student = student.logits.float().log_softmax(-1)
        values = divergence(log_targets, log_student, config.divergence)
        kept = (teacher_logits.softmax(-1).amax(-1) >= config.confidence).float()
        return {
            "consistency": self.ramp(progress) * student.mean(values * kept),
            "consistency/kept": kept.mean(),
        }


def divergence(log_targets: Tensor, log_probabilities: Tensor, kind: str) -> Tensor:
    """`[units]` KL(targets | probabilities), or `mse` of the probabilities, from `[units, classes]`."""
    if kind == "mse":
        return (log_targets.exp() - log_probabilities.exp()).square().mean(-1)
    difference = log_targets - log_probabilities
    return torch.where(log_targets.isneginf(), 0.0, log_targets.exp() * difference).sum(-1)
