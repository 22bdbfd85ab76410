"""Information maximisation: predictions that are certain one by one, and diverse together.

Krause et al. 2010, "Discriminative Clustering by Regularized Information Maximization", NeurIPS;
Liang et al. 2020, "Do We Really Need to Access the Source Data?", ICML (SHOT).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.errors import ConfigError
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
        "class frequencies expected in the target: equal ones, the source's, or the source's of the "
        "entity tags alone, with any number of entity words; default: target_class_shares if told, "
        "else uniform, or types for words",
        ("uniform", "source", "types"),
    )
    momentum: float = option(
        0.99, "share of the source's running frequencies kept at each batch", bounds=SHARE
    )


class InformationMaximisation(Objective):
    """Mean entropy of the target predictions plus `KL(mean prediction || prior)`.

    Under a uniform prior this is the negative mutual information of input and prediction, up to the
    constant `log(classes)`. Most words lie outside entities, how many differs between domains, so
    there the prior is that of the entity tags alone, in the source's running frequencies: the
    divergence is that of the tags given that a word is in an entity, times how many words are. All
    of these count units by their weights.
    """

    config_class = InformationMaximisationConfig
    trains_task_head = True
    summary = "target predictions certain one by one and diverse together"
    paper = "Krause et al. 2010, NeurIPS; Liang et al. 2020, ICML"

    source_frequencies: Tensor
    seen: Tensor

    def __init__(self, config: InformationMaximisationConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.prior = config.prior or ("uniform" if setup.outside is None else "types")
        self.outside = setup.outside
        if self.prior == "types" and self.outside is None:
            raise ConfigError("information_maximisation.prior 'types' is for words, not for texts.")
        uniform = self.prior == "uniform"
        counts = torch.ones(setup.num_labels) if uniform else setup.label_counts
        if config.prior is None and setup.target_shares is not None:
            self.prior, counts = "told", setup.target_shares
        self.register_buffer("source_frequencies", class_frequencies(counts, setup.num_labels))
        self.register_buffer("seen", torch.zeros(()))

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`information_maximisation`; its `conditional_entropy` and `divergence`, in nats."""
        name = "information_maximisation"
        if self.training and self.prior in ("source", "types"):
            self._update_prior(source)
        if not len(target):
            return {name: zero(target)}
        conditional = target.mean(entropy(target.logits))
        mean = shares(target) @ target.probabilities
        prior = self.source_frequencies.clamp_min(1e-6)
        if self.prior == "types":
            tags = torch.arange(len(mean), device=mean.device) != self.outside
            mean, prior = mean[tags], prior[tags] / prior[tags].sum() * mean[tags].sum()
        divergence = (mean * (mean.clamp_min(1e-12).log() - prior.clamp_min(1e-12).log())).sum()
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
        average_in(
            self.source_frequencies, frequencies, len(known), self.config.momentum, self.seen
        )
