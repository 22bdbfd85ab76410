"""How well each class is recognised, all from one confusion matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.metrics.rows import check_pair, label_ids

Z95 = 1.96  # two-sided 95 %
AVERAGES = ("macro", "weighted", "micro", None)


def classification_metrics(
    labels: Sequence[int], predictions: Sequence[int], label_names: Sequence[str]
) -> dict[str, Any]:
    """Score class predictions.

    The macro average follows scikit-learn's default: it runs over the classes that occur among
    the labels or the predictions. A class that is predicted but never right counts as 0; a class
    that occurs on neither side is left out of the average and named in `absent_labels`, because
    a macro F1 over fewer classes is not comparable with one over all of them.

    Args:
        labels: True class ids, shape (rows,).
        predictions: Predicted class ids, shape (rows,).

    Returns:
        Plain Python values, JSON-ready: `accuracy`, `macro_f1`, `macro_precision`, `macro_recall`,
        `weighted_f1`, `matthews` (in
        [-1, 1]; 0 where it is undefined), `per_class` (name to `precision`, `recall`, `f1`,
        `support`; all classes, 0 where undefined), `confusion_matrix` (rows are labels, columns
        are predictions, in the order of `label_names`), `label_names`, `absent_labels`, `support`.

    Raises:
        DataError: There are no rows, the sides differ in length, or a row is unlabelled or holds
            an id that has no name.
        ConfigError: Two classes have the same name.
    """
    truth, guesses = label_ids(labels, "labels"), label_ids(predictions, "predictions")
    check_pair(truth, guesses, "labels")
    names = _distinct_names(label_names)
    _check_known(truth, names, "labels")
    _check_known(guesses, names, "predictions")

    matrix = _confusion_matrix(truth, guesses, len(names))
    right, support, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision, recall = _share(right, predicted), _share(right, support)
    columns = (precision, recall, _class_f1(matrix), support)
    present = support + predicted > 0
    return {
        "accuracy": float(right.sum() / len(truth)),
        "macro_f1": _average_f1(matrix, "macro"),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "weighted_f1": _average_f1(matrix, "weighted"),
        "matthews": _matthews(matrix),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(names, *columns, strict=True)
        },
        "confusion_matrix": matrix.tolist(),
        "label_names": names,
        "absent_labels": [name for name, there in zip(names, present, strict=True) if not there],
        "support": len(truth),
    }


def f1(labels: list[int], predictions: list[int], average: str | None) -> Any:
    """Compute F1 over the classes that occur among the labels or the predictions.

    Args:
        labels: True class ids, shape (rows,).
        predictions: Predicted class ids, shape (rows,).
        average: "macro", "weighted", "micro", or None for a list with one value for each class
            that occurs, in the order of their ids.
    """
    if average not in AVERAGES:
        raise ConfigError(f"F1 has no average {average!r}: choose macro, weighted, micro or None.")
    return _average_f1(_occurring(labels, predictions), average)


def matthews(labels: list[int], predictions: list[int]) -> float:
    """Compute the Matthews correlation coefficient (Matthews 1975; multi-class: Gorodkin 2004).

    It lies in [-1, 1]; 0 where it is undefined, which is when either side is all one class.
    """
    return _matthews(_occurring(labels, predictions))


def _occurring(labels: list[int], predictions: list[int]) -> np.ndarray:
    """The confusion matrix of the classes that occur, in the order of their ids."""
    classes, places = np.unique([labels, predictions], return_inverse=True)
    truth, guesses = places.reshape(2, -1)
    return _confusion_matrix(truth, guesses, len(classes))


def _confusion_matrix(labels: Any, predictions: Any, classes: int) -> np.ndarray:
    """Rows `[classes, classes]` by label and prediction."""
    cells = np.asarray(labels) * classes + np.asarray(predictions)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def _share(part: Any, whole: Any) -> np.ndarray:
    """`part / whole`, 0 where both are."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _class_f1(matrix: np.ndarray) -> np.ndarray:
    return _share(2 * matrix.diagonal(), matrix.sum(0) + matrix.sum(1))


