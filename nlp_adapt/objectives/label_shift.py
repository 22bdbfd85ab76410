"""How often each class occurs in the target, estimated without its labels.

All functions assume label shift: domains differ in class frequencies, but not within a class. An
adversary aims at features where this holds.

BBSE: Lipton et al. 2018, "Detecting and Correcting for Label Shift with Black Box Predictors",
ICML; regularised as in Azizzadenesheli et al. 2019, "Regularized Learning for Domain Adaptation
under Label Shifts", ICLR. EM: Saerens et al. 2002, "Adjusting the Outputs of a Classifier to New a
Priori Probabilities", Neural Computation 14(1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def joint_distribution(probabilities: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """`[classes, classes]` share of units predicted as the row's class and labelled the column's.

    Args:
        probabilities: `[units, classes]` predictions; soft ones waste less of a small sample.
        labels: `[units]` true classes.
        shares: `[units]` weights; the result sums to their sum.
    """
    truth = F.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
    return (probabilities * shares.unsqueeze(1)).T @ truth


def bbse_weights(joint: Tensor, target_mean: Tensor, ridge: float = 0.01) -> Tensor:
    """`[classes]` importance weights `p_target(y) / p_source(y)` by black-box shift estimation.

    Least squares of `joint @ weights = target_mean`, drawn to weights of 1 by a ridge penalty, so
    that a classifier that cannot tell classes apart yields no shift rather than noise.

    Args:
        joint: `[classes, classes]`, see `joint_distribution`.
        target_mean: `[classes]` mean prediction on the target.
        ridge: Penalty, as a share of the norm of `joint.T @ joint`.
    """
    gram = joint.T @ joint
    penalty = (ridge * gram.norm()).clamp_min(1e-12)
    ones = torch.ones_like(target_mean)
    identity = torch.eye(len(ones), dtype=gram.dtype, device=gram.device)
    excess = torch.linalg.solve(gram + penalty * identity, joint.T @ (target_mean - joint @ ones))
    weights = (ones + excess).clamp_min(0.0)
    mass = (joint.sum(0) * weights).sum()
    return weights / mass.clamp_min(1e-12)


def em_step(
    probabilities: Tensor, source_priors: Tensor, target_priors: Tensor, shares: Tensor
) -> Tensor:
    """`[classes]` target priors after one step of expectation maximisation.

    Args:
        probabilities: `[units, classes]` calibrated predictions of a source model on the target.
        source_priors: `[classes]` class frequencies that the model was trained on.
        target_priors: `[classes]` the current estimate.
        shares: `[units]` weights of the units, with sum 1.
    """
    posterior = probabilities * (target_priors / source_priors.clamp_min(1e-12))
    posterior = posterior / posterior.sum(1, keepdim=True).clamp_min(1e-12)
    return shares @ posterior


def importance_weights(source_priors: Tensor, target_priors: Tensor, largest: float) -> Tensor:
    """`[classes]` weights `p_target(y) / p_source(y)` clipped to `[0, largest]`, then scaled to source mean 1.

    Classes that the source lacks get weight 0.
    """
    ratio = torch.where(source_priors > 0, target_priors / source_priors.clamp_min(1e-12), 0.0)
    ratio = ratio.clamp(0.0, largest)
    return ratio / (source_priors * ratio).sum().clamp_min(1e-12)
