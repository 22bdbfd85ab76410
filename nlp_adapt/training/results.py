"""What results.json says about a run, besides the scores."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import torch

import nlp_adapt
from nlp_adapt.training.accelerator import precision_of

LIBRARIES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "tokenizers",
    "scikit-learn",
)


def describe_run(trainer: Any, accelerator: Any) -> dict[str, Any]:
    """Everything known before training: what is trained on what, where and with which versions."""
    data = trainer.data
    return {
        "format": 1,
        "task": trainer.args.task,
        "method": trainer.method_name,
        "model": trainer.model_name,
        "seed": trainer.args.seed,
        "labels": list(trainer.task.label_names),
        "precision": precision_of(accelerator),
        "main_metric": trainer.task.main_metric,
        "source": _describe_domain(trainer.source, data, "source"),
        "target": _describe_domain(trainer.target, data, "target"),
        "fingerprints": {
            name: domain.fingerprint()
            for name, domain in (("source", trainer.source), ("target", trainer.target))
            if domain is not None
        },
        "source_only": None,
        "adapted": None,
        "versions": versions(),
        "machine": {
            "device": str(accelerator.device),
            "processes": accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "platform": platform.machine(),
        },
    }


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that decide results."""
    found = {"nlp_adapt": nlp_adapt.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def difference(results: dict[str, Any], metric: str) -> dict[str, float] | None:
    """Adapted minus source-only in the main metric, for each domain where both are known."""
    before, after = results.get("source_only"), results.get("adapted")
    if not before or not after:
        return None
    return {
        side: round(after[side][metric] - before[side][metric], 6)
        for side in ("source", "target")
        if before.get(side) and after.get(side)
    }


def _describe_domain(domain: Any, data: Any, side: str) -> dict[str, Any] | None:
    if domain is None:
        return None
    rows = {"train": data.train_texts[side]} if side in data.train_texts else {}
    for name, held in data.evaluation.items():
        if name.startswith(side):
            rows[name.removeprefix(f"{side}_")] = len(held.dataset)
    return {"name": domain.name, "reference": domain.reference, "rows": rows}
