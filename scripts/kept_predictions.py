"""What finished models predict, for all that is measured without training anything anew.

`benchmark_methods.py --keep FOLDER` writes a file for each model there: logits and features of its
source's validation rows and of the rows that it is scored on, with their labels, and in token
classification where each row's words begin. The tree holds all but the features, which are too large
for it, in one archive.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_runs import KEY, Run, read_lines
from methods_table import SOURCE_ONLY, TWIN

ARCHIVE = Path("docs/benchmarks/validators.npz")
KINDS = {"logits": np.float16, "labels": np.int8, "offsets": np.int32, "features": np.float16}
SIDES = ("source", "target")
Arrays = dict[str, np.ndarray]


def keep(folder: Path, run: Run, trainer: Any, domain: Any, *, twin: bool) -> None:
    """Write what a trainer's finished model, or its twin, predicts for the test rows of a domain."""
    import transformers

    task, model = trainer.task, trainer.model
    if twin:
        kind = getattr(transformers, task.auto_class)
        model = kind.from_pretrained(trainer.context.folder.source_only).eval()
    rows = domain.with_labels(task.label_names).test
    target = task.encode(rows, trainer.processing_class, trainer.data.max_length)
    (held,) = trainer.data.evaluation["source_validation"].values()
    # Class shares are put right on the target: on the source a model decides without that bias.
    own = trainer.results["source_only" if twin else "adapted"]["class_shares"] or {}
    bias = np.array([*own["bias"].values()]) if "bias" in own else 0.0
    found = {}
    for side, part, off in (("source", held.encoded, bias), ("target", target, 0.0)):
        logits, features = trainer.scorer.read(model, part.without_labels(), features=True)
        values = (logits - off, part.labels, part.unit_offsets, features)
        for (name, kind), value in zip(KINDS.items(), values, strict=True):
            found[f"{side}_{name}"] = value.astype(kind)
    about = {**run, "label_names": list(task.label_names)}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name_of(run)}.npz", {"about": np.array(json.dumps(about)), **found})


def name_of(run: Run) -> str:
    """What the predictions of a run are called."""
    encoder = run["encoder"].rpartition(":")[2]
    words = [run["suite"], encoder, *(str(run[name]) for name in KEY)]
    return ".".join(words).replace("/", "_")  # a method's options may name a folder


def kept(folder: Path) -> Iterator[tuple[Run, Arrays]]:
    """Everything that a folder holds."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files if name != "about"}
            yield json.loads(str(arrays["about"])), values


def stored(archive: Path = ARCHIVE) -> Iterator[tuple[Run, Arrays]]:
    """Everything that the tree holds."""
    lines = read_lines(_lines_of(archive))
    if not lines:
        return
    with np.load(archive) as arrays:
        for line in lines:
            names = [f"{side}_{name}" for side in SIDES for name in KINDS]
            whole = {name: f"{name_of(line)}/{name}" for name in names}
            yield line, {name: arrays[key] for name, key in whole.items() if key in arrays.files}


def store(runs: Sequence[tuple[Run, Arrays]], archive: Path = ARCHIVE) -> None:
    """Write lines and arrays into the tree; of the arrays, all but the features."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for run, values in runs:
        # Where each text is one unit, offsets say nothing.
        texts = len(values["target_labels"]) == len(values.get("target_offsets", ())) - 1
        for name, value in values.items():
            kind = name.partition("_")[2]
            if kind != "features" and not (texts and kind == "offsets"):
                arrays[f"{name_of(run)}/{name}"] = value
    _write(archive, arrays)
    lines = [json.dumps(run) + "\n" for run, _ in runs]
    _lines_of(archive).write_text("".join(lines), encoding="utf-8")


def pair_of(run: Run) -> tuple[Any, ...]:
    """What runs have in common that answer the same rows and differ in method alone."""
    return run["suite"], run["encoder"], run["source"], run["target"], run["seed"]


def grouped(
    models: Iterable[tuple[Run, Arrays]],
) -> dict[tuple[Any, ...], list[tuple[Run, Arrays]]]:
    """The models of each pair and seed, where a source-only and an adapted one are among them."""
    found: dict[tuple[Any, ...], list[tuple[Run, Arrays]]] = {}
    for run, values in models:
        found.setdefault(pair_of(run), []).append((run, values))
    kinds = {pair: {is_twin(run["method"]) for run, _ in own} for pair, own in found.items()}
    return {pair: own for pair, own in found.items() if len(kinds[pair]) == 2}


def is_twin(method: str) -> bool:
    """Whether a method has seen no text of the target."""
    return method == SOURCE_ONLY or method.startswith(TWIN)


def twin_of(method: str, methods: Sequence[str]) -> str:
    """What a method is held against: the source-only model under its own schedule, else the plain one."""
    own = f"{TWIN}{method}"
    return own if own in methods else SOURCE_ONLY


def title_of(pair: Sequence[Any]) -> str:
    """A pair in words."""
    suite, encoder, source, target, seed = pair
    return f"{source} to {target}, {suite}, {encoder.rpartition(':')[2]}, seed {seed}"


def _lines_of(archive: Path) -> Path:
    return archive.with_suffix(".runs.jsonl")


def _write(path: Path, arrays: Arrays) -> None:
    """Write arrays, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(part, path)
