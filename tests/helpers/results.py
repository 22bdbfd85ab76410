"""Results of runs that nobody trained: the content of results.json from two confusion matrices."""

from typing import Any

from nlp_adapt.metrics import classification_metrics

NAMES = ["negative", "positive"]


def metrics_of(matrix: list[list[int]]) -> dict[str, Any]:
    pairs = [
        (i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) for _ in range(count)
    ]
    labels, predictions = zip(*pairs, strict=True)
    return classification_metrics(list(labels), list(predictions), NAMES)


def run(before: list[list[int]], after: list[list[int]]) -> dict[str, Any]:
    source = metrics_of([[450, 50], [50, 450]])
    return {
        "task": "sequence-classification",
        "method": "dann",
        "model": "roberta-base",
        "seed": 42,
        "labels": NAMES,
        "source": {"name": "films", "rows": {"train": 4000, "test": 1000}},
        "target": {"name": "tweets", "rows": {"train": 3000, "test": 1000}},
        "source_only": {"source": source, "target": metrics_of(before)},
        "adapted": {"source": source, "target": metrics_of(after)},
    }
