"""Which number format the forward pass uses."""

import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch

from nlp_adapt.errors import ConfigError


def choose_precision(wanted: str, device: torch.device) -> str:
    """Resolve `auto` to `fp32` or `bf16`, and refuse what the device cannot do.

    On a GPU `auto` takes bf16 where the hardware has it. On a CPU it times one layer-sized product
    in both formats: processors without bf16 instructions emulate them, many times slower.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs a GPU; on a CPU use fp32, bf16 or auto.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    seconds = _layer_seconds((torch.float32, torch.bfloat16))
    return "bf16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision on `device`; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@cache
def _layer_seconds(
    formats: tuple[torch.dtype, ...], size: int = 768, rows: int = 256, repeats: int = 9
) -> dict[torch.dtype, float]:
    """Best time of one layer's product in each format, measured once in a process.

    An emulated format needs seconds for all rows: if a few of them take several times as long as in
    the first format, their times are the answer.
    """
    few = _best_seconds(formats, size, rows // 16, repeats=3)
    if max(few.values()) > 4 * few[formats[0]]:
        return few
    return _best_seconds(formats, size, rows, repeats)


def _best_seconds(
    formats: tuple[torch.dtype, ...], size: int, rows: int, repeats: int
) -> dict[torch.dtype, float]:
    """Best time of a product in each format, taken in turn: the machine may be busy."""
    inputs = {kind: torch.ones(rows, size, dtype=kind) for kind in formats}
    weights = {kind: torch.ones(size, 4 * size, dtype=kind) for kind in formats}
    best = dict.fromkeys(formats, float("inf"))
    with torch.inference_mode():
        for _ in range(repeats):
            for kind in formats:
                start = time.perf_counter()
                inputs[kind] @ weights[kind]
                best[kind] = min(best[kind], time.perf_counter() - start)
    return best
