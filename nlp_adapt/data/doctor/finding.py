"""What the doctor says: one finding, with its place and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def rows_of(count: int, kind: str = "") -> str:
    """`1 row`, `12,000 test rows`."""
    return f"{count:,} {kind}{' ' if kind else ''}row{'' if count == 1 else 's'}"


def have(count: int, singular: str = "has", plural: str = "have") -> str:
    """`1 row has`, `2 rows have`: a subject with its verb."""
    return f"{rows_of(count)} {singular if count == 1 else plural}"