def _average_f1(matrix: np.ndarray, average: str | None) -> Any:
    support = matrix.sum(1)
    if average == "micro":  # each row has one label and one prediction: F1 is accuracy
        return float(matrix.trace() / matrix.sum())
    occurs = support + matrix.sum(0) > 0
    scores = _class_f1(matrix)[occurs]
    if average is None:
        return scores.tolist()
    return float(np.average(scores, weights=support[occurs] if average == "weighted" else None))


def _matthews(matrix: np.ndarray) -> float:
    rows, support, predicted = matrix.sum(), matrix.sum(1), matrix.sum(0)
    spread = (rows**2 - support @ support) * float(rows**2 - predicted @ predicted)
    if spread <= 0:
        return 0.0
    return float((matrix.trace() * rows - support @ predicted) / np.sqrt(spread))


def comparable(metrics: Mapping[str, Any], key: str) -> float:
    """The measure `key` such that two models scored on the same rows can be compared.

    Macro-F1 averages over the classes that the model's own predictions hold as well, so that one
    stray prediction of a class without test rows costs a model an equal share of the mean. Here it
    is the mean over the classes that have test rows, for both models alike.
    """
    if domains := metrics.get("domains"):
        return sum(comparable(one, key) for one in domains.values()) / len(domains)
    matrix = metrics.get("confusion_matrix")
    if key != "macro_f1" or not matrix:
        return metrics[key]
    counts = np.array(matrix)
    support, predicted = counts.sum(1), counts.sum(0)
    if not predicted[support == 0].any():
        return metrics[key]
    return float(labelled_f1(counts.diagonal(), support, predicted))


def labelled_f1(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that have rows, from counts `[..., classes]` and support `[classes]`."""
    there = support > 0
    return (2 * hits[..., there] / (support + predicted)[..., there]).mean(-1)


def _distinct_names(label_names: Sequence[str]) -> list[str]:
    names = [str(name) for name in label_names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"Two classes are named {repeated[0]!r}: give each class its own name.")
    return names


def _check_known(ids: list[int], names: list[str], column: str) -> None:
    for row, label in enumerate(ids):
        if label >= len(names):
            raise DataError(
                f"Row {row} of the {column} is class {label}, but only {len(names)} classes have "
                f"names ({', '.join(names)}): give every class a name."
            )


def share_variance(share: float, count: int) -> float:
    """Sampling variance of a share of `count` rows, with two hits and two misses added.

    Else a share of 0 or 1 would be free of noise (Agresti & Coull 1998, The American Statistician).
    """
    smoothed = (share * count + 2) / (count + 4)
    return smoothed * (1 - smoothed) / (count + 4)


def mean_metrics(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the numbers that several domains' metrics hold, each domain counting the same.

    Counts (whole numbers) are added up, what is no number is left out, and a class or entity type
    has the mean over the domains that have it. A single domain's metrics stay as they are.
    """
    if len(metrics) == 1:
        return dict(metrics[0])
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for own in metrics for key in own):
        values = [own[key] for own in metrics if own.get(key) is not None]
        if values and all(isinstance(value, Mapping) for value in values):
            found[key] = mean_metrics(values) if len(values) > 1 else dict(values[0])
        elif values and all(isinstance(value, int) for value in values):
            found[key] = sum(values)
        elif values and all(isinstance(value, (int, float)) for value in values):
            found[key] = sum(values) / len(values)
    return found


def named_numbers(prefix: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The fractions among metrics, and those of a user's `compute_metrics`, as `PREFIX/NAME`."""
    users = metrics.get("compute_metrics", {})
    found = {**metrics, **{f"compute_metrics/{key}": value for key, value in users.items()}}
    return {f"{prefix}/{key}": value for key, value in found.items() if isinstance(value, float)}
