"""What the machine can do at best, measured between the steps: a product of matrices, a copy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

SIZE = 2048
COPIED_MIB = 128
SECONDS = 0.15


class Ceiling:
    """Measures both, for about `seconds` each.

    Args:
        device: Where.
        precision: `fp32`, `bf16` or `fp16`: the format of the products.
        size: Rows and columns of the square matrices.
        mib: Size of what is copied: far more than a cache holds.
        seconds: How long to measure.
    """

    def __init__(
        self,
        device: torch.device,
        precision: str,
        *,
        size: int = SIZE,
        mib: int = COPIED_MIB,
        seconds: float = SECONDS,
    ) -> None:
        kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds[precision]
        self.device, self.seconds = device, seconds
        self.left = torch.randn(size, size, device=device).to(kind)
        self.right = torch.randn(size, size, device=device).to(kind)
        self.copied = torch.ones(mib * 2**18, device=device)
        self.copy = torch.empty_like(self.copied)
        self.measure()  # the first product of a shape is compiled

    def measure(self) -> dict[str, float]:
        """Operations a second of a product, and bytes a second of a copy, read and written."""
        operations = 2.0 * self.left.shape[0] ** 3
        moved = 2.0 * self.copied.numel() * self.copied.element_size()
        with torch.inference_mode():
            product = self._once(lambda: torch.nn.functional.linear(self.left, self.right))
            copy = self._once(lambda: self.copy.copy_(self.copied))
        return {"flops": operations / product, "bytes": moved / copy}

    def _once(self, work: Callable[[], Any]) -> float:
        """Median seconds of one go."""
        found: list[float] = []
        while sum(found) < self.seconds or len(found) < 3:
            clock = Clock(self.device)
            work()
            found.append(max(clock.seconds(), 1e-9))
        return statistics.median(found)


class Clock:
    """Seconds since it was made, on the clock that fits the device.

    On a CPU that is processor time, over all threads of the process: what other programs take of a
    shared machine is then not counted, nor is waiting for another process. With one thread on an
    empty machine both clocks agree.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        wait_for(device)
        self.wall_start, self.own_start = time.perf_counter(), time.process_time()

    def wall(self) -> float:
        """Seconds on the wall."""
        wait_for(self.device)
        return time.perf_counter() - self.wall_start

    def seconds(self) -> float:
        """Seconds to compare with others."""
        wall = self.wall()
        if self.device.type != "cpu":
            return wall
        return (time.process_time() - self.own_start) / torch.get_num_threads()


def wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
