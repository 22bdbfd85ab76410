"""Tensors of which each process holds a share: put together, and taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn


def whole_tensor(value: Tensor) -> Tensor:
    """A tensor put together from its shards; every process must call it."""
    sharded: Any = value
    return sharded.full_tensor() if _is_sharded(value) else value


def whole(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Tensors put together from the shards of all processes, in host memory.

    Every process must call it.

    Args:
        tensors: Sharded and plain tensors by name, the same names on every process.
        keep: Whether this process wants them; otherwise it only helps the others.
    """
    found = {}
    for name, value in tensors.items():
        complete = whole_tensor(value)
        if keep:
            found[name] = complete.detach().cpu()
    return found


def shard_like(
    values: Mapping[str, Tensor], like: Mapping[str, Tensor | None]
) -> dict[str, Tensor]:
    """This process's shares of whole tensors; what is not sharded in `like` stays whole."""
    from torch.distributed.tensor import distribute_tensor

    found = {}
    for name, value in values.items():
        own: Any = like.get(name)
        if _is_sharded(own):
            # Every process has the whole tensor: nothing is sent.
            value = distribute_tensor(
                value.to(own.device), own.device_mesh, own.placements, src_data_rank=None
            )
        found[name] = value
    return found


@torch.no_grad()
def gather_into(plain: nn.Module, sharded: nn.Module) -> None:
    """Give a plain module the state of its sharded copy; every process must call it."""
    own = plain.state_dict()
    for name, value in sharded.state_dict().items():
        own[name].copy_(whole_tensor(value))


@torch.no_grad()
def from_first_process(tensors: Iterable[Tensor]) -> None:
    """Give plain tensors the values that they have in the first process."""
    for tensor in tensors:
        values = tensor.detach().contiguous()
        torch.distributed.broadcast(values, src=0)
        tensor.copy_(values)


def _is_sharded(value: Any) -> bool:
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)
