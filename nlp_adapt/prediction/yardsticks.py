"""What a better threshold alone would give: the score at the one that the labels choose.

Adaptation often moves a threshold and ranks no better. So beside each model's score stands what it
would reach with one constant added to the logit of each class (of words: to that of `O`), chosen by
the labels that are scored on: an oracle, for reading only. It is taken from the logits of the final
scores; what trains or chooses a model lies below this room and cannot import it.
"""

from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.metrics.classification import labelled_f1
from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.tasks import Task

OUTSIDE_BIASES = np.arange(-24, 25) / 4
MOST_SWEEPS = 10


def yardsticks(
    task: Task, logits: np.ndarray, encoded: EncodedRows, dataset: Any, metrics: dict[str, Any]
) -> dict[str, Any]:
    """What the labels say beside the scores `metrics` of the logits `[units, classes]`.

    Returns:
        `oracle`: the main measure at the best constants, and these under `bias`: of texts a number
        for each class, of words one for `O`, with `precision` and `recall` as well. Of two classes
        also `auc`, the area under the ROC curve, which no threshold changes.
    """
    if task.outside is not None:
        return {"oracle": _best_outside(task, task.outside, logits, encoded, dataset, metrics)}
    labels = encoded.labels
    biases = best_biases(labels, logits)
    found: dict[str, Any] = {
        "oracle": {
            "macro_f1": _macro_f1(labels, (logits + biases).argmax(-1), len(biases)),
            "bias": {
                name: round(float(bias), 4)
                for name, bias in zip(task.label_names, biases, strict=True)
            },
        }
    }
    if len(biases) == 2 and len(np.unique(labels)) == 2:
        from sklearn.metrics import roc_auc_score

        found["auc"] = float(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))
    return found


def best_biases(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Constants `[classes]` for the logits `[rows, classes]` with the highest macro-F1.

    A search by coordinates: each class in turn gets the best constant beside the others', until
    none gains. Of two classes it is the best threshold there is.
    """
    biases = np.zeros(logits.shape[1])
    best = _macro_f1(labels, logits.argmax(-1), len(biases))
    for _ in range(MOST_SWEEPS):
        before = best
        for k in range(1 if len(biases) == 2 else 0, len(biases)):
            bias, score = _best_bias(labels, logits + biases, k)
            if score > best + 1e-9:
                biases[k] += bias
                best = score
        if best == before:
            break
    return biases


def _best_outside(
    task: Task,
    outside: int,
    logits: np.ndarray,
    encoded: EncodedRows,
    dataset: Any,
    metrics: dict[str, Any],
) -> dict[str, float]:
    """Scores at the constant for `O` that finds the entities best; near 0 where several do."""
    tags = TagSet.of(task.label_names)
    truth = np.where(encoded.labels == IGNORED_LABEL, outside, encoded.labels)
    others = np.delete(logits, outside, 1)
    entity = np.delete(np.arange(logits.shape[1]), outside)[others.argmax(-1)]
    margin = logits[:, outside] - others.max(-1)

    def score(bias: float) -> float:
        guesses = np.where(margin + bias >= 0, outside, entity)
        return f1_with_variance(count_spans(truth, guesses, encoded.unit_offsets, tags))[0]

    bias = float(max(sorted(OUTSIDE_BIASES, key=abs), key=score))
    moved = logits.astype(np.float64)
    moved[:, outside] += bias
    found = task.metrics(moved, encoded, dataset) if bias else metrics
    if found["f1"] <= metrics["f1"]:
        bias, found = 0.0, metrics
    return {**{key: found[key] for key in ("f1", "precision", "recall")}, "bias": bias}


def _best_bias(labels: np.ndarray, scores: np.ndarray, k: int) -> tuple[float, float]:
    """The constant for class `k` with the highest macro-F1, and that score."""
    classes = scores.shape[1]
    others = scores.copy()
    others[:, k] = -np.inf
    rest, needed = others.argmax(-1), others.max(-1) - scores[:, k]
    # Row after row turns to class k as its constant grows.
    order = np.argsort(needed, kind="stable")
    needed, rest, truth = needed[order], rest[order], labels[order]
    left = np.eye(classes)[rest]
    predicted = left.sum(0) - _running(left)
    hits = (left * (rest == truth)[:, None]).sum(0) - _running(left * (rest == truth)[:, None])
    predicted[:, k] = np.arange(len(labels) + 1)
    hits[:, k] = _running((truth == k)[:, None])[:, 0]
    support = np.bincount(labels, minlength=classes)
    f1 = labelled_f1(hits, support, predicted)
    # Rows that need the same turn together.
    steps = np.flatnonzero(np.append(np.append(True, np.diff(needed) > 0), True))
    best = int(steps[f1[steps].argmax()])
    around = np.concatenate([[needed[0] - 2], needed, [needed[-1] + 2]])
    return float((around[best] + around[best + 1]) / 2), float(f1[best])


def _running(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... rows."""
    return np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])


def _macro_f1(labels: np.ndarray, guesses: np.ndarray, classes: int) -> float:
    """Mean F1 of the classes that have rows, as in `comparable`."""
    support, predicted = (np.bincount(one, minlength=classes) for one in (labels, guesses))
    hits = np.bincount(labels[labels == guesses], minlength=classes)
    return float(labelled_f1(hits, support, predicted))
