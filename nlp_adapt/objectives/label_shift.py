"""How often each class occurs in the target, estimated without its labels.

All functions assume label shift: domains differ in class frequencies, but not within a class. An
adversary aims at features where this holds.

BBSE: Lipton et al. 2018, "Detecting and Correcting for Label Shift with Black Box Predictors",
ICML; regularised as in Azizzadenesheli et al. 2019, "Regularized Learning for Domain Adaptation
under Label Shifts", ICLR. EM: Saerens et al. 2002, "Adjusting the Outputs of a Classifier to New a
Priori Probabilities", Neural Computation 14(1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def joint_distribution(probabilities: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """`[classes, classes]` share of units predicted as the row's class and labelled the column's.

    Soft predictions `[units, classes]` waste less of a small sample than classes. The result sums to
    the sum of the units' `shares`.
    """
    truth = F.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
    return (probabilities * shares.unsqueeze(1)).T @ truth


def bbse_weights(joint: Tensor, target_mean: Tensor, ridge: float = 0.01) -> Tensor:
    """`[classes]` importance weights `p_target(y) / p_source(y)` by black-box shift estimation.

    Solves `joint @ weights = target_mean` (see `joint_distribution`; the mean prediction on the
    target) by least squares. A penalty of `ridge` times the norm of `joint.T @ joint` draws weights
    to 1, so that a classifier that cannot tell classes apart yields no shift rather than noise.
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

    `probabilities` `[units, classes]` are calibrated target predictions of a model trained on the
    `source_priors`; `target_priors` is the current estimate; the units' `shares` sum to 1.
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
