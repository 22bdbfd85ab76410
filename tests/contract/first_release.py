"""What today's commands say about the runs that the first release has left behind."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

from nlp_adapt.cli import main
from tests.contract.runs import working_in

FOLDER = Path(__file__).parent / "run_of_first_release"
INPUTS = {"sentiment": "tweets.jsonl", "tagger": "gold.conll"}
MODELS = {
    "sentiment": ("sentiment", "sentiment/source_only/model"),
    "tagger": ("tagger",),
}


def answers(folder: Path) -> dict[str, Any]:
    """What `verify`, `compare`, `evaluate` and `predict` say, asked in a copy of the runs."""
    shutil.copytree(FOLDER, folder / "runs")
    found: dict[str, Any] = {}
    with working_in(folder / "runs"):
        for run, data in INPUTS.items():
            found[f"verify {run}"] = ask("verify", run)
            found[f"compare {run}"] = ask("compare", run)
            for model in MODELS[run]:
                found[f"evaluate {model}"] = ask("evaluate", model, "--data", data)
                found[f"predict {model}"] = predictions(model, data)
    return found


def ask(*words: str) -> Any:
    """What a command prints as JSON."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*words, "--json"]) == 0
    return json.loads(printed.getvalue())


def predictions(model: str, data: str) -> Any:
    """The rows that `predict` writes, as far as they are its own."""
    # Without a number format, `predict` measures which is faster here: not the same everywhere.
    words = ["predict", model, data, "--precision", "fp32", "--out"]
    if data.endswith(".conll"):
        assert main([*words, "tags.conll"]) == 0
        sentences = Path("tags.conll").read_text(encoding="utf-8").strip().split("\n\n")
        Path("tags.conll").unlink()
        return sentences
    assert main([*words, "out.jsonl", "--all-scores"]) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    Path("out.jsonl").unlink()
    return [{key: row[key] for key in row if key not in ("text", "label")} for row in rows]
