"""Long et al. 2018, "Conditional Adversarial Domain Adaptation", NeurIPS."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nlp_adapt.modeling.discriminator import reverse_gradient
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective, domain_loss
from nlp_adapt.objectives.statistics import entropy, full_precision
from nlp_adapt.options import COUNT, option


@dataclass(kw_only=True)
class CdanConfig(AdversarialConfig):
    """Options of conditional domain-adversarial training."""

    entropy: bool = option(True, "weight units by 1 + exp(-entropy), as CDAN+E: certain ones count")
    random_dim: int = option(
        4096, "largest features x classes; beyond it, a random map this wide", bounds=COUNT
    )
    through_predictions: bool = option(
        False, "let the reversed gradient reach the predictions (the paper's formula) as well"
    )


class MultilinearMap(nn.Module):
    """Features and predictions joined: their outer product, or a random projection of it.

    Where the outer product would have more than `limit` entries, the map is
    `(R_f f) * (R_g g) / sqrt(limit)` with fixed Gaussian matrices (saved buffers), which keeps inner
    products in expectation.
    """

    random_features: Tensor
    random_classes: Tensor

    def __init__(self, features: int, classes: int, limit: int) -> None:
        super().__init__()
        self.size = min(features * classes, limit)
        self.randomised = features * classes > limit
        if self.randomised:
            self.register_buffer("random_features", torch.randn(features, limit))
            self.register_buffer("random_classes", torch.randn(classes, limit))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """`[units, size]` from `[units, features]` and `[units, classes]`."""
        if not self.randomised:
            return (probabilities.unsqueeze(2) * features.unsqueeze(1)).flatten(1)
        product = (features @ self.random_features) * (probabilities @ self.random_classes)
        return product / math.sqrt(self.size)


class Cdan(AdversarialObjective):
    """A discriminator that reads features together with the classes they are predicted to be.

    With `entropy`, each unit counts by `1 + exp(-H(p))`, normalised within its domain. As in the
    authors' code, no gradient reaches the predictions; with `through_predictions`, product and
    entropy weights pass it on, reversed, as in the paper's formulas.
    """

    config_class = CdanConfig
    summary = "a discriminator that reads features and predicted classes together"
    paper = "Long et al. 2018, NeurIPS"

    def __init__(self, config: CdanConfig, setup: Setup) -> None:
        joint = MultilinearMap(setup.features, setup.num_labels, config.random_dim)
        self._joint_size = joint.size
        super().__init__(config, setup)
        self.joint = joint

    def input_size(self, setup: Setup) -> int:
        """Width of the multilinear map."""
        return self._joint_size

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`cdan`; measurements `cdan/accuracy`, `cdan/entropy` and `cdan/lambda`."""
        source, target, strength = self.prepared(source, target, progress)
        task_logits = torch.cat([source.logits, target.logits])
        if self.config.through_predictions:
            task_logits = reverse_gradient(task_logits, strength)
        else:
            task_logits = task_logits.detach()
        features = reverse_gradient(torch.cat([source.features, target.features]), strength)
        logits = self.discriminator(self.joint(features, task_logits.softmax(-1)))
        if self.config.entropy:
            certainty = 1.0 + torch.exp(-entropy(task_logits))
            parts = certainty.split([len(source), len(target)])
            source, target = (
                replace(side, weights=part if side.weights is None else side.weights * part)
                for side, part in zip((source, target), parts, strict=True)
            )
        loss, measured = domain_loss(logits, source, target)
        measured["lambda"] = torch.tensor(strength)
        return {"cdan": loss, **{f"cdan/{name}": value for name, value in measured.items()}}
