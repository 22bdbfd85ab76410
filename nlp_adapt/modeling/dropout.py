"""Dropout on a CPU in a third of the time: its random numbers are what it spends its time on.

PyTorch draws a number for each value that may be dropped. Sixteen random bits decide as well, with
a probability that is right to 1/131,072, and one call of the generator gives four times sixteen.
The values that stay are scaled by the probability as rounded, so that their mean is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 1 << 16
_LOWEST = -(1 << 15)
_torchs_own = F.dropout


@contextmanager
def quick_dropout() -> Iterator[None]:
    """Inside, `torch.nn.functional.dropout`, which `nn.Dropout` calls too, takes the quick way.

    The backward pass belongs inside too: checkpointed activations are then recomputed with the
    masks they had.
    """
    outside = F.dropout
    F.dropout = dropout
    try:
        yield
    finally:
        F.dropout = outside


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """As `torch.nn.functional.dropout`; on devices other than a CPU it is that function."""
    dropped = round(p * _STEPS)
    if not training or input.device.type != "cpu" or inplace or not 0 < dropped < _STEPS:
        return _torchs_own(input, p, training, inplace)
    size = input.numel()
    draws = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:size].view(input.shape)
    kept = (bits >= _LOWEST + dropped).to(input.dtype)
    return input * kept.mul_(_STEPS / (_STEPS - dropped))
