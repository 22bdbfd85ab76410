"""Grandvalet and Bengio 2004, "Semi-supervised Learning by Entropy Minimization", NeurIPS."""

from dataclasses import dataclass

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import TARGET_SIDE, Objective, ObjectiveConfig
from nlp_adapt.objectives.statistics import entropy, full_precision
from nlp_adapt.options import option


@dataclass(kw_only=True)
class EntropyConfig(ObjectiveConfig):
    """Options of entropy minimisation."""

    weight: float = option(0.1, "factor of this term; a large one fixes early mistakes")


class Entropy(Objective):
    """Mean entropy of the predictions on the target, in nats, made small.

    It moves the decision boundary away from target units, but nothing keeps it from predicting a
    single class; `information_maximisation` and `mcc` do.
    """

    config_class = EntropyConfig
    reads = TARGET_SIDE
    trains_task_head = True
    summary = "certain predictions on the target"
    paper = "Grandvalet & Bengio 2004, NeurIPS"

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`entropy`."""
        return {"entropy": target.mean(entropy(target.logits))}
