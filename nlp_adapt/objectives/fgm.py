"""Adversarial training with the fast gradient method.

Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from nlp_adapt.config import option
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.perturbation import fgm_perturbation, perturbed
from nlp_adapt.objectives.base import SOURCE_SIDE, Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.task import summed_cross_entropy
from nlp_adapt.objectives.views import select_side


@dataclass(kw_only=True)
class FgmConfig(ObjectiveConfig):
    """Options of adversarial training."""

    epsilon: float = option(0.02, "size of the perturbation, as a share of the embeddings' norm")


class Fgm(Objective):
    """Cross-entropy of the labelled source units under the perturbation that raises it most.

    The perturbation is one gradient step on each row's word embeddings, found without dropout;
    padding is never perturbed. It costs two more passes over the source rows.
    """

    config_class: ClassVar = FgmConfig
    reads: ClassVar[frozenset[str]] = SOURCE_SIDE
    trains_task_head: ClassVar[bool] = True
    perturbs_embeddings: ClassVar[bool] = True
    summary: ClassVar[str] = "task loss under the worst small step on the embeddings"
    paper: ClassVar[str] = "Miyato et al. 2017, ICLR"
    name: ClassVar[str] = "fgm"

    def __init__(self, config: FgmConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        if not config.epsilon > 0.0:
            raise ConfigError(f"{self.name}.epsilon is {config.epsilon}, but must be above 0.")

    def forward(self, view: StepView) -> dict[str, Tensor]:
        """`fgm` (in the subclass `pgd`)."""
        batch = select_side(view.batch, "source")
        if batch["labels"].shape[0] == 0:
            return {self.name: 0.0 * view.source.logits.float().sum()}

        def loss() -> Tensor:
            return summed_cross_entropy(view.encode(batch)[0])

        with perturbed(view.task_model, self.perturbation(view.task_model, batch, loss)):
            output = view.encode(batch)[0]
        return {self.name: summed_cross_entropy(output) / max(output.labelled, 1e-12)}

    def perturbation(self, model: Any, batch: dict[str, Any], loss: Any) -> Tensor:
        """The perturbation of the batch, `[rows, width, embedding size]`."""
        return fgm_perturbation(model, batch, loss, self.config.epsilon)
