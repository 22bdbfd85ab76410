"""The scores of a saved model on labelled rows, and under attack."""

from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import DataError
from nlp_adapt.prediction.attack import Attack, attacked_logits, damage
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.yardsticks import yardsticks

UsersMetrics = Callable[[np.ndarray, EncodedRows, Dataset], dict[str, float]]


def evaluate(
    predictor: Predictor,
    domain: Domain,
    split: str | None = None,
    attack: Attack | None = None,
    users: UsersMetrics | None = None,
) -> dict[str, Any]:
    """Score a model on a domain read for its task.

    Rows are those of `split`; by default of test, or all labelled ones where there is none.

    Args:
        users: A user's metrics of logits, encoded rows and rows; they stand beside the task's.

    Returns:
        `task`, `data`, `split` ("train" for a file without splits), `rows` and `metrics`, which
        hold the yardsticks as well; with an attack also what it did (`attack`).

    Raises:
        DataError: There are no such labelled rows, or a label is none of the model's.
    """
    name, rows = _labelled_rows(domain.with_labels(predictor.label_names), split)
    task = predictor.task
    encoded = task.encode(rows, predictor.tokenizer, predictor.max_length)
    # First, for it refuses more.
    attacked = None if attack is None else attacked_logits(predictor, encoded, attack)
    logits = predictor.logits(encoded)
    metrics = _scores(predictor, logits, encoded, rows)
    if users is not None:
        metrics = {**metrics, "compute_metrics": users(logits, encoded, rows)}
    report = {
        "task": task.name,
        "data": domain.name,
        "split": name,
        "rows": len(rows),
        "metrics": metrics,
    }
    if attack is not None and attacked is not None:
        report["attack"] = {
            **attack.to_dict(),
            **damage(logits, attacked, encoded.labels),
            "metrics": _scores(predictor, attacked, encoded, rows),
        }
    return report


def _scores(
    predictor: Predictor, logits: np.ndarray, encoded: EncodedRows, rows: Dataset
) -> dict[str, Any]:
    """The task's metrics, and the yardsticks beside them."""
    metrics = predictor.task.metrics(logits, encoded, rows)
    return metrics | yardsticks(predictor.task, logits, encoded, rows, metrics)


def _labelled_rows(domain: Domain, wanted: str | None) -> tuple[str, Dataset]:
    splits = ("train", "validation", "test")
    found = {name: rows for name, rows in domain.splits.items() if name in splits and len(rows)}
    if not found:
        raise DataError(
            f"{domain.name} has no labelled rows to score: name its label column with "
            "label_column, or give other data."
        )
    if wanted is not None and wanted not in found:
        advice = f"choose --split {' or '.join(found)}"
        if [*found] == ["train"]:  # what a file without splits is read as
            advice = "leave --split out to score all its labelled rows"
        raise DataError(f"{domain.name} has no labelled {wanted} split: {advice}.")
    if wanted is not None or "test" in found:
        return wanted or "test", found[wanted or "test"]
    rows = list(found.values())
    return " + ".join(found), rows[0] if len(rows) == 1 else concatenate_datasets(rows)
