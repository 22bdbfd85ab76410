"""Labelled target rows, or rows that are nearly the same, in what training sees."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_adapt import Domain

SHINGLE = 5  # words in a row
ALIKE = 0.8  # of the shingles of both together, from which rows count as the same
SHORT = 8  # words below which a row, such as "Thank you !", says nothing by being met again
_WORD = re.compile(r"\w+")
Row = tuple[str, str]  # its place, as "file:line", and its text


@dataclass(frozen=True)
class Leak:
    """A labelled row that training would see.

    Attributes:
        place: The labelled row.
        seen_at: The row that training sees.
        alike: Shared shingles among those of both.
        seen_as: What training sees it as, such as `a raw row of kitchen`.
    """

    place: str
    seen_at: str
    alike: float
    seen_as: str


def shingles(text: str) -> frozenset[int]:
    """A hash for each run of five words, without case and marks; none where the row is short."""
    words = _WORD.findall(text.casefold())
    if len(words) < SHORT:
        return frozenset()
    return frozenset(
        hash(tuple(words[at : at + SHINGLE])) for at in range(len(words) - SHINGLE + 1)
    )


def labelled_rows(domain: Domain) -> list[Row]:
    """Every labelled row of a domain."""
    return _rows(domain.train, domain.validation, domain.test)


def leaks(
    pairs: Sequence[tuple[str, str]],
    domains: Mapping[str, Domain],
    scored: Mapping[str, Sequence[Row]],
) -> list[Leak]:
    """Every scored row of a target that is met in what a run reads: source labels and raw target rows.

    Args:
        pairs: Sources and targets.
        domains: By name.
        scored: The rows that a model is scored on, by domain.
    """
    found: list[Leak] = []
    for target in dict.fromkeys(target for _, target in pairs):
        met = Met(scored[target])
        found += met.among(_rows(domains[target].unlabelled), f"a raw row of {target}")
        for source in dict.fromkeys(own for own, other in pairs if other == target):
            labelled = _rows(domains[source].train, domains[source].validation)
            found += met.among(labelled, f"a labelled row of {source}")
    return found


class Met:
    """Finds rows that are nearly those of a collection.

    Args:
        rows: The collection.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = [(place, shingles(text)) for place, text in rows]
        self.where: dict[int, list[int]] = defaultdict(list)
        for number, (_, own) in enumerate(self.rows):
            for one in own:
                self.where[one].append(number)

    def among(self, seen: Sequence[Row], seen_as: str) -> Iterator[Leak]:
        """Rows of the collection that are met among those that training sees."""
        for place, text in seen:
            own = shingles(text)
            shared: dict[int, int] = defaultdict(int)
            for one in own:
                for number in self.where.get(one, ()):
                    shared[number] += 1
            for number, count in shared.items():
                known, theirs = self.rows[number]
                alike = count / len(own | theirs)
                if alike >= ALIKE:
                    yield Leak(known, place, alike, seen_as)


def _rows(*splits: Any) -> list[Row]:
    """Places and texts of the splits that are there."""
    found: list[Row] = []
    for split in splits:
        if split is not None:
            tagged = "tokens" in split.column_names
            texts = map(" ".join, split["tokens"]) if tagged else split["text"]
            found += zip(split["row"], texts, strict=True)
    return found
