"""Whether a run is complete, and whether resuming it would be exact."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from nlp_adapt.errors import RunError
from nlp_adapt.training.saving.checkpoint import REPLACEABLE, CheckpointFolder, verify
from nlp_adapt.training.saving.run_folder import OBJECTIVES, RunFolder

BEFORE_MANIFESTS = 1  # format of results.json


def verify_run(path: str | Path) -> dict[str, Any]:
    """Look at every file of a run; nothing is changed.

    Returns:
        `complete`; `exact_resume`, or None for a complete run; `problems`, one sentence each; and
        `checkpoints`, the whole ones among them first to last.
    """
    folder = RunFolder(path)
    if not folder.holds_run():
        raise RunError(f"{folder.path}: holds no run.")
    results, problems = _results(folder)
    names = ["adapted"]
    if results is None or results.get("source_only"):
        names = _models(folder)
    for name in names:
        where = folder.model if name == "adapted" else folder.source_only
        problems += _model_problems(where)
    problems += _tensor_problems(folder.adaptation / OBJECTIVES)
    problems += _changed(folder, names, results)
    if results is not None and not problems:
        return {
            "complete": True,
            "exact_resume": None,
            "problems": [],
            "checkpoints": [],
            "resumed": results.get("resumed"),
        }
    exact, whole, why = _resume_state(folder)
    return {
        "complete": False,
        "exact_resume": exact,
        "problems": problems + why,
        "checkpoints": whole,
        "resumed": None if results is None else results.get("resumed"),
    }


def _changed(folder: RunFolder, names: list[str], results: dict[str, Any] | None) -> list[str]:
    """What is finished, and no longer as it was written."""
    sealed = [
        path for name in names if folder.scores(name).exists() for path in _files(folder, name)
    ]
    if results is not None:
        if results.get("format", 1) == BEFORE_MANIFESTS:
            return []
        sealed += [folder.results, folder.recipe, folder.log, folder.fingerprint, folder.review]
    elif folder.fingerprint.exists():
        sealed.append(folder.fingerprint)
    return folder.manifest.problems(*dict.fromkeys(sealed)) if sealed else []


def _files(folder: RunFolder, name: str) -> list[Path]:
    own = [*folder.finished_files(name), folder.plots(name)]
    return [*own, *([folder.model] if name == "adapted" else [])]


def _models(folder: RunFolder) -> list[str]:
    """The models that the run's recipe asks for, as far as it can be read."""
    from nlp_adapt.errors import ConfigError
    from nlp_adapt.yaml_text import read_yaml

    try:
        twin = read_yaml(folder.recipe).get("compare_source_only", True)
    except ConfigError:
        twin = True
    return ["source_only", "adapted"] if twin else ["adapted"]


def _results(folder: RunFolder) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        results = json.loads(folder.results.read_text(encoding="utf-8"))
        return (
            (results, [])
            if isinstance(results, dict)
            else (None, [f"{folder.results}: not valid."])
        )
    except OSError:
        return None, [f"{folder.results}: missing: the run has not ended."]
    except ValueError:
        return None, [f"{folder.results}: not valid JSON."]


def _model_problems(folder: Path) -> list[str]:
    if not (folder / "config.json").is_file():
        return [f"{folder}: holds no model yet."]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return [f"{folder}: holds no weights."]
    return [problem for file in files for problem in _tensor_problems(file)]


def _tensor_problems(file: Path) -> list[str]:
    """What is wrong with a tensor file, as far as its header and size tell."""
    if not file.is_file():
        return [f"{file}: missing."]
    try:
        with safe_open(file, framework="pt") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as error:
        return [f"{file}: damaged ({error})."]
    return []


def _resume_state(folder: RunFolder) -> tuple[bool, list[str], list[str]]:
    """Whether a resume would be exact, the whole checkpoints, and what is wrong with others."""
    paths = CheckpointFolder(folder.checkpoints, 1).paths()
    broken = {path: verify(path) for path in paths}
    whole = [path.name for path, problem in broken.items() if problem is None]
    why = [problem for problem in broken.values() if problem]
    if whole:
        return True, whole, why
    finished = any(folder.scores(name).exists() for name in ("source_only", "adapted"))
    if not paths and finished and folder.manifest.problems(folder.fingerprint):
        lost = "A resume needs allow_inexact_resume: nothing says what the finished models learnt from."
        return False, [], [lost]
    if not paths:
        return True, [], [f"{folder.checkpoints}: no checkpoint: a resume starts from step 0."]
    if any(verify(path, without=REPLACEABLE) is None for path in paths):
        why.append("A resume needs allow_inexact_resume: part of the state is missing.")
    else:
        why.append("No checkpoint is whole: start anew with overwrite.")
    return False, [], why
