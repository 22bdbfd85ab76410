"""Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nlp_adapt.modeling.outputs import Terms
from nlp_adapt.modeling.perturbation import fgm_perturbation, perturbed
from nlp_adapt.objectives.base import SOURCE_SIDE, Objective, ObjectiveConfig, StepView
from nlp_adapt.objectives.task import summed_cross_entropy
from nlp_adapt.objectives.views import select_side
from nlp_adapt.options import POSITIVE, SHARE, option


@dataclass(kw_only=True)
class FgmConfig(ObjectiveConfig):
    """Options of adversarial training."""

    epsilon: float = option(
        0.02, "size of the perturbation, as a share of the embeddings' norm", bounds=POSITIVE
    )
    label_smoothing: float | None = option(
        None, "as of the task loss", bounds=SHARE, recipe="label_smoothing_factor"
    )


class Fgm(Objective):
    """Cross-entropy of the labelled source units under the perturbation that raises it most.

    The perturbation is one gradient step on each row's word embeddings, found without dropout;
    padding is never perturbed. It costs two more passes over the source rows.
    """

    config_class = FgmConfig
    reads = SOURCE_SIDE
    trains_task_head = True
    perturbs_embeddings = True
    summary = "adversarial training: the task also under the worst small step on the embeddings"
    paper = "Miyato et al. 2017, ICLR"
    name = "fgm"

    def forward(self, view: StepView) -> Terms:
        """`fgm` (in the subclass `pgd`)."""
        batch = select_side(view.batch, "source")
        if batch["labels"].shape[0] == 0:
            return {self.name: 0.0 * view.source.logits.float().sum()}

        def loss() -> Tensor:
            return summed_cross_entropy(view.encode(batch)[0], self.config.label_smoothing)

        attack = self.perturbation(view.task_model, batch, loss)
        with perturbed(view.task_model, attack):
            return {self.name: loss() / max(batch["source_labelled"], 1e-12)}

    def perturbation(self, model: Any, batch: dict[str, Any], loss: Any) -> Tensor:
        """The perturbation of the batch, `[rows, width, embedding size]`."""
        return fgm_perturbation(model, batch, loss, self.config.epsilon)
