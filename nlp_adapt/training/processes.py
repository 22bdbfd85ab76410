"""What the processes of one run tell each other; with a single process nothing is sent."""

from __future__ import annotations

from typing import Any

import torch


def any_process(accelerator: Any, *flags: bool) -> tuple[bool, ...]:
    """For each flag, whether it is set on any process: the same answer everywhere."""
    if accelerator.num_processes == 1:
        return flags
    mine = torch.tensor(flags, dtype=torch.int64, device=accelerator.device)
    total = accelerator.reduce(mine, reduction="sum")
    return tuple(bool(count) for count in total.tolist())


def from_every_process(accelerator: Any, value: Any) -> list[Any]:
    """`value` of each process, in the order of the processes."""
    if accelerator.num_processes == 1:
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def from_main_process(value: Any) -> Any:
    """The main process's `value`, on every process."""
    from accelerate.utils import broadcast_object_list

    values = [value]
    broadcast_object_list(values)
    return values[0]


def summed(accelerator: Any, values: Any) -> Any:
    """A float32 array summed over processes."""
    if accelerator is None or accelerator.num_processes == 1:
        return values
    tensor = torch.from_numpy(values).to(accelerator.device)
    return accelerator.reduce(tensor, reduction="sum").cpu().numpy()


def mean_of_logs(parts: list[dict[str, float]]) -> dict[str, float]:
    """Means by name over the processes that have measured it."""
    names = sorted({name for part in parts for name in part})
    means = {}
    for name in names:
        values = [part[name] for part in parts if name in part]
        means[name] = sum(values) / len(values)
    return means
