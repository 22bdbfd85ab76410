"""Virtual adversarial training: predictions must not change in the worst direction nearby.

Miyato et al. 2018, "Virtual Adversarial Training", IEEE TPAMI 41(8); on word embeddings as in
Miyato et al. 2017, ICLR. It needs no labels, so the target takes part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Terms
from nlp_adapt.modeling.perturbation import (
    embed,
    loss_gradient,
    on_sphere,
    perturbed,
    random_perturbation,
    row_norms,
)  # fmt: skip
from nlp_adapt.modeling.units import without_dropout
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, StepView
from nlp_adapt.objectives.consistency import divergence
from nlp_adapt.objectives.views import select_side
from nlp_adapt.options import POSITIVE, option


@dataclass(kw_only=True)
class VatConfig(ObjectiveConfig):
    """Options of virtual adversarial training."""

    domains: str = option("both", "whose rows are perturbed", ("both", "target", "source"))
    epsilon: float = option(
        0.02, "size of the perturbation, as a share of the embeddings' norm", bounds=POSITIVE
    )
    xi: float = option(0.005, "size of the random first step, as such a share", bounds=POSITIVE)
    steps: int = option(1, "power iterations that find the worst direction", bounds=POSITIVE)


class Vat(Objective):
    """KL(clean | perturbed) of the predictions, averaged within each domain and then over them.

    No pass has dropout, whose noise would hide the small changes that show the direction.
    """

    config_class = VatConfig
    trains_task_head = True
    perturbs_embeddings = True
    summary = "predictions in both domains stay the same under the worst small step"
    paper = "Miyato et al. 2018, IEEE TPAMI 41(8)"

    def forward(self, view: StepView) -> Terms:
        """`vat`."""
        config = self.config
        batch = view.batch
        if config.domains != "both":
            batch = select_side(batch, config.domains)
        if batch["labels"].shape[0] == 0:
            logits = torch.cat([view.source.logits, view.target.logits])
            return {"vat": 0.0 * logits.float().sum()}
        model = view.task_model
        with without_dropout(model):
            with torch.no_grad():
                clean = [side.logits.float().log_softmax(-1) for side in view.encode(batch)]

            def divergences() -> list[tuple[DomainOutput, Tensor]]:
                return [
                    (side, divergence(targets, side.logits.float().log_softmax(-1), "kl"))
                    for side, targets in zip(view.encode(batch), clean, strict=True)
                ]

            def total() -> Tensor:
                return torch.cat([values for _, values in divergences()]).sum()

            direction = random_perturbation(model, batch, config.xi)
            norms = row_norms(embed(model, batch))
            for _ in range(config.steps):
                gradient = loss_gradient(model, direction, total)
                direction = on_sphere(gradient, batch["attention_mask"], config.xi * norms)
            with perturbed(model, direction * (config.epsilon / config.xi)):
                means = [side.mean(values) for side, values in divergences()]
        share = 0.5 if config.domains == "both" else 1.0
        return {"vat": share * (means[0] + means[1])}
