"""The states of all random generators as tensors, one set a process."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.errors import RunError


def random_tensors() -> dict[str, Tensor]:
    """States of the generators of torch, its device, NumPy and Python in this process."""
    version, words, gauss = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *words], dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
    }
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    if kind == "MT19937":
        states["numpy"] = torch.from_numpy(np.asarray(keys, dtype=np.int64))
        states["numpy_rest"] = torch.tensor([position, has_gauss, cached], dtype=torch.float64)
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def load_random(states: dict[str, Tensor]) -> None:
    """Put `random_tensors` back.

    Raises:
        RunError: If the state of a generator in use is missing.
    """
    for name in ("torch", "python", "python_gauss"):
        if name not in states:
            raise RunError(f"the state of the random generator '{name}' is missing.")
    torch.set_rng_state(states["torch"])
    version, *words = states["python"].tolist()
    gauss = states["python_gauss"].tolist()
    random.setstate((version, tuple(words), gauss[0] if gauss else None))
    if "numpy" in states:
        position, has_gauss, cached = states["numpy_rest"].tolist()
        keys = states["numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, int(position), int(has_gauss), cached))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def seed_process(seed: int, stage: int, process: int, step: int = 0) -> None:
    """Give a process other than the first its own dropout and masks.

    The first keeps the generators as they are, so that one process is the run without a launcher.
    """
    if process or step:
        mixed = np.random.SeedSequence([seed, stage, process, step]).generate_state(1, np.uint64)
        torch.manual_seed(int(mixed[0] >> np.uint64(1)))


def by_process(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The states of every process in one group: `0.torch`, `1.torch`, ..."""
    return {
        f"{process}.{name}": value
        for process, part in enumerate(parts)
        for name, value in part.items()
    }


def of_process(states: dict[str, Tensor], process: int) -> dict[str, Tensor]:
    """The states of one process from `by_process`."""
    start = f"{process}."
    return {
        name.removeprefix(start): value for name, value in states.items() if name.startswith(start)
    }
