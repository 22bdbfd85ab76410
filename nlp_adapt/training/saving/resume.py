"""Whether a run is the one that it continues, and what it goes on from."""

import dataclasses
import hashlib
import json
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import RunError
from nlp_adapt.files import sha256, write_json
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder, verify
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.sharding import requested_sharding

# Options that change nothing about the weights a run ends with.
FREE_OPTIONS = frozenset(
    {
        *("output_dir", "compare_source_only", "per_device_eval_batch_size", "logging_steps"),
        *("save_strategy", "save_steps", "save_total_limit", "report_to", "disable_tqdm"),
        *("overwrite", "resume", "allow_inexact_resume", "ddp_timeout", "push_to_hub", "fsdp"),
        *("hub_model_id", "hub_private_repo", "hub_revision", "data_doctor", "eval_on_start"),
        *("logging_strategy", "logging_first_step"),
        # The product of these with the number of processes, the global batch, is compared instead.
        *("per_device_train_batch_size", "gradient_accumulation_steps"),
        # Resolved values are compared instead.
        *("precision", "bf16", "fp16"),
    }
)
# What stands in the place of a fingerprint that is gone, so that each later resume says so.
LOST = {"fingerprint": "lost"}
# Where these differ the run can go on, but its last bits may differ.
SOFT = ("machine.", "versions.")


