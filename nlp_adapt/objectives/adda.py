"""Adversarial adaptation of a source model, held in place by distillation.

Tzeng et al. 2017, "Adversarial Discriminative Domain Adaptation", CVPR; the distillation of
Ryu and Lee 2020, "Knowledge Distillation for BERT Unsupervised Domain Adaptation" (AAD).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup, StepView
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective, domain_loss
from nlp_adapt.objectives.statistics import full_precision, zero
from nlp_adapt.objectives.teacher import EmaTeacher
from nlp_adapt.objectives.views import select_side
from nlp_adapt.options import NOT_NEGATIVE, POSITIVE, option


@dataclass(kw_only=True)
class AddaConfig(AdversarialConfig):
    """Options of adversarial adaptation with distillation."""

    distillation: float = option(
        1.0, "weight of the distillation loss on the source", bounds=NOT_NEGATIVE
    )
    temperature: float = option(
        2.0, "softening of both models' predictions in the distillation", bounds=POSITIVE
    )


class Adda(AdversarialObjective):
    """The target's features learn to pass for source features, while a frozen copy is imitated.

    It belongs in a stage after one on the source: the frozen source model is a copy of the task
    model as it is when the stage begins, and is saved with the objective. There is no gradient
    reversal: the discriminator learns from detached features, and the encoder minimises the
    cross-entropy of its target features being called source (inverted labels, Tzeng et al.), times
    lambda. The papers keep a second, frozen encoder for the source; here one encoder serves both
    domains, so that the result is one plain model, and distillation holds its source side in place.
    """

    config_class = AddaConfig
    copies_model = True
    made_anew = ("source_model",)
    trains_task_head = True
    summary = "fool a discriminator from a source model, which is distilled meanwhile"
    paper = "Tzeng et al. 2017, CVPR; Ryu & Lee 2020, arXiv:2010.11478"

    def __init__(self, config: AddaConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.source_model = EmaTeacher(setup.task_model, decay=1.0)
        self.num_sources = setup.num_sources

    def start(self, task_model: nn.Module) -> None:
        """Freeze the model as the stage before has left it."""
        self.source_model.restart(task_model)

    def forward(self, view: StepView) -> Terms:
        """Adversarial terms, and the distillation from the frozen model's view of the source."""
        terms = self.losses(view.source, view.target, view.progress)
        if len(view.source):
            teacher = self.source_model(select_side(view.batch, "source"))
            divergence = distillation(view.source, teacher, self.config.temperature)
        else:
            divergence = zero(view.source)
        terms["adda_distillation"] = self.config.distillation * divergence
        return terms

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`adda` (encoder) and `adda_discriminator`; measurements of the discriminator."""
        source, target = self.level(source), self.level(target)
        strength = self.strength(progress)
        features = torch.cat([source.features, target.features])
        logits = self.discriminator(features.detach())
        discriminator_loss, measured = domain_loss(logits, source, target)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, frozen, (target.features,))
        fool = target.mean(self._negative_log_source(judged))
        measured["lambda"] = torch.tensor(strength)
        return {
            "adda": strength * fool,
            "adda_discriminator": discriminator_loss,
            **{f"adda/{name}": value for name, value in measured.items()},
        }

    def _negative_log_source(self, logits: Tensor) -> Tensor:
        """`[units]` values of `-log p(source)`; with several, "source" is any of them."""
        of_target = torch.arange(logits.shape[1], device=logits.device) >= self.num_sources
        return logits.logsumexp(-1) - logits.masked_fill(of_target, float("-inf")).logsumexp(-1)


def distillation(student: DomainOutput, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 * KL(teacher || student)` of predictions softened by `T`, averaged over units.

    Args:
        student: The source units; gradients reach their logits.
        teacher: `[units, classes]` logits of the frozen model.
        temperature: `T`; its square keeps the gradient's size (Hinton et al. 2015).
    """
    log_student = (student.logits.float() / temperature).log_softmax(-1)
    log_teacher = (teacher.float() / temperature).log_softmax(-1)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)
    return temperature**2 * student.mean(divergence)
