"""A test on two rows before training: is the gradient reversed, and does the target count?"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import EncodedRows, to_tensors
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.errors import RunError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.objectives.base import StepView
from nlp_adapt.objectives.dann import AdversarialObjective
from nlp_adapt.training.model import AdaptationModel

TOLERANCE = 1e-2


def self_test(
    model: AdaptationModel, rows: Mapping[str, EncodedRows], pad_id: int, device: torch.device
) -> None:
    """Check every adversarial objective of a stage on its first source and target row.

    The gradient that reaches the encoder must be `-lambda` times the one that an unreversed
    discriminator sends, the discriminator's own must be unreversed, and both rows must have a part
    in it. Weights, buffers and random generators are left as they were.

    Raises:
        RunError: If it is not so: the objective is wired wrongly.
    """
    adversaries = {
        name: objective
        for name, objective in model.objectives.items()
        if isinstance(objective, AdversarialObjective)
    }
    encoder = [p for p in model.task_model.parameters() if p.requires_grad]
    if not adversaries or not encoder or not {"source", "target"} <= set(rows):
        return
    one_each = {side: _first_row(rows[side]) for side in ("source", "target")}
    (batch,) = PairedBatches(one_each, total_steps=1, batch_size=1, pad_id=pad_id, seed=0).step(0)
    tensors = {k: v for k, v in batch.items() if hasattr(v, "dtype")}
    ready = {**batch, **to_tensors(tensors, device)}
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for name, objective in adversaries.items():
                _test_one(name, objective, model, ready)
    finally:
        model.train(was_training)


def _first_row(rows: EncodedRows) -> EncodedRows:
    """The first row that holds a unit."""
    import numpy as np

    return rows.select(np.flatnonzero(rows.unit_counts > 0)[:1])


def _test_one(name: str, objective: Any, model: AdaptationModel, batch: dict[str, Any]) -> None:
    before = copy.deepcopy(objective.state_dict())
    try:
        strength = objective.strength(Progress(1, 1))
        found, own = _gradients(name, objective, model, batch, strength)
        plain, plain_own = _gradients(name, objective, model, batch, -1.0)
    finally:
        objective.load_state_dict(before)
    size = plain.norm()
    if strength == 0.0 or size == 0.0:
        return
    if (found + strength * plain).norm() > TOLERANCE * strength * size:
        raise RunError(
            f"objective '{name}': the gradient that reaches the encoder is not the discriminator's "
            f"times -{strength:g}; this is a fault of the objective: train without it and report it."
        )
    if (own - plain_own).norm() > TOLERANCE * plain_own.norm():
        raise RunError(f"objective '{name}': the discriminator's own gradient is reversed too.")


def _gradients(
    name: str, objective: Any, model: AdaptationModel, batch: dict[str, Any], strength: float
) -> tuple[Tensor, Tensor]:
    """Gradients of one term by the word embeddings of both rows, and by the discriminator."""
    torch.manual_seed(0)  # both calls must draw the same, such as points between the domains
    seen: list[Tensor] = []

    def keep(module: Any, arguments: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    hook = model.task_model.get_input_embeddings().register_forward_hook(keep)
    objective.strength = lambda progress: strength
    try:
        view = StepView(
            batch=batch,
            progress=Progress(1, 1),
            encode=lambda inputs: model.reader.read(model.task_model, inputs),
            task_model=model.task_model,
        )
        term = objective(view)[name]
        own = [p for p in objective.parameters() if p.requires_grad]
        first, *rest = torch.autograd.grad(term, [seen[0], *own], allow_unused=True)
    finally:
        del objective.strength
        hook.remove()
    if first is None:
        raise RunError(f"objective '{name}': its gradient does not reach the encoder at all.")
    if strength != 0.0 and not first[1:].abs().sum() > 0:
        raise RunError(
            f"objective '{name}': the target row has no part in the discriminator's gradient."
        )
    parts = [part.flatten() for part in rest if part is not None]
    return first.flatten(), torch.cat(parts) if parts else first.new_zeros(1)
