"""Zhang et al. 2019, "Bridging Theory and Algorithm for Domain Adaptation", ICML."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from nlp_adapt.modeling.discriminator import reverse_gradient
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective
from nlp_adapt.objectives.statistics import full_precision, negative_log_complement
from nlp_adapt.options import NOT_NEGATIVE, POSITIVE, option


@dataclass(kw_only=True)
class MddConfig(AdversarialConfig):
    """Options of the margin disparity discrepancy; the discriminator is a second classifier."""

    lambda_max: float | None = option(
        0.1, "final strength of the gradient reversal, the authors'", bounds=NOT_NEGATIVE
    )
    margin: float = option(
        4.0, "exp of the margin: weight of agreement on the source", bounds=POSITIVE
    )


class Mdd(AdversarialObjective):
    """A second classifier agrees with the task's on the source and disagrees on the target.

    With `y` the task model's prediction, it minimises `margin * -log p(y)` on the source plus
    `-log(1 - p(y))` on the target. The encoder, through the reversal, learns features that allow no
    such disagreement. `y` is a constant: no gradient reaches the task head.
    """

    config_class = MddConfig
    summary = "a second classifier that must not disagree on the target alone"
    paper = "Zhang et al. 2019, ICML"

    def __init__(self, config: MddConfig, setup: Setup) -> None:
        # The discriminator's outputs are the task's classes, not domains.
        super().__init__(config, replace(setup, num_sources=setup.num_labels - 1, num_targets=1))

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`mdd`; measurements `mdd/disagreement` (share of the target) and `mdd/lambda`."""
        source, target, strength = self.prepared(source, target, progress)
        features = torch.cat([source.features, target.features])
        logits = self.discriminator(reverse_gradient(features, strength))
        on_source, on_target = logits[: len(source)], logits[len(source) :]
        predicted = target.logits.argmax(-1)
        agree = F.cross_entropy(on_source, source.logits.argmax(-1), reduction="none")
        loss = self.config.margin * source.mean(agree) + target.mean(
            negative_log_complement(on_target, F.one_hot(predicted, on_target.shape[1]).bool())
        )
        differs = (on_target.argmax(-1) != predicted).float()
        return {
            "mdd": loss,
            "mdd/disagreement": differs.sum() / max(len(target), 1),
            "mdd/lambda": torch.tensor(strength),
        }
