"""Finding what a run can go on from, and refusing what would not be the same run."""

from __future__ import annotations

import json
import logging
from typing import Any

from nlp_adapt.errors import RunError
from nlp_adapt.files import write_json
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.saving.fingerprint import differences
from nlp_adapt.training.saving.run_folder import RunFolder

LOGGER = logging.getLogger("nlp_adapt")


def find_checkpoint(
    checkpoints: CheckpointFolder, *, allow_inexact: bool
) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to resume from, and notes on whatever makes the resume inexact.

    Raises:
        RunError: If there are checkpoints but none can be used.
    """
    checkpoint, problems = checkpoints.latest(inexact=allow_inexact)
    if checkpoint is None and problems:
        raise RunError(
            f"no checkpoint can be resumed from: {' '.join(problems)} Start anew with overwrite, or "
            "set allow_inexact_resume if only the optimizer's or the random state is missing."
        )
    if checkpoint is None:
        return None, []
    notes = [
        f"{checkpoint.path.name} lacks its {name} state: it starts afresh."
        for name in ("optimizer", "random")
        if name not in checkpoint.tensors
    ]
    if problems and not notes:
        lost = checkpoints.newest_step() - checkpoint.position["run_step"]
        LOGGER.warning(
            "%s The checkpoint before it is used instead: %d steps are trained again.",
            " ".join(problems),
            lost,
        )
    return checkpoint, notes


def check_same_run(folder: RunFolder, now: dict[str, str], *, allow_inexact: bool) -> list[str]:
    """Compare a run with the one in its folder; notes on what may change its last bits.

    Raises:
        RunError: If something differs that decides the weights, with one line for each.
    """
    if not folder.fingerprint.is_file():
        return []
    before = json.loads(folder.fingerprint.read_text(encoding="utf-8"))
    hard, soft = differences(before, now)
    if hard and not allow_inexact:
        listed = "".join(f"\n  {line}" for line in hard)
        raise RunError(
            f"{folder.path}: cannot be resumed, because it is no longer the same run:{listed}\n"
            "Put these back, start anew with overwrite, or set allow_inexact_resume."
        )
    return hard + soft


def start_or_resume(
    folder: RunFolder,
    checkpoints: CheckpointFolder,
    parts: dict[str, str],
    accelerator: Any,
    *,
    resume: bool,
    allow_inexact: bool,
) -> tuple[Checkpoint | None, dict[str, Any] | None]:
    """Decide where a run begins, and keep its fingerprint for a later resume.

    Returns:
        The checkpoint to go on from, if there is one, and what results.json says about the resume.

    Raises:
        RunError: If the run in the folder cannot be resumed, or not as the same run.
    """
    checkpoint, notes = None, []
    if resume:
        notes = check_same_run(folder, parts, allow_inexact=allow_inexact)
        checkpoint, missing = find_checkpoint(checkpoints, allow_inexact=allow_inexact)
        notes += missing
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(folder.fingerprint, parts)
        for note in notes:
            LOGGER.warning("the resumed run may not end with the same bits: %s", note)
    if not resume:
        return None, None
    step = checkpoint.position["run_step"] if checkpoint else 0
    return checkpoint, {"step": step, "exact": not notes, "notes": notes}
