"""Crash-safe checkpoints: staged, synced, manifested with SHA-256, then renamed into place.

A checkpoint is a folder `step-<global step>` that holds tensors as safetensors and the rest as
JSON, never pickles. Its manifest lists every file with size and SHA-256, so that a torn or damaged
checkpoint is recognised and the one before it is used. The old checkpoint is deleted only after the
new one is in place and verified.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlp_adapt.errors import RunError

MANIFEST = "manifest.json"
STAGING = ".staging-"


@dataclass(frozen=True)
class Checkpoint:
    """One saved state.

    Attributes:
        path: Its folder.
        position: Where the run stands: model, stage, step and counters.
        tensors: Tensor groups by name: `model`, `optimizer`, `random`.
    """

    path: Path
    position: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]]


class CheckpointFolder:
    """The checkpoints of a run.

    Args:
        folder: Where they live.
        limit: How many are kept; the newest valid one is never removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def save(
        self, order: int, position: dict[str, Any], tensors: dict[str, dict[str, Tensor]]
    ) -> Path:
        """Write a checkpoint and rotate old ones.

        Args:
            order: Steps applied in the whole run, which orders checkpoints.
            position: JSON-ready description of where the run stands.
            tensors: Tensor groups, one file each.

        Raises:
            RunError: If the disk is full or the folder cannot be written; earlier checkpoints are
                untouched.
        """
        final = self.folder / f"step-{order:09d}"
        staging = self.folder / f"{STAGING}{final.name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f"{STAGING}*"):
                shutil.rmtree(leftover)
            staging.mkdir()
            for name, group in tensors.items():
                unique = {
                    key: value.detach().cpu().contiguous().clone() for key, value in group.items()
                }
                save_file(unique, staging / f"{name}.safetensors")
            (staging / "position.json").write_text(json.dumps(position, indent=1), encoding="utf-8")
            files = sorted(path for path in staging.iterdir())
            manifest = {
                path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
            }
            (staging / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            for path in [*files, staging / MANIFEST, staging]:
                sync(path)
            if final.exists():
                shutil.rmtree(final)
            os.rename(staging, final)
            sync(self.folder)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise RunError(
                f"{final}: the checkpoint could not be written ({error.strerror or error}); "
                "earlier checkpoints are intact: free some space and run again with resume."
            ) from error
        self._rotate()
        return final

    def latest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint whose files match its manifest, and what was wrong with newer ones."""
        problems: list[str] = []
        for path in reversed(self._all()):
            problem = verify(path)
            if problem is None:
                return _read(path), problems
            problems.append(problem)
        return None, problems

    def remove(self) -> None:
        """Delete all checkpoints, once a run has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []

    def _rotate(self) -> None:
        for path in self._all()[: -self.limit]:
            shutil.rmtree(path, ignore_errors=True)


def verify(path: Path) -> str | None:
    """What is wrong with a checkpoint folder, in one sentence, or None."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{path / MANIFEST}: missing or unreadable, so the checkpoint is not complete."
    for name, expected in manifest.items():
        file = path / name
        if not file.is_file():
            return f"{file}: missing."
        if file.stat().st_size != expected["bytes"] or sha256(file) != expected["sha256"]:
            return f"{file}: damaged (its SHA-256 differs from the manifest)."
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> Checkpoint:
    tensors = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    position = json.loads((path / "position.json").read_text(encoding="utf-8"))
    return Checkpoint(path, position, tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, parameters numbered in group order."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `optimizer_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_tensors() -> dict[str, Tensor]:
    """States of torch's random generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def load_random(states: dict[str, Tensor]) -> None:
    """Put `random_tensors` back."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
