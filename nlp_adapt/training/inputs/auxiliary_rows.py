"""Rows with the labels of auxiliary tasks, tokenised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.modeling.backbone import load_tokenizer
from nlp_adapt.names import IGNORED_LABEL, label_key
from nlp_adapt.tasks import TASKS, Task
from nlp_adapt.training.inputs.auxiliary_tasks import AuxiliaryTask


def on_source(tasks: Mapping[str, AuxiliaryTask]) -> list[AuxiliaryTask]:
    """The tasks that label the source's own rows, in the order of their columns."""
    return [task for task in tasks.values() if task.rows is None]


def with_source_labels(
    rows: EncodedRows,
    datasets: Mapping[int, Any],
    tasks: Sequence[AuxiliaryTask],
) -> EncodedRows:
    """Rows of the sources with their classes in each task, -100 where they have none.

    Args:
        rows: The tokenised rows of all data sets, one after the other.
        datasets: The data sets in that order, by the index of their source.
        tasks: The tasks that label them.
    """
    if not tasks or not datasets:
        return rows
    labels = np.concatenate(
        [
            np.stack([_classes(task, index, dataset["row"]) for task in tasks], axis=1)
            for index, dataset in datasets.items()
        ]
    )
    sentences = [text for dataset in datasets.values() for text in _sentences(dataset)]
    return replace(rows, row_labels=labels[_texts_of(rows, sentences)])


def _classes(task: AuxiliaryTask, source: int, places: Sequence[str]) -> np.ndarray:
    """`[rows]` the class of each row of a source."""
    index = {label_key(name): number for number, name in enumerate(task.label_names)}
    names = task.of_source[source]
    found = (index[label_key(names[row])] if row in names else IGNORED_LABEL for row in places)
    return np.fromiter(found, dtype=np.int64, count=len(places))


def _sentences(dataset: Any) -> list[Any]:
    return list(dataset["tokens" if "tokens" in dataset.column_names else "text"][:])


def _texts_of(rows: EncodedRows, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """`[rows]` which text each row is from: where words count, a long one is several rows."""
    if rows.words is None:
        return np.arange(len(rows))
    ends = np.cumsum([len(words) for words in sentences])
    return np.searchsorted(ends, rows.words[rows.unit_offsets[:-1]], side="right")


def encode_own(
    task: AuxiliaryTask, dataset: Any, run_task: Task, tokenizer: Any, max_length: int
) -> EncodedRows:
    """A task's own rows as the run reads them: words where it labels words or the run is about them.

    Args:
        task: The auxiliary task.
        dataset: Its labelled rows, in canonical columns.
        run_task: The run's task.
        tokenizer: The run's tokenizer.
        max_length: Longest row in tokens.
    """
    assert task.rows is not None
    own = TASKS[task.rows.task](task.label_names)
    if own.units_are_words:
        return own.encode(dataset, _for_words(tokenizer, run_task), max_length)
    labels = np.asarray(dataset["label"][:], dtype=np.int64)[:, None]
    if not run_task.units_are_words:
        rows = own.encode(dataset, tokenizer, max_length).without_labels()
        return replace(rows, row_labels=labels)
    sentences = [[word for word, _, _ in split_words(text)] for text in dataset["text"][:]]
    rows = encode_words(sentences, tokenizer, max_length)
    return replace(rows, row_labels=labels[_texts_of(rows, sentences)])


def _for_words(tokenizer: Any, run_task: Task) -> Any:
    """The tokenizer as it is loaded for words: byte-level ones put a space before each."""
    if run_task.units_are_words or not tokenizer.name_or_path:
        return tokenizer
    return load_tokenizer(tokenizer.name_or_path, words=True)


def held_out_split(rows: Domain) -> Domain:
    """The rows with validation rows of their own, if they bring any, or test rows in their place."""
    return replace(rows, validation=rows.validation or rows.test, test=None)
