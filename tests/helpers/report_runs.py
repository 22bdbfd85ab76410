"""Runs that nobody trained, with everything that a report page shows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nlp_adapt.files import Manifest, write_json
from nlp_adapt.metrics import span_metrics
from nlp_adapt.metrics.calibration import best_temperature, reliability
from nlp_adapt.yaml_text import dump_yaml
from tests.helpers.results import run

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m"
KEYS = ("source_only", "adapted")
STAGES = (12, 24)
RECIPE = {"model": "roberta-base", "source": "films.csv", "target": "tweets.csv", "method": "dann"}


def classifier_results() -> dict[str, Any]:
    """A run that has gained a lot, with findings, seeds and costs."""
    results = run([[490, 10], [255, 245]], [[480, 20], [110, 390]])
    results |= {
        "format": 2,
        "max_length": 64,
        "precision": "fp32",
        "exported": "adapted",
        "cost": {"parameters": 22_713_986, "trained_parameters": 22_713_986, "tokens_to_train": 4},
        "machine": {"device": "cpu", "processes": 1, "cores": 2, "platform": "x86_64"},
        "versions": {"nlp_adapt": "0.1.0", "python": "3.11"},
        "findings": [
            {
                "severity": "warning",
                "domain": "target",
                "message": "12 % are cut.",
                "advice": "Mend.",
            }
        ],
        "guard": {"verdict": "adapted", "reasons": ["The estimate goes up."]},
        "seeds": [
            {
                "seed": seed,
                "source_only": {"source": 0.81, "target": 0.66 + seed / 100},
                "adapted": {"source": 0.8, "target": 0.8 + seed / 100},
            }
            for seed in (1, 2, 3)
        ],
    }
    for key, share, distance in (("source_only", 0.68, 1.52), ("adapted", 0.51, 0.71)):
        results[key] = {**results[key], **_beside(share, distance)}
    results["adapted"]["best"]["step"] = sum(STAGES) + sum(STAGES)
    results["adapted"]["adversary"] = {"dann": {"verdict": "the discriminator is alive."}}
    return results


def _beside(share: float, distance: float) -> dict[str, Any]:
    return {
        "steps": sum(STAGES),
        "seconds": 61.2,
        "label_free": {"estimated_accuracy": 1 - share / 4, "label_free": 0.7},
        "evidence": {
            "predicted": {"negative": share, "positive": 1 - share},
            "source_classes": {"negative": 0.5, "positive": 0.5},
            "target_rows": 1000,
            "source_rows": 200,
            "domain_distance": distance,
        },
        "best": {"metric": "label_free", "score": 0.7, "step": sum(STAGES)},
    }


def log_lines() -> list[dict[str, Any]]:
    """Two models through two stages."""
    lines: list[dict[str, Any]] = []
    for key in KEYS:
        before = 0
        for stage, steps in enumerate(STAGES, 1):
            where = {"model": key, "stage": stage}
            for step in range(3, steps + 1, 3):
                at = before + step
                line = {**where, "step": step, "loss": 0.3 + math.exp(-at / 20), "epoch": at / 18}
                line |= {"learning_rate": 5e-5 * (1 - at / 40), "grad_norm": 1.0, "task": 0.3}
                if key == "adapted" and stage == 2:
                    line |= {"dann": 0.69, "dann/accuracy": 0.9 - at / 90, "dann/lambda": at / 36}
                lines.append(line)
            scores = {"source_validation/macro_f1": 0.8, "label_free": 0.7}
            lines.append({**where, "step": steps, **scores, "estimated_accuracy": 0.75})
            before += steps
    return lines


def plots(classes: int = 2, points: int = 150) -> dict[str, Any]:
    """Points and calibration of a model."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {"explained": [0.6, 0.1]}
    for side in ("source", "target"):
        places = rng.uniform(-1, 1, (2, points)).round(3).tolist()
        truth, said = rng.integers(0, classes, (2, points)).tolist()
        sure = rng.uniform(0.5, 1, points).round(3).tolist()
        values = (*places, truth, said, sure)
        keys = ("x", "y", "truth", "predicted", "confidence")
        found[side] = dict(zip(keys, values, strict=True))
    labels = rng.integers(0, classes, 400)
    logits = 2.0 * rng.normal(size=(400, classes)) + 2.0 * np.eye(classes)[labels]
    temperature = best_temperature(logits, labels)
    assert temperature is not None
    own = {
        "rows": "test",
        "before": reliability(logits, labels),
        "after": reliability(logits / temperature, labels),
    }
    words = {"source": [["film", 30.0, 1.0]], "target": [[HOSTILE, 0.5, 40.0]]}
    calibration = {"temperature": temperature, "source": own, "target": own}
    return {"points": found, "calibration": calibration, "words": words}


def tagger_results() -> dict[str, Any]:
    """A run of a tagger that finds most names."""
    truth = [["B-PER", "O", "B-LOC", "I-LOC"], ["O", "B-LOC", "O", "B-PER"]] * 20
    before = [["B-PER", "O", "O", "O"], ["B-PER", "B-PER", "O", "B-PER"]] * 20
    after = [["B-PER", "O", "B-LOC", "O"], ["O", "B-LOC", "O", "B-PER"]] * 20
    labels = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    results = {**run([[5, 5], [5, 5]], [[5, 5], [5, 5]]), "labels": labels}
    results["task"] = "token-classification"
    for key, said in zip(KEYS, (before, after), strict=True):
        scores = span_metrics(truth, said, model_types=["LOC", "PER"])
        results[key] = {"source": scores, "target": scores, "steps": 4, "seconds": 1.0}
    return results


def write_run(folder: Path, results: dict[str, Any], classes: int = 2) -> Path:
    """The folder of such a run."""
    (folder / "adaptation").mkdir(parents=True)
    write_json(folder / "results.json", results)
    lines = "".join(json.dumps(line) + "\n" for line in log_lines())
    (folder / "log.jsonl").write_text(lines, encoding="utf-8")
    for key in KEYS:
        write_json(folder / "adaptation" / f"{key}.plots.json", plots(classes))
    dump_yaml(RECIPE, folder / "recipe.yaml")
    sealed = sorted((folder / "adaptation").glob("*.plots.json"))
    Manifest(folder).seal(folder / "results.json", *sealed)
    return folder
