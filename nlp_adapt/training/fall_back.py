"""The guard at the end of a run, and the source-only twin in the adapted model's place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.files import write_folder
from nlp_adapt.modeling.backbone import load_task_model
from nlp_adapt.training.evidence import guard
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.validators.guard import SOURCE_ONLY

if TYPE_CHECKING:
    from nlp_adapt.training.run import Run


def apply_guard(run: Run, results: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the two models of a run without target labels, and fall back where the recipe says so.

    Args:
        run: The run, its models trained and saved.
        results: Their scores and evidence.

    Returns:
        `guard`, the verdict or None, and `exported`, the model that `model/` holds.
    """
    verdict = guard(results)
    if verdict is None:
        return {"guard": None, "exported": "adapted"}
    if not (run.args.fall_back and verdict.verdict == SOURCE_ONLY):
        return {"guard": verdict.to_dict(), "exported": "adapted"}
    if run.main:
        export_twin(run.folder)
    run.accelerator.wait_for_everyone()
    model = load_task_model(str(run.folder.model), run.task.auto_class, list(run.task.label_names))
    run.trainer.model = model.to(run.accelerator.device)
    if run.main:
        run.save_domain_statistics()
    return {"guard": verdict.to_dict(), "exported": "source_only"}


def export_twin(folder: RunFolder) -> None:
    """Put a copy of the source-only twin into `model/`; the adapted model is kept in `adapted/`.

    Interrupted anywhere, it ends the same when it is done again.
    """
    if not folder.adapted.exists():
        write_folder(folder.adapted, _copy_of(folder.model))
    write_folder(folder.model, _copy_of(folder.source_only))


def _copy_of(source: Path) -> Callable[[Path], Any]:
    return lambda staged: shutil.copytree(source, staged, dirs_exist_ok=True)
