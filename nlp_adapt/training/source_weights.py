"""How much each of several sources counts: the more, the nearer it is to the target.

The distance of two domains is the 2-Wasserstein distance of the round Gaussians that have their
features' mean and total variance (Dowson & Landau 1982, J. Multivariate Analysis 12; Gelbrich 1990,
Mathematische Nachrichten 147, for it as a lower bound of the true distance), in units of the
spread within domains. A source weighs `exp(-distance^2 / 2)`, the rule of Zhao et al. 2020,
"Multi-source Distilling Domain Adaptation", AAAI, with the distance of the nearest source as the
unit: what decides is how much farther a source is than the nearest, not the scale of the features.
No label is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from nlp_adapt.modeling.outputs import DomainOutput
from nlp_adapt.objectives import StepView
from nlp_adapt.objectives.statistics import sum_over_processes

MOMENTUM = 0.99
# Squared distances below it, a tenth of the spread, are no distance to speak of.
LEAST_SQUARE = 0.01
# Of a domain, before anything is said about it.
FEWEST_UNITS = 8


class SourceWeights(nn.Module):
    """Running moments of each domain's features, and the weights of the sources that follow.

    The moments are a buffer, equal in all processes, so that they are saved with checkpoints. Until
    some units of every domain were seen, as in stages that do not read the target, all sources count
    the same.

    Args:
        sources: Number of source domains, which have the indices from 0.
        targets: Number of target domains, which have the indices after them.
        features: Width of the features.
        names: What the sources are called.
    """

    moments: Tensor

    def __init__(
        self, sources: int, targets: int, features: int, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.sources = sources
        self.names = tuple(names) or tuple(map(str, range(sources)))
        # Of each domain: units, the sum of their squared norms, the sum of their features.
        self.register_buffer("moments", torch.zeros(sources + targets, 2 + features))

    @torch.no_grad()
    def update(self, source: DomainOutput, target: DomainOutput) -> None:
        """Take in the units of a batch; one with values that are not finite changes nothing."""
        features = torch.cat([source.features, target.features]).float()
        rows = torch.cat(
            [torch.ones_like(features[:, :1]), features.square().sum(1, keepdim=True), features], 1
        )
        domains = torch.cat([source.domains, target.domains])
        sums = torch.zeros_like(self.moments).index_add(0, domains, rows)
        sums = sum_over_processes(sums)
        kept = MOMENTUM * self.moments + sums
        self.moments.copy_(torch.where(sums.isfinite().all(), kept, self.moments))

    @torch.no_grad()
    def squared_distances(self) -> tuple[Tensor, Tensor]:
        """`[sources]` squared distances from the targets, on average, and their sampling noise.

        Both are 0 until enough units were seen.
        """
        units = self.moments[:, 0].clamp_min(1e-12)
        means = self.moments[:, 2:] / units.unsqueeze(1)
        spreads = (self.moments[:, 1] / units - means.square().sum(1)).clamp_min(0.0)
        k = self.sources
        shifts = (means[:k].unsqueeze(1) - means[k:].unsqueeze(0)).square().sum(-1)
        noise = (spreads / units)[:k].unsqueeze(1) + (spreads / units)[k:]
        widths = (spreads[:k].sqrt().unsqueeze(1) - spreads[k:].sqrt()).square()
        within = ((units * spreads).sum() / units.sum()).clamp_min(1e-12)
        squares = ((shifts - noise).clamp_min(0.0) + widths).mean(1) / within
        return squares * self._seen(), noise.mean(1) / within * self._seen()

    @torch.no_grad()
    def forward(self) -> Tensor:
        """`[sources]` weights with sum 1."""
        squares, noise = self.squared_distances()
        scale = squares.min().clamp_min(LEAST_SQUARE) + noise.max()
        return (-squares / (2.0 * scale)).softmax(0)

    def _seen(self) -> Tensor:
        """1 where every domain has been seen, else 0."""
        return (self.moments[:, 0] >= FEWEST_UNITS).all().to(self.moments.dtype)

    def applied(self, source: DomainOutput) -> DomainOutput:
        """The source's units with the share of each domain's in a mean set to its weight."""
        if source.balance is None:
            return source
        factors = self.sources * self().to(source.balance.dtype)
        return replace(source, balance=source.balance * factors[source.domains])

    def follow(self, view: StepView) -> dict[str, Tensor]:
        """Take in what a training step has seen of both sides; the weights and distances to log."""
        if self.training and "outputs" in vars(view):
            self.update(*view.outputs)
        squares, _ = self.squared_distances()
        terms = {}
        for name, weight, square in zip(self.names, self(), squares, strict=True):
            terms[f"source_weights/{name}"] = weight
            terms[f"source_distances/{name}"] = square.sqrt()
        return terms

    def report(self) -> dict[str, dict[str, float]]:
        """Weight and distance of each source by name."""
        squares, _ = self.squared_distances()
        columns = {"source_weights": self(), "source_distances": squares.sqrt()}
        return {
            key: {name: round(float(x), 4) for name, x in zip(self.names, values, strict=True)}
            for key, values in columns.items()
        }
