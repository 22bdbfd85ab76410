"""The data doctor: what is wrong with two domains, before a model is trained on them.

Reading a domain already refuses what cannot be used and notes what was left out. The doctor looks
at what can be used and may still mislead: leaked test rows, contradictory labels, texts that are
cut, classes in other proportions, and marks that give a domain away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nlp_adapt.data.doctor.few_shot_checks import check_few_shot
from nlp_adapt.data.doctor.finding import NOTE, SERIOUS, SEVERITIES, WARNING, Finding
from nlp_adapt.data.doctor.pair_checks import check_alone, check_pair
from nlp_adapt.data.doctor.row_checks import check_rows
from nlp_adapt.data.doctor.several_checks import check_several
from nlp_adapt.data.doctor.token_checks import check_tokens
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import kinds_of
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
    source: Domain | Sequence[Domain],
    target: Domain | Sequence[Domain] | None = None,
    *,
    few_shot: Mapping[str, Domain] | None = None,
    tokenizer: Any = None,
    max_length: int = 512,
) -> list[Finding]:
    """Look at a run's domains.

    Args:
        source: The labelled domain, or several.
        target: The domain to adapt to, or several, if there is one.
        few_shot: Labelled rows released for training, by the name of their target.
        tokenizer: A fast tokenizer, to see which texts are cut and which words vanish; without it
            those checks are left out.
        max_length: Longest row in tokens.

    Returns:
        The findings, the serious ones first. Of several domains, a finding names which it is about.
    """
    sources = [DomainView(domain, "source") for domain in _listed(source)]
    targets = [DomainView(domain, "target") for domain in _listed(target)]
    findings: list[Finding] = []
    for view in (*sources, *targets):
        about = {view.side: _called(view, sources, targets)}
        findings += _named(check_rows(view), about)
        if tokenizer is not None:
            findings += _named(check_tokens(view, tokenizer, max_length), about)
    widest = max(sources, key=lambda view: len(kinds_of(view.domain)))
    for one in sources:
        for other in targets:
            names = [_called(view, sources, targets) for view in (one, other)]
            about = {"source": names[0], "target": names[1]}
            if len(sources) > 1 or len(targets) > 1:
                about["both"] = f"{one.domain.name}, {other.domain.name}"
            findings += _named(check_pair(one, other, labels=one is widest), about)
        if not targets:
            findings += _named(check_alone(one), {"source": _called(one, sources, targets)})
    findings += check_several(sources, targets)
    findings += check_few_shot(targets, few_shot or {})
    found = dict.fromkeys(findings)  # what concerns one domain alone was met in each of its pairs
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _listed(domains: Domain | Sequence[Domain] | None) -> Sequence[Domain]:
    if domains is None:
        return ()
    return (domains,) if isinstance(domains, Domain) else domains


def _called(view: DomainView, sources: list[DomainView], targets: list[DomainView]) -> str:
    """The side, with the domain's name where the side has several."""
    several = len(sources if view.side == "source" else targets) > 1
    return f"{view.side} {view.domain.name}" if several else view.side


def _named(findings: Iterator[Finding], about: Mapping[str, str]) -> list[Finding]:
    """The findings, with which domains they are about spelled out."""
    return [
        replace(finding, domain=about.get(finding.domain, finding.domain)) for finding in findings
    ]


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
