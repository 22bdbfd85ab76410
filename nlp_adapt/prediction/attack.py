"""Scores under attack: how a task model does when its input embeddings are perturbed."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.cpu import autocast
from nlp_adapt.modeling.perturbation import (
    fgm_perturbation,
    perturbed,
    pgd_perturbation,
    refuse_unperturbable,
)
from nlp_adapt.modeling.units import unit_logits, without_dropout
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.prediction.opening import EnsemblePredictor
from nlp_adapt.prediction.predictor import Predictor, prediction_batches

ATTACKS = ("fgm", "pgd")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """The worst small step on the embeddings of each row.

    Attributes:
        kind: `fgm` (one gradient step, Miyato et al. 2017) or `pgd` (several, Madry et al. 2018).
        epsilon: Size of a row's perturbation, as a share of its word embeddings' L2 norm; 0 leaves
            the row as it is.
        steps: Steps of `pgd`.
        step_size: Length of a step of `pgd`, as a share of epsilon.
    """

    kind: str = "fgm"
    epsilon: float = 0.02
    steps: int = 10
    step_size: float = 0.25

    def __post_init__(self) -> None:
        if self.kind not in ATTACKS:
            raise ConfigError(f"attack is '{self.kind}', but must be one of {', '.join(ATTACKS)}.")
        if not 0.0 <= self.epsilon < math.inf:
            raise ConfigError(f"epsilon is {self.epsilon}, but must be 0 or more.")
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, but must be at least 1.")
        if not 0.0 < self.step_size < math.inf:
            raise ConfigError(f"step_size is {self.step_size}, but must be above 0.")

    def perturbation(self, model: Any, batch: dict[str, Any], loss: Callable[[], Tensor]) -> Tensor:
        """What to add to the word embeddings of a batch, `[rows, width, size]`."""
        if self.kind == "fgm":
            return fgm_perturbation(model, batch, loss, self.epsilon)
        return pgd_perturbation(model, batch, loss, self.epsilon, self.steps, self.step_size)

    def to_dict(self) -> dict[str, Any]:
        """The options that count: those of `pgd` only with it."""
        only_pgd = () if self.kind == "pgd" else ("steps", "step_size")
        return {name: value for name, value in asdict(self).items() if name not in only_pgd}


def attacked_logits(predictor: Predictor, rows: EncodedRows, attack: Attack) -> np.ndarray:
    """Logits `[units, classes]` under attack, in float32 and in the order of the rows' units.

    Batches are those of `Predictor.logits`, so with epsilon 0 the logits are the same too. A row
    without labels is left as it is: there is nothing to be wrong about. The model's parameters,
    their gradients and its mode stay as they are.

    Raises:
        ConfigError: If no unit has a label, or there are several models in one.
    """
    if isinstance(predictor, EnsemblePredictor):
        raise ConfigError("an attack needs a single model: attack the members of an ensemble.")
    if not (rows.labels != IGNORED_LABEL).any():
        raise ConfigError("attack: no row has a label, so there is nothing to be wrong about.")
    model: Any = predictor.task_model
    refuse_unperturbable(model, "attack")
    logits = np.zeros((rows.units, model.config.num_labels), dtype=np.float32)
    device = next(model.parameters()).device
    pad_id = predictor.tokenizer.pad_token_id or 0
    batches = prediction_batches(rows, device, pad_id=pad_id, batch_size=predictor.batch_size)
    for chosen, batch in batches:
        with without_dropout(model), autocast(device, predictor.precision):
            values = _attack_batch(model, batch, attack)
        logits[rows.units_of(chosen)] = values.cpu().numpy()
    return logits


def damage(clean: np.ndarray, attacked: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """What an attack did to the labelled units.

    Logits are `[units, classes]`, labels `[units]`, -100 where unknown.

    Returns:
        `accuracy`, `accuracy_under_attack`, `flipped` (share of the units predicted right that the
        attack turns wrong), mean `loss` and `loss_under_attack`, and the number of `units`.
    """
    known = labels != IGNORED_LABEL
    right, still = ((values.argmax(-1) == labels)[known] for values in (clean, attacked))
    return {
        "accuracy": float(right.mean()),
        "accuracy_under_attack": float(still.mean()),
        "flipped": float((right & ~still).sum() / right.sum()) if right.any() else 0.0,
        "loss": _cross_entropy(clean[known], labels[known]),
        "loss_under_attack": _cross_entropy(attacked[known], labels[known]),
        "units": int(known.sum()),
    }


def _attack_batch(model: Any, batch: dict[str, Any], attack: Attack) -> Tensor:

    def logits() -> Tensor:
        return unit_logits(model, batch).float()

    def loss() -> Tensor:
        return F.cross_entropy(
            logits(), batch["labels"], ignore_index=IGNORED_LABEL, reduction="sum"
        )

    perturbation = attack.perturbation(model, batch, loss)
    with torch.no_grad(), perturbed(model, perturbation):
        return logits()


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels)))
