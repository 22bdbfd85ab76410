"""Learning from a teacher's predictions, as for a smaller encoder or in place of an ensemble.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
"""

from __future__ import annotations

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

    The teacher's logits are computed once, before training, with its own tokenizer: it may be of
    another architecture, and an ensemble. They come with the rows (`DomainOutput.teacher`).
    """

    config_class = DistillationConfig
    reads = TARGET_SIDE
    trains_task_head = True
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
        sides = [side for side in (source, target) if len(side) and side.teacher is not None]
        losses, hits = [], []
        for side in sides:
            losses.append(self._divergence(side))
            assert side.teacher is not None
            same = side.logits.detach().argmax(-1) == side.teacher.argmax(-1)
            hits.append(side.mean(same.float()))
        if not sides:
            return {"distillation": zero(source, target)}
        return {
            "distillation": torch.stack(losses).mean(),
            "distillation/agreement": torch.stack(hits).mean(),
        }

    def _divergence(self, side: DomainOutput) -> Tensor:
        assert side.teacher is not None
        temperature = self.config.temperature
        student = (side.logits.float() / temperature).log_softmax(-1)
        teacher = (side.teacher.float() / temperature).log_softmax(-1)
        return temperature**2 * side.mean((teacher.exp() * (teacher - student)).sum(-1))
