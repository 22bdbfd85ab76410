"""Zellinger et al. 2017, "Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning", ICLR."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import counted, full_precision, shares, zero
from nlp_adapt.options import COUNT, option


@dataclass(kw_only=True)
class CmdConfig(ObjectiveConfig):
    """Options of the central moment discrepancy."""

    moments: int = option(5, "highest central moment that is compared", bounds=COUNT)
    bound: str = option(
        "tanh", "how features come into [-1, 1]: tanh, or none if they are there", ("tanh", "none")
    )


class Cmd(Objective):
    """Sum over `k` of the distance of the domains' `k`-th central moments, each over `(b - a)^k`.

    Moments are per feature; the first is the mean. Features must lie in `[a, b] = [-1, 1]`, so
    unbounded ones go through a tanh first. Units count by their weights.
    """

    config_class = CmdConfig
    summary = "equal means and higher moments of each feature in both domains"
    paper = "Zellinger et al. 2017, ICLR"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`cmd`; zero where a side is empty."""
        source, target = counted(source), counted(target)
        if not len(source) or not len(target):
            return {"cmd": zero(source, target)}
        pairs = zip(self._moments(source), self._moments(target), strict=True)
        distances = [
            distance(left, right) / 2.0**order for order, (left, right) in enumerate(pairs, 1)
        ]
        return {"cmd": torch.stack(distances).sum()}

    def _moments(self, output: DomainOutput) -> list[Tensor]:
        """`[features]` mean, then central moments 2 to `moments`."""
        features = output.features.tanh() if self.config.bound == "tanh" else output.features
        weights = shares(output)
        mean = weights @ features
        centred = features - mean
        higher = [weights @ centred**order for order in range(2, self.config.moments + 1)]
        return [mean, *higher]


def distance(left: Tensor, right: Tensor) -> Tensor:
    """Euclidean distance, with a zero gradient where the two are equal."""
    return ((left - right).square().sum() + 1e-16).sqrt()
