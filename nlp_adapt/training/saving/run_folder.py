"""The folder of a run: what is in it, and who may write to it."""

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from nlp_adapt.errors import RunError
from nlp_adapt.files import Manifest, sole_writer, write_folder, write_text
from nlp_adapt.prediction.likeness import STATISTICS
from nlp_adapt.reporting.page import EXAMPLES_PAGE, PAGE

LOGGER = logging.getLogger("nlp_adapt")
LOCK_FILE = ".lock"
OBJECTIVES = "objectives.safetensors"


class RunFolder:
    """Paths of a run's files, all under one output folder."""

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
        self.report = self.path / PAGE
        self.examples = self.path / EXAMPLES_PAGE
        self.fingerprint = self.adaptation / "fingerprint.json"
        self.review = self.adaptation / "review.json"
        self.augmented = self.path / "augmented.jsonl"
        self.manifest = Manifest(self.path)

    @property
    def adapted_model(self) -> Path:
        """Where the adapted model lies, whichever of the two is exported."""
        return self.adapted if self.adapted.is_dir() else self.model

    def _contents(self) -> list[Path]:
        folders = (self.model, self.source_only.parent, self.adapted.parent, self.adaptation)
        files = (self.augmented, self.recipe, self.results, self.log, self.report, self.examples)
        return [*folders, self.checkpoints, *files]

    def holds_run(self) -> bool:
        """Whether an earlier run has left files here; `init` writes a recipe too."""
        return any(path.exists() for path in self._contents() if path != self.recipe)

    def saved_bytes(self) -> int:
        """The size of checkpoints and models that lie here."""
        folders = (self.checkpoints, self.model, self.source_only, self.adapted)
        files = (file for folder in folders for file in folder.rglob("*.safetensors"))
        return sum(file.stat().st_size for file in files)

    def resumable(self) -> list[Path]:
        """The folders that stand for "the newest checkpoint"."""
        return [path for path in (self.path, self.checkpoints) if path.is_dir()]

    def scores(self, name: str) -> Path:
        """Where the scores of a finished model are kept until results.json holds them all."""
        return self.adaptation / f"{name}.scores.json"

    def plots(self, name: str) -> Path:
        """What pictures of a finished model are drawn from."""
        return self.adaptation / f"{name}.plots.json"

    def write_plots(self, name: str, values: Mapping[str, Any]) -> None:
        """Write it, and take down its checksum."""
        path = self.plots(name)
        write_text(path, json.dumps(values, separators=(",", ":"), ensure_ascii=False) + "\n")
        self.manifest.seal(path)

    def drop_damaged_plots(self, name: str) -> None:
        """Let a report do without pictures that are not as they were written; no model hangs on it."""
        path = self.plots(name)
        if problems := self.manifest.problems(path):
            LOGGER.warning("%s The report does without it.", " ".join(problems))
            path.unlink(missing_ok=True)
            self.manifest.seal(path)

    def finished_files(self, name: str) -> list[Path]:
        """What is saved of a finished model: its folder, its scores, its objectives."""
        if name == "source_only":
            return [self.source_only, self.scores(name)]
        state = self.adaptation / OBJECTIVES, self.adaptation / STATISTICS
        return [self.adapted_model, self.scores(name), *state]

    def known(self) -> dict[str, Any]:
        """What a run that was complete already knew, and its resume does not tell anew."""
        try:
            known = json.loads(self.results.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        reviewed = ("review", "guard", "exported") if "review" in known else ()
        return {key: known[key] for key in ("cost", "resumed", "seeds", *reviewed) if key in known}

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
        if self.recipe.exists() and not overwrite:
            raise RunError(
                f"output_dir {self.path}: holds {self.recipe.name}, and the run would write its own "
                "in its place: choose another folder, or set overwrite."
            )

    def lock(self) -> AbstractContextManager[None]:
        """Inside, no other run may write to the folder."""
        name = f"output_dir {self.path}"
        return sole_writer(self.path / LOCK_FILE, name=name, writer="run", place="folder")

    def export_twin(self) -> None:
        """Put a copy of the source-only twin into `model/`; the adapted model is kept in `adapted/`.

        Interrupted anywhere, it ends the same when it is done again.
        """
        for path, source in ((self.adapted, self.model), (self.model, self.source_only)):
            if path == self.model or not path.exists():
                write_folder(path, partial(shutil.copytree, source, dirs_exist_ok=True))
                self.manifest.seal(path)

    def export_adapted(self) -> None:
        """Put the adapted model back into `model/`, where the twin was exported.

        Interrupted anywhere, it ends the same when it is done again.
        """
        if self.adapted.exists():
            write_folder(self.model, partial(shutil.copytree, self.adapted, dirs_exist_ok=True))
            self.manifest.seal(self.model)
            shutil.rmtree(self.adapted.parent)

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
        if resume or not (self.holds_run() or self.recipe.exists()):
            return
        self.check(overwrite=overwrite)
        for path in self._contents():
            if path.is_dir() and not path.is_symlink():  # a link goes, what it points to stays
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
