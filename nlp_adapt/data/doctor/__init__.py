"""The data doctor: what is wrong with two domains, before a model is trained on them.

Reading a domain already refuses what cannot be used and notes what was left out. The doctor looks
at what can be used and may still mislead: leaked test rows, contradictory labels, texts that are
cut, classes in other proportions, and marks that give a domain away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_adapt.data.doctor.finding import NOTE, SERIOUS, SEVERITIES, WARNING, Finding
from nlp_adapt.data.doctor.pair_checks import check_alone, check_pair
from nlp_adapt.data.doctor.row_checks import check_rows
from nlp_adapt.data.doctor.token_checks import check_tokens
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import DataError

__all__ = [
    "NOTE",
    "SERIOUS",
    "SEVERITIES",
    "WARNING",
    "Finding",
    "examine",
    "refuse_serious",
]


def examine(
    source: Domain,
    target: Domain | None = None,
    *,
    tokenizer: Any = None,
    max_length: int = 512,
) -> list[Finding]:
    """Look at a run's domains.

    Args:
        source: The labelled domain.
        target: The domain to adapt to, if there is one.
        tokenizer: A fast tokenizer, to see which texts are cut and which words vanish; without it
            those checks are left out.
        max_length: Longest row in tokens.

    Returns:
        The findings, the serious ones first.
    """
    views = [DomainView(source, "source")]
    if target is not None:
        views.append(DomainView(target, "target"))
    findings: list[Finding] = []
    for view in views:
        findings += check_rows(view)
        if tokenizer is not None:
            findings += check_tokens(view, tokenizer, max_length)
    if target is not None:
        findings += check_pair(views[0], views[1])
    else:
        findings += check_alone(views[0])
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def refuse_serious(findings: Sequence[Finding]) -> None:
    """Raise where a run on this data would mislead.

    Raises:
        DataError: Names the first serious finding.
    """
    serious = [finding for finding in findings if finding.severity == SERIOUS]
    if serious:
        more = f" ({len(serious) - 1} more: run `nlp-adapt doctor`)" if len(serious) > 1 else ""
        message, advice = serious[0].message, serious[0].advice
        where = f" [{', '.join(serious[0].rows)}]" if serious[0].rows else ""
        raise DataError(
            f"{message}{where} {advice}".rstrip()
            + f"{more} To train all the same, set data_doctor: report."
        )
