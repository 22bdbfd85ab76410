"""Sun & Saenko 2016, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV workshops."""

from dataclasses import dataclass

from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import counted, full_precision, shares, zero
from nlp_adapt.options import option


@dataclass(kw_only=True)
class CoralConfig(ObjectiveConfig):
    """Options of CORAL."""

    weight: float = option(100.0, "factor of this term; 1 / (4 d^2) makes the term itself tiny")


class Coral(Objective):
    """`|C_source - C_target|^2 / (4 d^2)`, with `C` the covariance of the `d` features.

    Units count by their weights. It compares second moments only: a shift of the mean alone leaves
    it at zero. A side with fewer than two units has no covariance and adds nothing.
    """

    config_class = CoralConfig
    summary = "equal feature covariances in both domains"
    paper = "Sun & Saenko 2016, ECCV workshops"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`coral`."""
        source, target = counted(source), counted(target)
        if len(source) < 2 or len(target) < 2:
            return {"coral": zero(source, target)}
        difference = covariance(source) - covariance(target)
        return {"coral": difference.square().sum() / (4.0 * len(difference) ** 2)}


def covariance(output: DomainOutput) -> Tensor:
    """`[features, features]` unbiased covariance of weighted units."""
    weights = shares(output).unsqueeze(1)
    centred = output.features - (weights * output.features).sum(0)
    correction = (1.0 - weights.square().sum()).clamp_min(1e-6)
    return (weights * centred).T @ centred / correction
