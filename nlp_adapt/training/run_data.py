"""The data of a run: both domains split, checked and tokenised, target labels left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.labels import check_source, match_labels
from nlp_adapt.data.preprocessing import EncodedRows
from nlp_adapt.data.splits import split_by_hash
from nlp_adapt.tasks import TASKS, Task
from nlp_adapt.training.teacher_logits import load_teacher, with_teacher

SAMPLE_ROWS = 1000


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled rows to score a model on: the data set, and its tokenised rows."""

    dataset: Any
    encoded: EncodedRows


@dataclass(frozen=True)
class RunData:
    """What training and evaluation read.

    Attributes:
        task: The task, with the label names of the run.
        train: Rows to train on by side: `source` with labels, `target` without, if there is one.
        evaluation: Labelled rows by name: `source_validation`, `source_test`, `target_test`.
        max_length: Longest row in tokens.
        train_texts: How many texts each side trains on; a long one may be several rows.
        target_sample: Some of the target's training rows, unlabelled, for label-free scores.
    """

    task: Task
    train: Mapping[str, EncodedRows]
    evaluation: Mapping[str, EvaluationSet]
    max_length: int
    train_texts: Mapping[str, int]
    target_sample: EncodedRows | None = None


def label_space(source: Domain, target: Domain | None) -> tuple[str, ...]:
    """The label names that the model predicts, matched between the domains by name."""
    if target is None:
        check_source(source)
        return source.label_names or ()
    return match_labels(source, target).names


def make_task(config: AdaptationConfig, source: Domain, target: Domain | None) -> Task:
    """The task of a run with its label names."""
    return TASKS[config.task](label_space(source, target))


def prepare_data(
    config: AdaptationConfig,
    task: Task,
    source: Domain,
    target: Domain | None,
    tokenizer: Any,
    max_length: int,
) -> RunData:
    """Split, limit and tokenise both domains.

    The source's validation rows are its own, or a share of its training rows. The target's
    training rows lose their labels here, before anything that trains or selects sees them.
    """
    source = hold_out_validation(source.with_labels(task.label_names), config)
    train_rows = shuffled_head(source.train, config.max_source_rows, config.seed)
    train = {"source": task.encode(train_rows, tokenizer, max_length)}
    texts = {"source": len(train_rows)}
    task.remember(train_rows)
    evaluation = {"source_validation": source.validation, "source_test": source.test}
    if target is not None:
        text = shuffled_head(target.without_labels(), config.max_target_rows, config.seed)
        texts["target"] = len(text)
        encoded = task.encode(text, tokenizer, max_length).without_labels()
        train["target"] = encoded.in_domain(1)
        evaluation["target_test"] = target.with_labels(task.label_names).test
        if config.teacher is not None:
            teacher = load_teacher(config.teacher, task)
            train["source"] = with_teacher(teacher, train["source"], train_rows, task)
            train["target"] = with_teacher(teacher, train["target"], text, task)
    return RunData(
        task=task,
        train=train,
        evaluation={
            name: EvaluationSet(dataset, task.encode(dataset, tokenizer, max_length))
            for name, dataset in evaluation.items()
            if dataset is not None and len(dataset)
        },
        max_length=max_length,
        train_texts=texts,
        target_sample=_sample(train["target"], config.seed) if "target" in train else None,
    )


def _sample(rows: EncodedRows, seed: int) -> EncodedRows:
    order = np.random.default_rng([seed, 8]).permutation(len(rows))
    return rows.select(np.sort(order[:SAMPLE_ROWS]))


def hold_out_validation(source: Domain, config: AdaptationConfig) -> Domain:
    """The source with validation rows: its own, or a share of its training rows by text."""
    if source.validation is not None or source.train is None or not config.validation_fraction:
        return source
    texts = [
        " ".join(text) if isinstance(text, list) else text
        for text in source.train[source.text_column]
    ]
    held = np.array(split_by_hash(texts, config.validation_fraction, config.seed))
    if held.all() or not held.any():
        return source
    return replace(
        source,
        train=source.train.select(np.flatnonzero(~held)),
        validation=source.train.select(np.flatnonzero(held)),
    )


def shuffled_head(dataset: Any, most: int | None, seed: int) -> Any:
    """At most `most` rows, chosen at random but the same for the same seed."""
    if most is None or len(dataset) <= most:
        return dataset
    order = np.random.default_rng([seed, 7]).permutation(len(dataset))[:most]
    return dataset.select(np.sort(order))
