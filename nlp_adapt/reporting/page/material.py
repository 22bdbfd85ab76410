"""What the page is made of: the files of a finished run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_adapt.files import Manifest
from nlp_adapt.reporting.results import (
    Results,
    is_source_only,
    method_title,
    part,
    read_log,
    read_recipe,
    read_results,
)

KEYS = ("source_only", "adapted")
KINDS = ("m0", "m1")  # their colours


@dataclass(frozen=True)
class Model:
    """A model of a run: its key in results.json, its name, its colour and its scores."""

    key: str
    title: str
    kind: str
    scores: Results


@dataclass(frozen=True)
class Material:
    """The content of a run's files.

    Attributes:
        lines: Of log.jsonl.
        plots: What pictures of each model are drawn from, by key; empty for older runs.
    """

    results: Results
    recipe: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()
    plots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def models(self) -> list[Model]:
        """The models that the run has scored, the source-only one first."""
        lone = is_source_only(self.results)
        titles = {"source_only": "source-only", "adapted": method_title(self.results)}
        return [
            Model(key, titles[key], "m0" if lone else kind, self.results[key])
            for key, kind in zip(KEYS, KINDS, strict=True)
            if self.results.get(key) and not (lone and key == "source_only")
        ]

    def name(self, side: str) -> str:
        """What the domain of a side is called."""
        return str(part(self.results, side).get("name", side))


def read_material(run: Path) -> Material:
    """Read a finished run; what is missing or damaged beside its results is left out.

    Raises:
        RunError: The folder holds no finished run.
    """
    results = read_results(run)
    manifest, plots = Manifest(run), {}
    for key in KEYS:
        path = run / "adaptation" / f"{key}.plots.json"
        if path.is_file() and not manifest.problems(path):
            plots[key] = json.loads(path.read_text(encoding="utf-8"))
    return Material(results, read_recipe(run), read_log(run), plots)
