"""Adversarial adaptation of a source model, held in place by distillation.

Tzeng et al. 2017, "Adversarial Discriminative Domain Adaptation", CVPR; the distillation of
Ryu and Lee 2020, "Knowledge Distillation for BERT Unsupervised Domain Adaptation" (AAD).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup, StepView
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective, domain_loss
from nlp_adapt.objectives.distillation import softened_divergence
from nlp_adapt.objectives.statistics import full_precision, negative_log_complement, zero
from nlp_adapt.objectives.teacher import EmaTeacher
from nlp_adapt.objectives.views import select_side
from nlp_adapt.options import NOT_NEGATIVE, POSITIVE, option


@dataclass(kw_only=True)
class AddaConfig(AdversarialConfig):
    """Options of adversarial adaptation with distillation."""

    lambda_max: float | None = option(
        1.0, "final weight of passing for the source; nothing is reversed", bounds=NOT_NEGATIVE
    )
    distillation: float = option(
        1.0, "weight of the distillation loss on the source", bounds=NOT_NEGATIVE
    )
    temperature: float = option(
        2.0, "softening of both models' predictions in the distillation", bounds=POSITIVE
    )


class Adda(AdversarialObjective):
    """The target's features learn to pass for source features, while a frozen copy is imitated.

    It belongs in a stage after one on the source: the frozen copy is the task model as the stage
    begins. Nothing is reversed: the discriminator learns from detached features, and the encoder
    minimises lambda times the cross-entropy of its target features being called source (inverted
    labels, Tzeng et al.). The papers keep a second, frozen encoder for the source; here one encoder
    serves both domains and stays a plain model, and distillation holds its source side in place.
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
            divergence = softened_divergence(view.source, teacher, self.config.temperature)
        else:
            divergence = zero(view.source)
        terms["adda_distillation"] = self.config.distillation * divergence
        return terms

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`adda` (encoder) and `adda_discriminator`; measurements of the discriminator."""
        source, target, strength = self.prepared(source, target, progress)
        features = torch.cat([source.features, target.features])
        logits = self.discriminator(features.detach())
        discriminator_loss, measured = domain_loss(logits, source, target)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, frozen, (target.features,))
        # "Source" is any of several.
        of_target = torch.arange(logits.shape[1], device=logits.device) >= self.num_sources
        fool = target.mean(negative_log_complement(judged, of_target))
        measured["lambda"] = torch.tensor(strength)
        return {
            "adda": strength * fool,
            "adda_discriminator": discriminator_loss,
            **{f"adda/{name}": value for name, value in measured.items()},
        }
