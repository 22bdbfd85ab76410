"""The task classifier itself as the discriminator: adversarial learning without a second network.

Chen et al. 2022, "Reusing the Task-specific Classifier as a Discriminator: Discriminator-free
Adversarial Domain Adaptation", CVPR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import LAMBDA_SCHEDULES, option
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.modeling.discriminator import reverse_gradient
from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup, lambda_at
from nlp_adapt.objectives.checks import check_reversal
from nlp_adapt.objectives.statistics import counted, full_precision, shares, zero


@dataclass(kw_only=True)
class DalnConfig(ObjectiveConfig):
    """Options of discriminator-free adversarial learning; what is unset comes from the recipe."""

    lambda_max: float | None = option(None, "final strength of the gradient reversal")
    lambda_schedule: str | None = option(None, "how lambda grows over a stage", LAMBDA_SCHEDULES)
    source_warmup: float | None = option(None, "share of the stage in which lambda stays 0")

    def __post_init__(self) -> None:
        check_reversal(self)


class Daln(Objective):
    """The classifier tells the domains apart by how certain and diverse its predictions are.

    The nuclear norm of a batch's predictions is large where they are certain and spread over the
    classes. The classifier makes it large on the source and small on the target; the encoder,
    through the reversal, closes the difference, and can do so only by moving target units away from
    the decision boundary, to either side. So the adversary is aware of the classes, and no class
    can swallow the others. Norms are divided by the largest value that `[units, classes]`
    predictions can have, so that the term does not depend on the size of the batch.
    """

    config_class: ClassVar = DalnConfig
    trains_task_head: ClassVar[bool] = True
    summary: ClassVar[str] = "the task classifier itself tells the domains apart"
    paper: ClassVar[str] = "Chen et al. 2022, CVPR"

    def __init__(self, config: DalnConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        defaults = setup.defaults
        if defaults.get("domain_features", "classifier") != "classifier":
            raise ConfigError(
                "daln reads what the classifier reads: leave domain_features at 'classifier'."
            )
        strongest, warmup = config.lambda_max, config.source_warmup
        self.lambda_max = float(defaults.get("lambda_max", 1.0) if strongest is None else strongest)
        self.schedule = str(config.lambda_schedule or defaults.get("lambda_schedule", "sigmoid"))
        self.warmup = float(defaults.get("source_warmup", 0.0) if warmup is None else warmup)
        # In a tuple, so that the task model's layer is not a part of this module as well.
        self._head = (output_layer(setup.task_model),)

    @full_precision
    def losses(
        self, source: DomainOutput, target: DomainOutput, progress: Progress
    ) -> dict[str, Tensor]:
        """`daln`; measurements `daln/distance` (source norm minus target norm) and `daln/lambda`."""
        source, target = counted(source), counted(target)
        if not len(source) or not len(target):
            return {"daln": zero(target)}
        strength = lambda_at(self.schedule, self.lambda_max, progress, warmup=self.warmup)
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
