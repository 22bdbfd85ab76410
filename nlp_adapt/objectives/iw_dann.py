"""Class-prior-aware adversaries: source units count as often as their class occurs in the target.

So they do in the adversary's loss and in the task's.

Tachet des Combes et al. 2020, "Domain Adaptation with Conditional Distribution Matching and
Generalized Label Shift", NeurIPS.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective, Dann
from nlp_adapt.objectives.label_shift import (
    bbse_weights,
    em_step,
    importance_weights,
    joint_distribution,
)
from nlp_adapt.objectives.statistics import (
    average_in,
    class_frequencies,
    counted,
    full_precision,
    labelled,
    select,
    shares,
)
from nlp_adapt.options import COUNT, NOT_NEGATIVE, SHARE, option


@dataclass(kw_only=True)
class PriorAwareConfig(AdversarialConfig):
    """Options of class-prior-aware adversaries."""

    estimator: str = option("bbse", "how target class frequencies are estimated", ("bbse", "em"))
    momentum: float = option(
        0.99, "share of the running statistics kept at each batch, 0 to 1", bounds=SHARE
    )
    task_weights: str | None = option(
        None,
        "how much classes count in the task loss: by the target's frequency over the source's, and "
        "balanced beside that (as the authors do), or alike; default: balanced for texts, shift for "
        "words",
        ("balanced", "shift", "none"),
    )
    max_weight: float = option(10.0, "largest weight of a class", bounds=COUNT)
    ridge: float = option(
        0.01, "pull of BBSE towards no shift, which calms noisy estimates", bounds=NOT_NEGATIVE
    )


class ClassPriors(nn.Module):
    """Running estimates of the class frequencies of both domains; buffers, so they are saved.

    Kept are moving averages over the batches of all processes: the joint of prediction and label on
    the source, the mean prediction on the target (BBSE) and the target priors of an online EM. All
    begin at the source's frequencies, given as label counts, where every weight is 1; that counts as
    much as one batch, so that short runs find the shift as well. A model that
    knows its source rows by heart predicts them too well: BBSE then tends to the plain mean
    prediction. Frequencies are those of weighted units, in both domains alike.
    """

    joint: Tensor
    target_mean: Tensor
    target_priors: Tensor
    seen: Tensor
    frequencies: Tensor

    def __init__(self, config: PriorAwareConfig, counts: Tensor, num_labels: int) -> None:
        super().__init__()
        self.config = config
        priors = class_frequencies(counts, num_labels)
        self.register_buffer("joint", torch.diag(priors))
        self.register_buffer("target_mean", priors.clone())
        self.register_buffer("target_priors", priors.clone())
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("frequencies", priors.clone(), persistent=False)

    @property
    def source_priors(self) -> Tensor:
        """`[classes]` class frequencies of the source."""
        return self.joint.sum(0)

    @torch.no_grad()
    def update(self, source: DomainOutput, target: DomainOutput) -> None:
        """Move the averages towards this batch's; a side without units (labels) changes nothing."""
        source, target = counted(labelled(source)), counted(target)
        joint = joint_distribution(source.probabilities, source.labels, shares(source))
        mean = shares(target) @ target.probabilities
        refined = em_step(
            target.probabilities, self.source_priors, self.target_priors, shares(target)
        )
        momentum, seen = self.config.momentum, self.seen
        average_in(self.joint, joint, len(source), momentum, seen[0])
        average_in(self.target_mean, mean, len(target), momentum, seen[1])
        average_in(self.target_priors, refined, len(target), momentum, seen[2])

    @torch.no_grad()
    def weights(self) -> Tensor:
        """`[classes]` target frequency over source frequency, clipped, with source mean 1."""
        priors = self.source_priors
        estimate = self.target_priors
        if self.config.estimator == "bbse":
            estimate = priors * bbse_weights(self.joint, self.target_mean, self.config.ridge)
        return importance_weights(priors, estimate, self.config.max_weight)

    def task_weights(self, kind: str) -> Tensor:
        """`[classes]` factors in the task loss: the `weights`, `balanced` by source frequency or not.

        Balanced, they are `w(y) / (classes * p_source(y))`: the error is the mean over classes, each
        of which counts by its weight.
        """
        if kind == "shift":
            return self.weights()
        return self.weights() / (len(self.frequencies) * self.frequencies.clamp_min(1e-12))


