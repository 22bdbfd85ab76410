"""What results.json says about a run, besides the scores."""

import importlib.metadata
import os
import platform
from typing import Any

import torch

import nlp_adapt
from nlp_adapt.metrics.classification import comparable
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.context import RunContext

LIBRARIES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "tokenizers",
    "scikit-learn",
)


def describe_run(context: RunContext) -> dict[str, Any]:
    """Everything known before training: what is trained on what, where and with which versions."""
    data, inputs, accelerator = context.data, context.inputs, context.accelerator
    return {
        "format": 2,  # since 2 a manifest vouches for the run's files
        "task": context.config.task,
        "method": context.method,
        "model": context.start.name,
        "seed": context.config.seed,
        "labels": list(context.task.label_names),
        "precision": precision_of(accelerator),
        "max_length": context.max_length,
        "main_metric": context.task.main_metric,
        "source": _describe_side(inputs, data, "source"),
        "target": _describe_side(inputs, data, "target"),
        "target_labels": _describe_few_shot(inputs, data, context.config),
        "auxiliary": _describe_auxiliary(inputs, data),
        "augmentation": data.augmentation,
        "fingerprints": inputs.fingerprints(),
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
    """Adapted minus source-only in the main metric, for each domain where both are known.

    Of a side with several domains it is the difference of the means, and that of each domain is
    under `SIDE/NAME`.
    """
    before, after = results.get("source_only"), results.get("adapted")
    if not before or not after:
        return None
    found = {}
    for side in ("source", "target"):
        if before.get(side) and after.get(side):
            found[side] = _difference(before[side], after[side], metric)
            for name, scores in after[side].get("domains", {}).items():
                own = before[side]["domains"][name]
                found[f"{side}/{name}"] = _difference(own, scores, metric)
    return found


def _difference(before: dict[str, Any], after: dict[str, Any], metric: str) -> float:
    return round(comparable(after, metric) - comparable(before, metric), 6)


def _describe_side(domains: Any, data: Any, side: str) -> dict[str, Any] | None:
    """Name, reference and rows of a side's domain; of several, together and each by itself."""
    parts = [_describe_domain(domain, data, side) for domain in domains.sides[side]]
    if len(parts) < 2:
        return parts[0] if parts else None
    splits = dict.fromkeys(split for part in parts for split in part["rows"])
    return {
        "name": " + ".join(part["name"] for part in parts),
        "reference": ", ".join(part["reference"] for part in parts if part["reference"]),
        "rows": {split: sum(part["rows"].get(split, 0) for part in parts) for split in splits},
        "domains": parts,
    }


def _describe_domain(domain: Any, data: Any, side: str) -> dict[str, Any]:
    rows, drawn_from = {}, {}
    if domain.name in data.names(side):
        rows["train"] = data.train_texts[side][domain.name]
    for part, sets in data.evaluation.items():
        if part.startswith(side) and domain.name in sets:
            split, own = part.removeprefix(f"{side}_"), sets[domain.name]
            rows[split] = len(own.dataset)
            if own.drawn_from is not None:
                drawn_from[split] = own.drawn_from
    described = {"name": domain.name, "reference": domain.reference, "rows": rows}
    return {**described, "drawn_from": drawn_from} if drawn_from else described


def _describe_few_shot(domains: Any, data: Any, config: Any) -> dict[str, Any] | None:
    """The labelled target rows that were released, and what for, or None."""
    if not domains.few_shot:
        return None
    rows = dict(data.train_texts["few_shot"])
    return {
        "rows": sum(rows.values()),
        "use": config.few_shot_use,
        "share": config.few_shot_share,
        "domains": {
            name: {"reference": domain.reference, "rows": rows[name]}
            for name, domain in domains.few_shot.items()
        },
    }


def _describe_auxiliary(domains: Any, data: Any) -> dict[str, Any] | None:
    """The auxiliary tasks with their classes and how many rows they learn from, or None."""
    found = {
        name: {
            "reference": task.rows.reference or None,
            "label_column": task.entry.label_column,
            "labels": list(task.rows.label_names),
            "weight": task.entry.weight,
            "rows": len(data.train[task.spec.side]),
        }
        for name, task in domains.auxiliary.items()
    }
    return found or None
