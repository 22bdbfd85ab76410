"""The rows that every peer gets: drawn once for a pair and a seed, and written into its jobs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark_methods import scored_on_all
from suites import SUITES, read_domain

from nlp_adapt import Domain

LEAST = 2  # labelled rows of each class, where few are drawn


@dataclass(frozen=True)
class Rows:
    """Texts and labels by side, as a job has them, and what only the scoring sees.

    Attributes:
        truth: Class numbers of the test rows; of words, lists of tag numbers.
        pool: Labelled rows of the target that a few are drawn from.
    """

    label_names: list[str]
    texts: dict[str, list[Any]]
    labels: dict[str, list[Any]]
    truth: list[Any]
    pool: tuple[list[Any], list[Any]]

    def with_few(self, count: int, seed: int) -> Rows:
        """With so many labelled rows of the target, drawn at random, two of each class at least."""
        texts, labels = self.pool
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        first = [
            place
            for name in range(len(self.label_names))
            for place in [place for place in order if labels[place] == name][:LEAST]
        ]
        chosen = (first + [place for place in order if place not in first])[:count]
        return replace(
            self,
            texts={**self.texts, "few": [texts[place] for place in chosen]},
            labels={**self.labels, "few": [labels[place] for place in chosen]},
        )


def read(data: Path, suite: str, source: str, target: str, seed: int, most: int) -> Rows:
    """The rows of a pair, with at most so many of each side, drawn by the seed."""
    own = SUITES[suite]
    whole = read_domain(data, own, target)
    test = scored_on_all(whole) if suite == "amazon" else whole
    return of_domains(read_domain(data, own, source), test, whole.train, seed, most)


def of_domains(source: Domain, target: Domain, pool: Any, seed: int, most: int) -> Rows:
    """The same from two domains; `pool` holds labelled training rows of the target, or None."""
    words = "tokens" in source.train.column_names
    text, label = ("tokens", "labels") if words else ("text", "label")
    feature = source.train.features[label]
    names = list((feature.feature if words else feature).names)
    target = target.with_labels(names)
    sources = _drawn(
        list(zip(source.train[text][:], source.train[label][:], strict=True)), seed, most
    )
    raw = [
        row
        for rows in (target.train, target.unlabelled)
        if rows is not None
        for row in rows[text][:]
    ]
    few: tuple[list[Any], list[Any]] = ([], [])
    if pool is not None and not words:
        known = replace(target, train=pool, test=None).with_labels(names).train
        few = (list(known[text][:]), list(known[label][:]))
    return Rows(
        label_names=names,
        texts={
            "source": [row for row, _ in sources],
            "target": _drawn(raw, seed, most),
            "test": list(target.test[text][:]),
        },
        labels={"source": [one for _, one in sources]},
        truth=list(target.test[label][:]),
        pool=few,
    )


def _drawn(rows: Sequence[Any], seed: int, most: int) -> list[Any]:
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order[:most]
