"""Information maximisation: predictions that are certain one by one, and diverse together.

Krause et al. 2010, "Discriminative Clustering by Regularized Information Maximization", NeurIPS;
Liang et al. 2020, "Do We Really Need to Access the Source Data?", ICML (SHOT).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup
from nlp_adapt.objectives.statistics import (
    average_in,
    class_frequencies,
    counted,
    entropy,
    full_precision,
    labelled,
    shares,
    zero,
)
from nlp_adapt.options import NOT_NEGATIVE, SHARE, option


@dataclass(kw_only=True)
class InformationMaximisationConfig(ObjectiveConfig):
    """Options of information maximisation."""

    marginal_weight: float = option(
        1.0, "weight of the mean prediction's distance from the prior", bounds=NOT_NEGATIVE
    )
    prior: str | None = option(
        None,
        "class frequencies expected in the target; default: target_class_shares if told, else "
        "uniform, or the source's for words",
        ("uniform", "source"),
    )
    momentum: float = option(
        0.99, "share of the source's running frequencies kept at each batch", bounds=SHARE
    )


class InformationMaximisation(Objective):
    """Mean entropy of the target predictions plus `KL(mean prediction || prior)`.

    Under a uniform prior this is the negative mutual information of input and prediction, up to the
    constant `log(classes)`. Most words lie outside entities, so there the prior is the source's
    running class frequencies. All of these count units by their weights.
    """

    config_class = InformationMaximisationConfig
    trains_task_head = True
    summary = "target predictions certain one by one and diverse together"
    paper = "Krause et al. 2010, NeurIPS; Liang et al. 2020, ICML"

    source_frequencies: Tensor

    def __init__(self, config: InformationMaximisationConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.prior = config.prior or ("source" if setup.token_level else "uniform")
        counts = setup.label_counts if self.prior == "source" else torch.ones(setup.num_labels)
        if config.prior is None and setup.target_shares is not None:
            self.prior, counts = "told", setup.target_shares
        self.register_buffer("source_frequencies", class_frequencies(counts, setup.num_labels))

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`information_maximisation`; its `conditional_entropy` and `divergence`, in nats."""
        name = "information_maximisation"
        if self.training and self.prior == "source":
            self._update_prior(source)
        if not len(target):
            return {name: zero(target)}
        conditional = target.mean(entropy(target.logits))
        mean = shares(target) @ target.probabilities
        prior = self.source_frequencies.clamp_min(1e-6)
        divergence = (mean * (mean.clamp_min(1e-12).log() - prior.log())).sum()
        return {
            name: conditional + self.config.marginal_weight * divergence,
            f"{name}/conditional_entropy": conditional.detach(),
            f"{name}/divergence": divergence.detach(),
        }

    @torch.no_grad()
    def _update_prior(self, source: DomainOutput) -> None:
        known = counted(labelled(source))
        classes = F.one_hot(known.labels, len(self.source_frequencies)).float()
        frequencies = shares(known) @ classes
        average_in(self.source_frequencies, frequencies, len(known), self.config.momentum)
