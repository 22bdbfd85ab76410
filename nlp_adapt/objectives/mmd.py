"""Maximum mean discrepancy with several Gaussian kernels.

Gretton et al. 2012, "A Kernel Two-Sample Test", JMLR 13; Long et al. 2015, "Learning Transferable
Features with Deep Adaptation Networks", ICML.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import counted, full_precision, shares, subsample, zero
from nlp_adapt.options import COUNT, option


@dataclass(kw_only=True)
class KernelConfig(ObjectiveConfig):
    """Options that kernel discrepancies share."""

    kernels: int = option(
        5, "Gaussian kernels; bandwidths double from one to the next", bounds=COUNT
    )
    bandwidth: str = option(
        "median",
        "which squared distance of a batch the middle kernel has as bandwidth",
        ("median", "mean"),
    )
    max_units: int = option(
        512, "units of each domain that are compared; more are subsampled", bounds=COUNT
    )


class Mmd(Objective):
    """The squared distance of the domains' mean embeddings in the space of the kernels.

    The estimate is the biased one, never negative, averaged over kernels; units count by their
    weights. It is a statistic of one micro-batch, so larger ones estimate it better.
    """

    config_class = KernelConfig
    summary = "maximum mean discrepancy of the features, several Gaussian kernels"
    paper = "Gretton et al. 2012, JMLR 13; Long et al. 2015, ICML"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`mmd`; zero where a side is empty."""
        source, target = counted(source), counted(target)
        if not len(source) or not len(target):
            return {"mmd": zero(source, target)}
        config = self.config
        source, target = subsample(source, config.max_units), subsample(target, config.max_units)
        features = torch.cat([source.features, target.features])
        difference = torch.cat([shares(source), -shares(target)])
        kernel = gaussian_kernels(features, config.kernels, config.bandwidth)
        return {"mmd": difference @ kernel @ difference}


def gaussian_kernels(features: Tensor, kernels: int, bandwidth: str) -> Tensor:
    """`[units, units]` mean of Gaussian kernels `exp(-distance^2 / bandwidth)`.

    The middle bandwidth is the median or mean squared distance between two units, without
    gradient: the features cannot lower the loss by scaling it.
    """
    centred = features - features.detach().mean(0)
    norms = centred.square().sum(1)
    distances = (norms.unsqueeze(0) + norms.unsqueeze(1) - 2.0 * centred @ centred.T).clamp_min(0.0)
    with torch.no_grad():
        apart = distances[torch.ones_like(distances, dtype=torch.bool).triu(1)]
        middle = apart.median() if bandwidth == "median" else apart.mean()
        middle = middle.clamp_min(1e-6)
    scales = [2.0 ** (index - kernels // 2) for index in range(kernels)]
    return torch.stack([torch.exp(-distances / (middle * scale)) for scale in scales]).mean(0)
