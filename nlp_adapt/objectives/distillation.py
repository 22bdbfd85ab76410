"""Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import TARGET_SIDE, Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import zero
from nlp_adapt.options import POSITIVE, option


@dataclass(kw_only=True)
class DistillationConfig(ObjectiveConfig):
    """Options of distillation."""

    domains: str = option("target", "whose text to learn from", ("target", "source", "both"))
    temperature: float = option(2.0, "softening of both models' predictions", bounds=POSITIVE)


class Distillation(Objective):
    """`T^2 * KL(teacher || student)` of predictions softened by `T`, averaged within each domain.

    The teacher's logits are computed once, before training, with its own tokenizer, and come with
    the rows (`DomainOutput.teacher`): it may have another architecture, or be an ensemble.
    """

    config_class = DistillationConfig
    reads = TARGET_SIDE
    trains_task_head = True
    asks_teacher = True
    summary = "agree with a teacher's predictions"
    paper = "Hinton et al. 2015, arXiv:1503.02531"

    @classmethod
    def check(cls, options: DistillationConfig, config: AdaptationConfig) -> None:
        """It needs a teacher, and text that the teacher can answer before training."""
        if config.teacher is None:
            raise ConfigError(
                "distillation needs a teacher: set `teacher` to a model, run or ensemble."
            )
        if config.streaming and options.domains != "source":
            raise ConfigError(
                "distillation learns from answers that the teacher gives before training, which a "
                "streamed target has not: turn streaming off, or set options.distillation.domains "
                "to source."
            )

    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`distillation`; measurement `distillation/agreement`, of the likeliest classes."""
        losses, hits = [], []
        sides = self.sides(self.config)
        for name, side in (("source", source), ("target", target)):
            if name in sides and len(side) and side.teacher is not None:
                losses.append(softened_divergence(side, side.teacher, self.config.temperature))
                same = side.logits.detach().argmax(-1) == side.teacher.argmax(-1)
                hits.append(side.mean(same.float()))
        if not losses:
            return {"distillation": zero(source, target)}
        return {
            "distillation": torch.stack(losses).mean(),
            "distillation/agreement": torch.stack(hits).mean(),
        }


def softened_divergence(student: DomainOutput, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(teacher || student)` of predictions softened by `T`, averaged over units.

    The teacher's logits are `[units, classes]`; the factor `T^2` keeps the gradient's size.
    """
    log_student = (student.logits.float() / temperature).log_softmax(-1)
    log_teacher = (teacher.float() / temperature).log_softmax(-1)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)
    return temperature**2 * student.mean(divergence)
