"""Where a step's time goes: operators by kind, from the PyTorch profiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

# The first that fits; names as the profiler gives them.
KINDS: Mapping[str, tuple[str, ...]] = {
    "optimizer and clipping": ("Optimizer.", "adam", "foreach", "_amp_", "clip", "linalg_vector_norm"),
    "matrix products": (
        "addmm", "aten::mm", "bmm", "matmul", "linear", "scaled_dot_product", "flash", "gemm",
    ),
    "softmax": ("softmax",),
    "layer norm": ("layer_norm",),
    "GELU": ("gelu",),
    "random numbers of dropout": ("random", "dropout", "bernoulli"),
    "word embeddings": ("embedding", "index_select", "index_put", "gather", "scatter"),
    "copies and casts": ("copy", "clone", "aten::to", "contiguous", "aten::cat", "constant_pad"),
    "exchange between processes": ("c10d", "gloo", "nccl", "allreduce"),
    "element by element": (
        "aten::mul", "aten::add", "aten::div", "aten::sub", "aten::ge", "aten::where", "aten::sum",
        "aten::neg", "tanh", "fill_", "zero", "aten::masked",
    ),
}  # fmt: skip
REST = "everything else"
MATRICES = "matrix products"
MOST_OPERATORS = 12


def profile(step: Callable[[], Any], steps: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds a step of each kind and of the first operators, and how many there are.

    Args:
        step: Takes one step.
        steps: How many to look at.
        device: Where they run.
    """
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        for _ in range(steps):
            step()
    time_of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = {
        event.key: (getattr(event, time_of) / 1000 / steps, event.count / steps)
        for event in found.key_averages()
        if event.key.startswith(("aten::", "Optimizer.", "autograd::", "torch::", "c10d", "gloo"))
        or "Backward" in event.key
    }
    kinds: dict[str, float] = {}
    for name, (milliseconds, _) in events.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + milliseconds
    longest = sorted(events.items(), key=lambda item: -item[1][0])[:MOST_OPERATORS]
    return {
        "kinds": {name: round(value, 3) for name, value in sorted(kinds.items(), key=_by_time)},
        "operators": [[name, round(one[0], 3), round(one[1], 1)] for name, one in longest],
        "calls": round(sum(count for _, count in events.values())),
    }


def kind_of(operator: str) -> str:
    """The kind of an operator by its name."""
    for kind, marks in KINDS.items():
        if any(mark in operator for mark in marks):
            return kind
    return REST


def _by_time(item: tuple[str, float]) -> float:
    return -item[1]
