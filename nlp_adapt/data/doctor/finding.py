"""What the doctor reads, a domain as plain lists, and what it says of them: findings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nlp_adapt.data.domain import Domain
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted


@dataclass(frozen=True)
class Rows:
    """Some rows of a domain.

    Attributes:
        texts: Each row's text; the words joined by spaces in token classification.
        places: Where each row stands, as "file:line".
        labels: Each row's class name (or tags); None where the rows are unlabelled.
        case_matters: Whether texts that differ in case alone are different; tags depend on it.
    """

    texts: Sequence[str]
    places: Sequence[str]
    labels: Sequence[Any] | None
    case_matters: bool

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def keys(self) -> list[str]:
        """Texts without spacing (and case), by which rows count as the same."""
        texts = self.texts if self.case_matters else (text.casefold() for text in self.texts)
        return [" ".join(text.split()) for text in texts]

    def found_in(self, seen: "Rows") -> list[str]:
        """The rows whose text is among those of `seen`, as "place = first place there"."""
        where: dict[str, str] = {}
        for key, place in zip(seen.keys, seen.places, strict=True):
            where.setdefault(key, place)
        pairs = zip(self.keys, self.places, strict=True)
        return [f"{place} = {where[key]}" for key, place in pairs if key in where]

    def sample(self, most: int) -> "Rows":
        """At most `most` rows, evenly spaced, so that the answer is the same each time."""
        if len(self) <= most:
            return self
        chosen = [index * len(self) // most for index in range(most)]
        return Rows(
            [self.texts[i] for i in chosen],
            [self.places[i] for i in chosen],
            None if self.labels is None else [self.labels[i] for i in chosen],
            self.case_matters,
        )


class DomainView:
    """One domain's rows by their part in a run; `side` is `source` or `target`."""

    def __init__(self, domain: Domain, side: str) -> None:
        self.domain = domain
        self.side = side
        self.tagging = domain.task == TOKEN_CLASSIFICATION
        self.splits = {name: self._rows(dataset) for name, dataset in domain.splits.items()}

    def _rows(self, dataset: Any) -> Rows:
        domain = self.domain
        labels: list[Any] | None = None
        texts = dataset[domain.text_column][:]
        if self.tagging:
            texts = [" ".join(words) for words in texts]
        if domain.label_column in dataset.column_names:
            names = domain.label_names or ()
            raw = dataset[domain.label_column][:]
            labels = [tuple(i) if isinstance(i, list) else names[i] for i in raw]
        return Rows(texts, dataset["row"][:], labels, self.tagging)

    def join(self, *names: str) -> Rows:
        """The rows of several splits, those that exist, one after the other."""
        parts = [self.splits[name] for name in names if name in self.splits]
        if len(parts) == 1:
            return parts[0]
        labelled = bool(parts) and all(part.labels is not None for part in parts)
        return Rows(
            [text for part in parts for text in part.texts],
            [place for part in parts for place in part.places],
            [label for part in parts for label in part.labels or ()] if labelled else None,
            self.tagging,
        )

    @cached_property
    def training(self) -> Rows:
        """What adaptation reads: training and unlabelled rows."""
        return self.join("train", "unlabelled")

    @cached_property
    def supervised(self) -> Rows:
        """What a source is learned from and chosen by: labelled training and validation rows."""
        return self.join("train", "validation")

    @cached_property
    def labelled(self) -> Rows:
        """All rows with labels."""
        return self.join("train", "validation", "test")

    @cached_property
    def everything(self) -> Rows:
        """All rows."""
        return self.join(*self.splits)


SERIOUS = "serious"
WARNING = "warning"
NOTE = "note"
SEVERITIES = (SERIOUS, WARNING, NOTE)
PLACES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One observation about the data. It names places, never texts.

    Attributes:
        code: A short name that stays the same from run to run, such as `leakage`.
        severity: `serious` (a run on this data would mislead), `warning` or `note`.
        domain: `source`, `target` or `both`, or which of several domains it is about.
        message: What was found, in a sentence.
        advice: What was done about it, or what to do.
        count: Rows (or words, or tags) concerned.
        rows: Where the first of them stand, as "file:line".
    """

    code: str
    severity: str
    domain: str
    message: str
    advice: str = ""
    count: int = 0
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity}: {self.domain}: {text_of(self)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "rows": list(self.rows)}


def text_of(finding: Finding) -> str:
    """Message, places and advice, without severity and domain."""
    where = f" [{', '.join(finding.rows)}]" if finding.rows else ""
    return f"{finding.message}{where} {finding.advice}".rstrip()


def found_at(
    places: Sequence[str], code: str, severity: str, domain: str, message: str, advice: str
) -> Finding:
    """A finding about the rows at `places`, of which it shows the first few."""
    shown = tuple(places[:PLACES_SHOWN])
    return Finding(code, severity, domain, message, advice, len(places), shown)


def percent(part: float) -> str:
    """A share as text: 12%, 0.3%, under 0.1%."""
    if 0 < part < 0.001:
        return "under 0.1%"
    return f"{part:.0%}" if part >= 0.1 or part == 0 else f"{part:.1%}"


def have(count: int, singular: str = "has", plural: str = "have") -> str:
    """`1 row has`, `2 rows have`: a subject with its verb."""
    return f"{counted(count, 'row')} {singular if count == 1 else plural}"
