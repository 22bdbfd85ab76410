"""Scores under attack: how a task model does when its input embeddings are perturbed."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.data.preprocessing import (
    IGNORED_LABEL,
    EncodedRows,
    budget_batches,
    collate,
    to_tensors,
)
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.perturbation import (
    fgm_perturbation,
    perturbed,
    pgd_perturbation,
    without_dropout,
)

ATTACKS = ("fgm", "pgd")


def attack(
    task_model: Any,
    rows: EncodedRows,
    *,
    kind: str = "fgm",
    epsilon: float = 0.02,
    steps: int = 10,
    step_size: float = 0.25,
    pad_id: int = 0,
    tokens: int = 8192,
    batch_size: int = 64,
) -> dict[str, float]:
    """Accuracy over the labelled units, clean and under attack.

    Args:
        task_model: An `AutoModelFor*` classification model; its parameters, their gradients and
            its mode stay as they are.
        rows: Labelled rows; units are sentences or words.
        kind: `fgm` (one gradient step, Miyato et al. 2017) or `pgd` (several, Madry et al. 2018).
        epsilon: Size of a row's perturbation, as a share of its word embeddings' L2 norm.
        steps: Steps of `pgd`.
        step_size: Length of a step of `pgd`, as a share of epsilon.
        pad_id: Token id of padding.
        tokens: Most tokens in a batch, padding included.
        batch_size: Most rows in a batch.

    Returns:
        `accuracy`, `accuracy_under_attack`, `flipped` (share of the units predicted right that the
        attack turns wrong), mean `loss` and `loss_under_attack`, and the number of `units`.

    Raises:
        ConfigError: If the attack is unknown, epsilon is not positive, or no unit has a label.
    """
    if kind not in ATTACKS:
        raise ConfigError(f"attack is '{kind}', but must be one of {', '.join(ATTACKS)}.")
    if not epsilon > 0.0 or steps < 1:
        raise ConfigError("attack: epsilon must be above 0, and steps at least 1.")
    if not (rows.labels != IGNORED_LABEL).any():
        raise ConfigError("attack: no row has a label, so there is no accuracy to measure.")
    device = next(task_model.parameters()).device
    sums = torch.zeros(6, dtype=torch.float64)
    with without_dropout(task_model):
        for chosen in budget_batches(rows, tokens=tokens, most_rows=batch_size):
            width = -(-int(rows.lengths[chosen].max()) // 8) * 8
            batch = to_tensors(collate([(rows, chosen)], width=width, pad_id=pad_id), device)
            sums += _attack_batch(task_model, batch, kind, epsilon, steps, step_size)
    units, hits, hits_attacked, kept, loss, loss_attacked = sums.tolist()
    return {
        "accuracy": hits / units,
        "accuracy_under_attack": hits_attacked / units,
        "flipped": 1.0 - kept / hits if hits else 0.0,
        "loss": loss / units,
        "loss_under_attack": loss_attacked / units,
        "units": int(units),
    }


def _attack_batch(
    model: Any, batch: dict[str, Any], kind: str, epsilon: float, steps: int, step_size: float
) -> Tensor:
    """Units, hits, hits under attack, hits in both, and both summed losses of one batch."""
    labels = batch["labels"]

    def logits() -> Tensor:
        output = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits.float()
        if "unit_positions" in batch:
            output = output.flatten(0, 1).index_select(0, batch["unit_positions"])
        return output

    def loss_of(values: Tensor) -> Tensor:
        return F.cross_entropy(values, labels, ignore_index=IGNORED_LABEL, reduction="sum")

    def loss() -> Tensor:
        return loss_of(logits())

    if kind == "fgm":
        perturbation = fgm_perturbation(model, batch, loss, epsilon)
    else:
        perturbation = pgd_perturbation(model, batch, loss, epsilon, steps, step_size)
    with torch.no_grad():
        clean = logits()
        with perturbed(model, perturbation):
            attacked = logits()
        known = labels != IGNORED_LABEL
        right = (clean.argmax(-1) == labels) & known
        still = (attacked.argmax(-1) == labels) & known
        numbers = [known.sum(), right.sum(), still.sum(), (right & still).sum()]
        return torch.stack([*numbers, loss_of(clean), loss_of(attacked)]).double().cpu()
