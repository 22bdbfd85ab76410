"""Results of compared methods."""

from typing import Any


def results(score: float, target: float | None, **other: Any) -> dict[str, Any]:
    """Results of a run with a label-free score, and with a true one where there are labels."""
    scores = {"macro_f1": target, "accuracy": target}
    return {
        "task": "sequence-classification",
        "method": "x",
        "labels": ["negative", "positive"],
        "fingerprints": {"source": "a", "target": "b"},
        "adapted": {
            "label_free": {"label_free": score},
            "target": None if target is None else scores,
            "source": {"macro_f1": 0.9},
            "steps": 10,
            "seconds": 2.0,
        },
        **other,
    }