class PriorAware(AdversarialObjective):
    """Mixed into an adversarial objective: weights its source units, and the task's, by their class.

    Hiding the domain also hides how often each class occurs; where that differs, units of different
    classes get aligned. With the source weighted to the target's estimated class frequencies, only
    what differs within a class is left to hide. The task loss is weighted by the same frequencies, and
    for texts balanced as well (`ClassPriors.task_weights`), as in the authors' code. Each of several sources has frequencies and weights
    of its own (Shui et al. 2021, "Aggregating from Multiple Target-Shifted Sources", ICML); several
    targets count as their union.
    """

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__(config, setup)
        if setup.token_level and config.level == "row":
            raise ConfigError(
                "level: row has no meaning for class-prior-aware adversaries on words, since a "
                "sentence of words has no class; use level: unit."
            )
        default = "shift" if setup.token_level else "balanced"
        self.task_weights = self.config.task_weights or default
        counts = [setup.label_counts]
        if setup.num_sources > 1:
            counts = [*setup.source_label_counts]
            counts += [setup.label_counts] * (setup.num_sources - len(counts))
        first, *others = (ClassPriors(self.config, own, setup.num_labels) for own in counts)
        self.priors = first
        self.other_priors = nn.ModuleList(others)

    @property
    def every_prior(self) -> tuple[ClassPriors, ...]:
        """The estimates for each source."""
        return (self.priors, *(cast(ClassPriors, one) for one in self.other_priors))

    @torch.no_grad()
    def importance(self, source: DomainOutput) -> Tensor | None:
        """`[units]` factors of the source units in the task loss, by label and source."""
        if self.task_weights == "none":
            return None
        with torch.autocast(source.features.device.type, enabled=False):
            by_class = [one.task_weights(self.task_weights) for one in self.every_prior]
        labels = source.labels.clamp_min(0)
        if len(by_class) == 1:
            return by_class[0][labels]
        return torch.stack(by_class)[source.domains, labels]

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """The terms of the plain adversary under an `iw_` name, and the estimated shift.

        `prior_shift` is the total variation distance of the class frequencies, 0 to 1, on average
        over the sources.
        """
        priors = self.every_prior
        if self.training:
            for index, one in enumerate(priors):
                own = source
                if len(priors) > 1:
                    chosen = (source.domains == index).nonzero().squeeze(1)
                    own = replace(select(source, chosen), balance=None)
                one.update(own, target)
        by_class = [one.weights() for one in priors]
        factors = _class_factors(source, by_class[0])
        for index, weights in enumerate(by_class[1:], start=1):
            own_factors = _class_factors(source, weights)
            factors = torch.where(source.domains == index, own_factors, factors)
        if source.balance is not None:
            factors = factors * source.balance
        # Not as weights: these are made relative within a batch, and class weights are 1 on average
        # over the whole source, whatever a batch happens to hold.
        terms = super().losses(replace(source, balance=factors), target, progress)
        terms = {f"iw_{name}": value for name, value in terms.items()}
        name = next(iter(terms))
        shifts = [
            0.5 * (one.source_priors * (weights - 1.0)).abs().sum()
            for one, weights in zip(priors, by_class, strict=True)
        ]
        terms[f"{name}/prior_shift"] = torch.stack(shifts).mean()
        return terms


def _class_factors(source: DomainOutput, by_class: Tensor) -> Tensor:
    """`[units]` the weight of each unit's class; without a label, that of its prediction."""
    known = source.labels != IGNORED_LABEL
    return torch.where(
        known, by_class[source.labels * known], source.probabilities.detach() @ by_class
    )


class IwDann(PriorAware, Dann):
    """`dann` with source units weighted to the target's estimated class frequencies."""

    config_class = PriorAwareConfig
    summary = "dann with the source weighted to the target's estimated class frequencies"
    paper = "Tachet des Combes et al. 2020, NeurIPS"
