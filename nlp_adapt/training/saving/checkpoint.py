"""Crash-safe checkpoints: staged, synced, manifested with SHA-256, then renamed into place.

A checkpoint is a folder `step-<global step>` that holds tensors as safetensors and the rest as
JSON, never pickles. Its manifest lists every file with size and SHA-256, so that a torn or damaged
checkpoint is recognised and the one before it is used. The old checkpoint is deleted only after the
new one is in place and verified.
"""

import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlp_adapt.errors import RunError
from nlp_adapt.files import checksums, damage, sync
from nlp_adapt.training.saving.best import best_damage

MANIFEST = "manifest.json"
POSITION = "position.json"
GROUPS = "groups"
STAGING = ".staging-"
REPLACEABLE = frozenset({"optimizer.safetensors", "random.safetensors"})


@dataclass(frozen=True)
class Checkpoint:
    """One saved state.

    Attributes:
        position: Where the run stands: model, stage, step and counters.
        tensors: Tensor groups by name: `model`, `optimizer`, `random`, `average` if one is kept.
    """

    path: Path
    position: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]]


class CheckpointFolder:
    """The checkpoints of a run.

    Args:
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
            position: JSON-ready description of where the run stands.

        Raises:
            RunError: If the disk is full or the folder cannot be written; earlier checkpoints are
                untouched.
        """
        final = self.folder / f"step-{order:09d}"
        staging = self.folder / f"{STAGING}{final.name}"
        if final.exists() and verify(final) is None:  # saved before a stop at this very step
            return final
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            staging.mkdir()
            for name, group in tensors.items():
                unique = {
                    key: value.detach().cpu().contiguous().clone() for key, value in group.items()
                }
                save_file(unique, staging / f"{name}.safetensors")
            # The groups stand in the position as well: a manifest that lacks one is found out.
            where = json.dumps({**position, GROUPS: sorted(tensors)}, indent=1)
            (staging / POSITION).write_text(where, encoding="utf-8")
            files = sorted(path for path in staging.iterdir())
            manifest = json.dumps(checksums(files, staging), indent=1)
            (staging / MANIFEST).write_text(manifest, encoding="utf-8")
            for path in [*files, staging / MANIFEST, staging]:
                sync(path)
            if final.exists():
                shutil.rmtree(final)
            os.rename(staging, final)
            sync(self.folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(staging, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"{final}: the checkpoint could not be written ({reason}); "
                "earlier checkpoints are intact: free some space and run again with --resume."
            ) from error
        self._rotate()
        return final

    def latest(self, *, inexact: bool = False) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that can be gone on from, and what was wrong with newer ones.

        Its files match its manifest, and so do the best weights so far that it counts on, unless
        they are from a later step, which the run then comes to again.

        Args:
            inexact: If none is whole, take the newest that lacks nothing but the states of the
                optimizer or of the random generators.
        """
        problems: list[str] = []
        paths = list(reversed(self.paths()))
        for without in (frozenset(), REPLACEABLE) if inexact else (frozenset(),):
            lost = -1
            for path in paths:
                problem = verify(path, without)
                if problem is None:
                    checkpoint = read_checkpoint(path)
                    best = checkpoint.position.get("best")
                    if best and checkpoint.position["run_step"] >= lost:
                        folder = self.best(checkpoint.position["model"])
                        problem = best_damage(folder, best["step"])
                        lost = max(lost, best["step"])
                    if problem is None:
                        return checkpoint, problems
                if problem not in problems:
                    problems.append(problem)
        return None, problems

    def best(self, model: str) -> Path:
        """Where the best weights so far of a model of the run are kept."""
        return self.folder / "source_only" if model == "source_only" else self.folder

    def newest_step(self) -> int:
        """The run's step of the newest checkpoint, damaged or not; 0 if there is none."""
        paths = self.paths()
        return int(paths[-1].name.removeprefix("step-")) if paths else 0

    def remove(self) -> None:
        """Delete all checkpoints, once a run has finished.

        They are put out of sight first: half a checkpoint is never mistaken for a damaged one.
        """
        hidden = self.folder.with_name(f"{STAGING}{self.folder.name}")
        shutil.rmtree(hidden, ignore_errors=True)
        if self.folder.is_dir():
            os.rename(self.folder, hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def paths(self) -> list[Path]:
        """Every checkpoint, whole or not, first to last."""
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []

    def _rotate(self) -> None:
        for path in self.paths()[: -self.limit]:
            shutil.rmtree(path, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Remove what a save that was cut short has left."""
        for leftover in self.folder.glob(f"{STAGING}*"):
            shutil.rmtree(leftover)


def verify(path: Path, without: frozenset[str] = frozenset()) -> str | None:
    """What is wrong with a checkpoint folder, in one sentence, or None."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict):
        return f"{path / MANIFEST}: missing or unreadable, so the checkpoint is not complete."
    for name in dict.fromkeys([POSITION, *manifest]):
        if Path(name).name != name:
            return f"{path / MANIFEST}: names a file outside of the checkpoint."
        if name in without and not (path / name).exists():
            continue
        if problem := damage(path / name, manifest.get(name)):
            return problem
    # The position is whole now, and says what else there must be.
    for group in json.loads((path / POSITION).read_text(encoding="utf-8")).get(GROUPS, ()):
        if f"{group}.safetensors" not in manifest:
            return (
                f"{path / MANIFEST}: lacks {group}.safetensors, so the checkpoint is not complete."
            )
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """What a checkpoint folder holds, once `verify` has found nothing wrong with it."""
    position = json.loads((path / POSITION).read_text(encoding="utf-8"))
    listed = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    files = [path / name for name in listed if name.endswith(".safetensors")]
    tensors = {file.stem: load_file(file) for file in files if file.exists()}
    position.pop(GROUPS, None)
    return Checkpoint(path, position, tensors)


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
    """Put `random_tensors` back."""
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
