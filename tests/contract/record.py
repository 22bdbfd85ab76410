"""Write down anew what the tests of this folder hold the package to.

    python -m pytest tests/contract/record.py

Then read the diff of the JSON files: each line that goes or changes breaks a promise. The runs of
the first release stay as they are; only where their folder is missing are they made.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.contract.first_release import FOLDER, INPUTS, answers
from tests.contract.runs import RUNS, layout, machine, train, weights, working_in
from tests.contract.surface import HERE, surface


def test_record(made: Path, exit_codes: dict[str, int], tmp_path: Path) -> None:
    write("surface", surface())
    folders = {name: layout(made / name) for name in exit_codes}
    write("run_folders", {"exit_codes": exit_codes, **folders})
    write("weights", {"machine": machine(), **{name: weights(made / name) for name in RUNS}})
    if not FOLDER.exists():
        make_first_release(made)
    write("first_release", answers(tmp_path))


def write(name: str, value: Any) -> None:
    text = lines(value) + "\n"
    assert json.loads(text) == json.loads(json.dumps(value))
    (HERE / f"{name}.json").write_text(text, encoding="utf-8")


def lines(value: Any, indent: str = "") -> str:
    """JSON with one entry a line; lists of numbers stay on the line of their key."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        parts = [f"{json.dumps(key)}: {lines(part, deeper)}" for key, part in value.items()]
    elif isinstance(value, list) and any(isinstance(part, (str, dict)) for part in value):
        parts = [lines(part, deeper) for part in value]
    else:
        return json.dumps(value, ensure_ascii=False)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = ",\n".join(f"{deeper}{part}" for part in parts)
    return f"{opening}\n{inner}\n{indent}{closing}"


def make_first_release(made: Path) -> None:
    """A classifier with its twin, and a tagger without one, which keeps the folder small."""
    with working_in(made):
        out = ("--output-dir", "runs/sentiment")
        assert train(*RUNS["dann"], *out) == 0
        out = ("--output-dir", "runs/tagger", "--no-compare-source-only")
        assert train(*RUNS["tagger"], *out) == 0
        for name in ("sentiment", "tagger"):
            shutil.copytree(Path("runs", name), FOLDER / name)
        for name in INPUTS.values():
            shutil.copy(name, FOLDER / name)
    for path in FOLDER.rglob("*"):
        assert path.is_dir() or str(made).encode() not in path.read_bytes(), path