def fingerprint(context: Any, data_hashes: dict[str, str]) -> dict[str, str]:
    """Names and values of everything that decides the weights a run ends with."""
    config: AdaptationConfig = context.config
    accelerator = context.accelerator
    rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
    parts = {
        "model": context.start.name,
        "labels": ", ".join(context.task.label_names),
        "tokenizer": tokenizer_hash(context.tokenizer),
        "rows per step and domain": str(rows * accelerator.num_processes),
        "precision": precision_of(accelerator),
        "machine.processes": str(accelerator.num_processes),
        "machine.threads": str(torch.get_num_threads()),
        "machine.device": accelerator.device.type,
        "machine.platform": platform.machine(),
        "versions.torch": torch.__version__,
    }
    if requested_sharding(config) is not None:
        parts["machine.sharding"] = "FSDP2"
    if context.start.objectives:
        parts["objectives continued from"] = objectives_hash(context.start.objectives)
    for side, value in data_hashes.items():
        parts[f"data of the {side}"] = value
    for field in dataclasses.fields(AdaptationConfig):
        if field.name not in FREE_OPTIONS:
            parts[f"option {field.name}"] = repr(getattr(config, field.name))
    return parts


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of a fast tokenizer, without the padding and truncation it was last called with."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.pop("padding", None)
    state.pop("truncation", None)
    text = json.dumps(state, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def objectives_hash(objectives: Mapping[str, Mapping[str, Tensor]]) -> str:
    """SHA-256 over names, shapes, types and values of the objectives that a run continues from."""
    digest = hashlib.sha256()
    for objective, tensors in sorted(objectives.items()):
        for name, value in sorted(tensors.items()):
            header = f"{objective}.{name} {value.dtype} {list(value.shape)}\n"
            digest.update(header.encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(before: dict[str, str], now: dict[str, str]) -> tuple[list[str], list[str]]:
    """Lines that say what differs: what forbids an exact resume, and what may change last bits.

    A run that began before there was an option has followed its default.
    """
    hard: list[str] = []
    soft: list[str] = []
    defaults = {f"option {name}": repr(value) for name, value in vars(AdaptationConfig()).items()}
    for name in sorted({*before, *now}):
        old, new = before.get(name, defaults.get(name)), now.get(name)
        if old == new:
            continue
        line = f"{name}: was {_short(old)}, is {_short(new)}"
        (soft if name.startswith(SOFT) else hard).append(line)
    return hard, soft


def _short(value: str | None) -> str:
    if value is None:
        return "not there"
    is_hash = len(value) == 64 and all(letter in "0123456789abcdef" for letter in value)
    return value[:12] if is_hash else value


class SampleLedger:
    """A chain of SHA-256 over the row numbers of every step tried, skipped ones included.

    Two runs with the same value have seen the same rows in the same order. The value is saved with
    each checkpoint, so that an interrupted run ends with the value of an uninterrupted one.
    """

    def __init__(self, value: str = "") -> None:
        self.value = value

    def add(self, stage: int, attempt: int, rows: Mapping[str, np.ndarray] | Any) -> None:
        """Enter the rows `[global batch]` of each side of one step."""
        digest = hashlib.sha256(f"{self.value}:{stage}:{attempt}".encode())
        for side in sorted(rows):
            digest.update(side.encode())
            digest.update(np.ascontiguousarray(rows[side], dtype="<i8").tobytes())
        self.value = digest.hexdigest()


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


def check_named(path: str | Path, folder: RunFolder) -> None:
    """Refuse a named checkpoint that the run would not go on from: it takes its newest whole one.

    Args:
        path: A checkpoint of the run, the folder of its checkpoints, or its own.

    Raises:
        RunError: If it is none of these, or another checkpoint of the run comes first.
    """
    place, name = Path(path).expanduser(), f"resume_from_checkpoint {path}"
    paths = CheckpointFolder(folder.checkpoints, limit=1).paths()
    if not place.exists():
        known = f"it has {', '.join(one.name for one in paths)}" if paths else "it has none"
        raise RunError(f"{name}: does not exist; see {folder.checkpoints} ({known}).")
    if folder.holds_run() and any(map(place.samefile, folder.resumable())):
        return
    if not any(map(place.samefile, paths)):
        raise RunError(
            f"{name}: is no checkpoint of the run in {folder.path}; to start from a model of another "
            "run, use AdaptationTrainer.from_pretrained."
        )
    if (problem := verify(place)) is not None:
        raise RunError(f"{name}: cannot be used: {problem}")
    newer = [one for one in paths if one.name > place.name and verify(one) is None]
    if newer:
        raise RunError(
            f"{name}: is not the run's newest checkpoint, which alone it goes on from; delete "
            f"{', '.join(map(str, newer))} first, if the steps since then are to be trained anew."
        )


def check_same_run(
    folder: RunFolder, before: dict[str, str], now: dict[str, str], *, allow_inexact: bool
) -> list[str]:
    """Compare a run with the one in its folder; notes on what may change its last bits.

    Raises:
        RunError: If something differs that decides the weights, with one line for each.
    """
    if before == LOST:
        return ["what the finished models were trained on is not known: their fingerprint is lost."]
    hard, soft = differences(before, now)
    if hard and not allow_inexact:
        raise RunError(
            f"{folder.path}: cannot be resumed, because it is no longer the same run:",
            *(f"- {line}" for line in hard),
            "Put these back, start anew with overwrite, or set allow_inexact_resume.",
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

    What once made a run inexact is told by each later resume: the first fingerprint stays, and
    checkpoints and scores carry the notes.

    Returns:
        The checkpoint to go on from, if there is one, and what results.json says about the resume.

    Raises:
        RunError: If the run in the folder cannot be resumed, or not as the same run.
    """
    checkpoint, notes, before = None, [], None
    if resume:
        checkpoint, missing = find_checkpoint(checkpoints, allow_inexact=allow_inexact)
        before = _first_fingerprint(folder, checkpoint, allow_inexact=allow_inexact)
        if before is not None:
            notes = check_same_run(folder, before, parts, allow_inexact=allow_inexact)
        earlier = checkpoint.position.get("inexact", []) if checkpoint else []
        log = _log_problems(folder, checkpoint, allow_inexact=allow_inexact)
        notes = list(dict.fromkeys([*earlier, *notes, *missing, *log]))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(folder.fingerprint, before or parts)
        folder.manifest.seal(folder.fingerprint)
        for note in notes:
            LOGGER.warning("the resumed run may not end with the same bits: %s", note)
    if not resume:
        return None, None
    if before is None and accelerator.is_main_process:
        LOGGER.warning("output_dir %s holds no run to resume: it starts from step 0.", folder.path)
    step = checkpoint.position["run_step"] if checkpoint else 0
    return checkpoint, {"step": step, "exact": not notes, "notes": notes}


def _log_problems(
    folder: RunFolder, checkpoint: Checkpoint | None, *, allow_inexact: bool
) -> list[str]:
    """What is wrong with the log up to the checkpoint: the adversary is judged by it."""
    known = (checkpoint.position.get("log") or {}).get("file") if checkpoint else None
    log = folder.log
    if known is None or (log.is_file() and sha256(log, known["bytes"]) == known["sha256"]):
        return []
    problem = f"{log}: damaged or missing, and the adversary is judged by it."
    if allow_inexact:
        return [problem]
    raise RunError(f"{problem} Start anew with overwrite, or set allow_inexact_resume.")


def _first_fingerprint(
    folder: RunFolder, checkpoint: Checkpoint | None, *, allow_inexact: bool
) -> dict[str, str] | None:
    """What the run was when it began; None where nothing of it is left to go on from."""
    if folder.fingerprint.is_file() and not folder.manifest.problems(folder.fingerprint):
        return json.loads(folder.fingerprint.read_text(encoding="utf-8"))
    if checkpoint is not None:
        return checkpoint.position["fingerprint"]
    if not any(folder.scores(name).exists() for name in ("source_only", "adapted")):
        return None
    if allow_inexact:
        return LOST
    raise RunError(
        f"{folder.fingerprint}: missing or damaged, so nothing says what the finished models were "
        "trained on; start anew with overwrite, or set allow_inexact_resume."
    )
