"""The task classifier itself as the discriminator: adversarial learning without a second network.

Chen et al. 2022, "Reusing the Task-specific Classifier as a Discriminator: Discriminator-free
Adversarial Domain Adaptation", CVPR.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.modeling.discriminator import reverse_gradient
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, Setup
from nlp_adapt.objectives.dann import ReversalConfig
from nlp_adapt.objectives.statistics import counted, full_precision, shares, zero
from nlp_adapt.options import NOT_NEGATIVE, option


@dataclass(kw_only=True)
class DalnConfig(ReversalConfig):
    """Options of the classifier as its own discriminator."""

    lambda_max: float | None = option(
        1.0, "final strength of the gradient reversal, the authors'", bounds=NOT_NEGATIVE
    )


class Daln(Objective):
    """The classifier tells the domains apart by how certain and diverse its predictions are.

    The nuclear norm of a batch's predictions is large where they are certain and spread over the
    classes. The classifier makes it large on the source and small on the target; the encoder,
    through the reversal, closes the gap, which takes moving target units away from the decision
    boundary, to either side: no class can swallow the others. Norms are divided by the largest that
    `[units, classes]` predictions can have, so batch size does not matter.
    """

    config_class = DalnConfig
    trains_task_head = True
    summary = "the task classifier itself as discriminator: certain and diverse on both domains"
    paper = "Chen et al. 2022, CVPR"

    @classmethod
    def check(cls, options: DalnConfig, config: AdaptationConfig) -> None:
        """Its features must be those that the classifier reads."""
        if config.domain_features != "classifier":
            raise ConfigError(
                "daln reads what the classifier reads: leave domain_features at 'classifier'."
            )

    def __init__(self, config: DalnConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        # In a tuple, so that the task model's layer is not a part of this module as well.
        self._head = (output_layer(setup.task_model),)

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`daln`; measurements `daln/distance` (source norm minus target norm) and `daln/lambda`."""
        source, target = counted(source), counted(target)
        if not len(source) or not len(target):
            return {"daln": zero(target)}
        strength = self.config.strength(progress)
        distance = self._norm(source, strength) - self._norm(target, strength)
        return {
            "daln": -distance,
            "daln/distance": distance.detach(),
            "daln/lambda": torch.tensor(strength),
        }

    def _norm(self, output: DomainOutput, strength: float) -> Tensor:
        head = self._head[0]
        bias = None if head.bias is None else head.bias.float()
        logits = F.linear(reverse_gradient(output.features, strength), head.weight.float(), bias)
        weighted = logits.softmax(-1) * shares(output).sqrt().unsqueeze(1)
        if not weighted.isfinite().all():
            return weighted.sum()  # the loop skips the step; a decomposition would raise
        return torch.linalg.matrix_norm(weighted, "nuc") / math.sqrt(logits.shape[1])
