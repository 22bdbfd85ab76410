"""A user's `compute_metrics`, called as `transformers.Trainer` calls it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.tasks import Task


def computed(
    compute: Callable[[Any], Mapping[str, Any]],
    task: Task,
    logits: np.ndarray,
    encoded: EncodedRows,
    rows: Any,
) -> dict[str, float]:
    """What `compute` says of an `EvalPrediction` of logits and labels.

    Of texts these are `[rows, classes]` and `[rows]`; of words `[sentences, words, classes]` and
    `[sentences, words]`, padded, with the label -100 where no word is.

    Raises:
        ConfigError: If it returns anything but numbers by name.
    """
    from transformers import EvalPrediction

    labels = np.asarray(encoded.labels)
    if task.units_are_words:
        logits, labels = _by_sentence(logits, labels, encoded, rows)
    found = compute(EvalPrediction(predictions=logits, label_ids=labels))
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"compute_metrics returned a {type(found).__name__}, but must return a dict of numbers."
        )
    numbers = {}
    for name, value in found.items():
        try:
            numbers[str(name)] = float(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"compute_metrics returned a {type(value).__name__} as '{name}', but must return a "
                "dict of numbers."
            ) from None
    return numbers


def _by_sentence(
    logits: np.ndarray, labels: np.ndarray, encoded: EncodedRows, rows: Any
) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(words) for words in rows["tokens"][:]]
    shape = (len(lengths), max(lengths, default=0))
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    at = encoded.words
    padded = np.zeros((*shape, logits.shape[-1]), dtype=logits.dtype)
    known = np.full(shape, IGNORED_LABEL, dtype=labels.dtype)
    padded[sentence[at], place[at]] = logits
    known[sentence[at], place[at]] = labels
    return padded, known
