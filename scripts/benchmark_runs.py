"""The lines that `benchmark_methods.py` writes: one for each finished model and target."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nlp_adapt

Run = dict[str, Any]
SMALL = "builtin:minilm-l6"
KEY = ("method", "seed", "source", "target")
MADE_BY = ("suite", "encoder", "code", "set")
OLDER = "older code"


# They show and compare what was measured, and change no score.
UNMEASURED = ("cli", "comparing", "diagnosis", "hub", "reporting", "reviewing")


def code_hash() -> str:
    """A name for the code that is measured: SHA-256 over the files that scores depend on, shortened."""
    root, digest = Path(nlp_adapt.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.partition("/")[0] not in UNMEASURED:
            digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def read_lines(path: Path) -> list[Run]:
    """The objects of a file, one a line; what an interrupted write left incomplete is passed over."""
    found = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def read_runs(path: Path) -> list[Run]:
    """The finished runs. Lines of before the hash come in today's layout, with the code `older code`."""
    return [*map(_in_todays_layout, read_lines(path))]


def append(path: Path, runs: Iterable[Run]) -> None:
    """Add lines, and have them on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("" if whole else "\n")  # after a write that was cut short
        file.writelines(f"{json.dumps(run)}\n" for run in runs)
        file.flush()
        os.fsync(file.fileno())


def key_of(run: Run) -> Run:
    """What a run is one of."""
    return {name: run[name] for name in KEY}


def made_alike(run: Run, like: Run) -> bool:
    """Whether a run comes from the same code, encoder and settings."""
    return all(run.get(name) == like[name] for name in MADE_BY)


def _in_todays_layout(run: Run) -> Run:
    if "scores" in run:
        return run
    scores = dict(run.get("metrics") or {})
    names = ("macro_f1", "accuracy", "auc")
    scores |= {name: run[name] for name in names if name in run}
    if "best_macro_f1" in run:
        scores["oracle"] = {"macro_f1": run["best_macro_f1"]}
    found = {"source": "news", "encoder": SMALL, "code": OLDER, "set": {}, **run, "scores": scores}
    return {"suite": "wnut" if "metrics" in run else found.get("suite"), **found}
