"""What is saved of a stage: everything that its next step depends on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.files import flattened, nested
from nlp_adapt.training.accelerator import from_every_process
from nlp_adapt.training.saving.checkpoint import (
    Checkpoint,
    load_random,
    random_tensors,
    seed_process,
)
from nlp_adapt.training.sharding import shard_like, whole_tensor

# Objectives of finished stages, which a later one may go on from.
EARLIER = "earlier"
_FROM_RECIPE = ("lr", "initial_lr", "weight_decay")


def stage_state(training: Any, loop: Any) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Where a stage stands, and its tensors by group; every process must call it."""
    accelerator, main = training.accelerator, training.context.main
    # Before anything below could draw from them.
    states = enumerate(from_every_process(accelerator, random_tensors()))
    random = flattened({str(process): own for process, own in states})
    tensors, log = _state(loop, keep=main), training.log.state()
    earlier = {
        name: objective.state_dict()
        for name, objective in training.objectives.items()
        if name not in loop.trained.objectives
    }
    if earlier:
        tensors[EARLIER] = _whole(flattened(earlier), keep=main)
    tensors["random"] = random
    scaler = accelerator.scaler
    position = {
        "model": training.name,
        "stage": loop.number,
        "step": loop.step,
        "skipped": loop.skipped,
        "skipped_in_a_row": loop.skipped_in_a_row,
        "run_step": training.log.total_steps,
        "ledger": training.ledger.value,
        "processes": accelerator.num_processes,
        "scaler": None if scaler is None else scaler.state_dict(),
        "fingerprint": training.fingerprint,
        "inexact": training.inexact,
        "best": None if training.best is None else training.best.record(),
        "seconds": training.seconds,
        "log": log,
        "stream": None,
        "model_steps": training.steps,
        "callbacks": training.callbacks.saved(),
        "parameter_groups": _group_numbers(loop.plain_optimizer),
    }
    if isinstance(loop.batches, StreamedBatches):
        # The batch that the next step tries: the stream has read ahead of it.
        attempt = loop.step + loop.skipped
        position["stream"] = loop.batches.stream_state(attempt % loop.total_steps)
    return position, tensors


def restore_stage(training: Any, loop: Any, checkpoint: Checkpoint) -> None:
    """Put a stage back to where `stage_state` found it.

    Without the random state, or with another number of processes, the generators are seeded anew:
    the order of rows depends on the seed alone, but dropout will differ.
    """
    position, tensors = checkpoint.position, checkpoint.tensors
    accelerator = training.accelerator
    process = accelerator.process_index
    _load(loop, tensors)
    if "random" in tensors and position["processes"] == accelerator.num_processes:
        load_random(nested(tensors["random"])[str(process)])
    else:
        seed_process(training.config.seed, position["stage"], process, position["run_step"])
    if position["scaler"] and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(position["scaler"])
    loop.step, loop.skipped = position["step"], position["skipped"]
    loop.skipped_in_a_row = position["skipped_in_a_row"]
    loop.fast_forward_schedule(position["step"])
    kept = position.get("parameter_groups", [])  # none in the first release
    for group, numbers in zip(loop.plain_optimizer.param_groups, kept, strict=False):
        group.update(numbers)
    if isinstance(loop.batches, StreamedBatches) and position["stream"]:
        loop.batches.seek(position["stream"])
    training.ledger.value = position["ledger"]
    training.steps = position.get("model_steps", training.steps + position["step"])
    training.log.total_steps = position["run_step"]
    training.seconds_before = position.get("seconds", 0.0)


def _state(loop: Any, *, keep: bool) -> dict[str, dict[str, Tensor]]:
    """Weights, optimizer state and average as whole tensors, to which every process contributes."""
    groups = {
        "model": loop.trained.state_dict(),
        "optimizer": _optimizer_tensors(loop.plain_optimizer),
    }
    if loop.average is not None:
        groups["average"] = loop.average.tensors()
    return {name: _whole(group, keep=keep) for name, group in groups.items()}


def _whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Whole tensors in host memory, for the process that keeps them; the others only contribute."""
    found = {}
    for name, value in tensors.items():
        complete = whole_tensor(value)  # one at a time, so that the device holds one at most
        if keep:
            found[name] = complete.detach().cpu()
    return found


def _load(loop: Any, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load what `_state` returned, in shards or whole, however it was when it was saved.

    Without optimizer state the optimizer starts afresh, without an average the average starts at the
    weights as they are.
    """

    def shards(group: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = groups.get(group, {})
        return {name: shard_like(value, own.get(name)) for name, value in values.items()}

    loop.trained.load_state_dict(shards("model", loop.trained.state_dict()))
    if loop.average is not None:
        loop.average.load(shards("average", loop.average.tensors()))
    if "optimizer" in groups:
        _load_optimizer(loop.plain_optimizer, groups["optimizer"])


def _group_numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Numbers that an optimizer such as Prodigy has changed in its parameter groups.

    What it was made with comes from the recipe again, which an inexact resume may have changed, and
    rates from their schedule.
    """
    return [
        {
            name: value
            for name, value in group.items()
            if isinstance(value, (int, float))
            and name not in _FROM_RECIPE
            and value != optimizer.defaults.get(name)
        }
        for group in optimizer.param_groups
    ]


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, parameters numbered in group order."""
    state = flattened(optimizer.state_dict()["state"])
    return {name: torch.as_tensor(value) for name, value in state.items() if value is not None}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put `_optimizer_tensors` back."""
    parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    # Moments are sharded where their parameter is; the count of steps is a single number.
    state = {
        int(number): {
            name: shard_like(value, parameters.get(int(number)) if value.dim() else None)
            for name, value in own.items()
        }
        for number, own in nested(tensors).items()
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
