"""The folder of a run: what is in it, and who may write to it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from nlp_adapt.errors import RunError
from nlp_adapt.training.saving.checkpoint import sync


class RunFolder:
    """Paths of a run's files, all under one output folder.

    Args:
        path: The output folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model"
        self.source_only = self.path / "source_only" / "model"
        self.adapted = self.path / "adapted" / "model"  # only where the guard fell back
        self.adaptation = self.path / "adaptation"
        self.checkpoints = self.path / "checkpoints"
        self.recipe = self.path / "recipe.yaml"
        self.results = self.path / "results.json"
        self.log = self.path / "log.jsonl"
        self.fingerprint = self.adaptation / "fingerprint.json"
        self.black_box = self.path / "black_box"
        self.augmented = self.path / "augmented.jsonl"

    def _contents(self) -> list[Path]:
        folders = (self.model, self.source_only.parent, self.adapted.parent, self.adaptation)
        files = (self.augmented, self.recipe, self.results, self.log)
        return [*folders, self.checkpoints, self.black_box, *files]

    def holds_run(self) -> bool:
        """Whether an earlier run has left files here."""
        return any(path.exists() for path in self._contents())

    def scores(self, name: str) -> Path:
        """Where the scores of a finished model are kept until results.json holds them all."""
        return self.adaptation / f"{name}.scores.json"

    def read_scores(self, name: str) -> dict[str, Any]:
        """The scores of a finished model."""
        return json.loads(self.scores(name).read_text(encoding="utf-8"))

    def check(self, *, overwrite: bool) -> None:
        """Refuse early, before anything is loaded, a folder that holds another run."""
        if self.holds_run() and not overwrite:
            raise RunError(
                f"output_dir {self.path}: already holds a run; set overwrite to replace it, "
                "resume to continue it, or choose another folder."
            )

    def claim(self, *, overwrite: bool, resume: bool) -> None:
        """Make the folder ready for a run.

        With `overwrite` the files of an earlier run go, and nothing else in the folder.

        Raises:
            RunError: If it cannot be written, or holds a run and neither option is set.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_text("", encoding="utf-8")
            probe.unlink()
        except OSError as error:
            raise RunError(
                f"output_dir {self.path}: cannot be written ({error.strerror or error}); "
                "choose another folder."
            ) from error
        if not self.holds_run() or resume:
            return
        self.check(overwrite=overwrite)
        for path in self._contents():
            if path.is_dir() and not path.is_symlink():  # a link goes, what it points to stays
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.staged")
    staged.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync(staged)
    os.replace(staged, path)


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, so that the file is either the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.staged")
    # Clones part tensors that share memory, which safetensors refuses.
    save_file({key: value.detach().cpu().clone() for key, value in tensors.items()}, staged)
    sync(staged)
    os.replace(staged, path)


def save_folder(path: Path, write: Any) -> None:
    """Let `write(folder)` fill a staging folder, then put it in place of `path` at once."""
    staged = path.with_name(f".{path.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    write(staged)
    for file in [*(file for file in staged.rglob("*") if file.is_file()), staged]:
        sync(file)
    if path.exists():
        shutil.rmtree(path)
    os.rename(staged, path)
