"""What a better threshold alone would give: the score at the one that the target's labels choose.

Adaptation often moves a threshold and ranks no better. So beside each model's score stands what it
would reach with one constant added to the logit of each class (of words: to that of `O`), chosen by
the target's test labels: an oracle, for reading only. It is taken from the logits of the final
scores; what trains or chooses a model lies below this room and cannot import it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.metrics.classification import comparable
from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance
from nlp_adapt.names import IGNORED_LABEL, TOKEN_CLASSIFICATION
from nlp_adapt.reporting.results import (
    MISSING,
    Results,
    is_source_only,
    main_measure,
    method_title,
    model_scores,
    part,
    percent,
)
from nlp_adapt.tasks import Task

OUTSIDE_BIASES = np.arange(-24, 25) / 4
MOST_SWEEPS = 10


def yardsticks(
    task: Task, logits: np.ndarray, encoded: EncodedRows, dataset: Any, metrics: dict[str, Any]
) -> dict[str, Any]:
    """What the target's test labels say beside the scores `metrics` of the logits `[units, classes]`.

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
        found["auc"] = area_under_curve(labels, logits[:, 1] - logits[:, 0])
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


def area_under_curve(labels: np.ndarray, scores: np.ndarray) -> float:
    """How often a row of class 1 scores above one of class 0; ties count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = labels == 1
    ones, zeros = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def yardstick_rows(results: Results) -> list[list[str]]:
    """A table of what stands beside the main measure on the target; empty where nothing is known."""
    models = {name: part(scores, "target") for name, scores in model_scores(results).items()}
    measure, threshold = main_measure(results), _threshold(results)
    oracles = [part(scores, "oracle") for scores in models.values()]
    lines = {
        "macro precision, %": [percent(own.get("macro_precision")) for own in models.values()],
        "macro recall, %": [percent(own.get("macro_recall")) for own in models.values()],
        "AUC, %": [percent(own.get("auc")) for own in models.values()],
        f"{measure.title} at the best {threshold}, %": [
            percent(own.get(measure.key)) for own in oracles
        ],
    }
    if results["task"] == TOKEN_CLASSIFICATION:  # whose precision and recall are in the main table
        lines = dict(list(lines.items())[3:])
        lines[f"best {threshold}"] = [_signed(own.get("bias")) for own in oracles]
    rows = [[title, *values] for title, values in lines.items() if {*values} != {MISSING}]
    return [["on target", *models], *rows] if rows else []


def threshold_remark(results: Results) -> list[str]:
    """Whether a threshold of the source-only model explains the whole gain on the target."""
    if is_source_only(results):
        return []
    key, title = main_measure(results).key, main_measure(results).title
    before, after = (part(results, model, "target") for model in ("source_only", "adapted"))
    oracle = part(before, "oracle").get(key)
    if oracle is None or not after:
        return []
    gained = comparable(after, key)
    if not comparable(before, key) < gained <= oracle:
        return []
    return [
        f"At the {_threshold(results)} that the target's labels would choose, the source-only model "
        f"reaches {100 * oracle:.1f} {title}: by this measure {method_title(results)} moves the "
        "threshold rather than ranking better."
    ]


def _threshold(results: Results) -> str:
    if results["task"] == TOKEN_CLASSIFICATION:
        return "bias of O"
    return "threshold" if len(results.get("labels", ())) == 2 else "class biases"


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
    there = support > 0
    f1 = (2 * hits[:, there] / (support + predicted)[:, there]).mean(1)
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
    there = support > 0
    return float((2 * hits[there] / (support + predicted)[there]).mean())


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"
