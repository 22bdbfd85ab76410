"""The data doctor: what is wrong with two domains, before a model is trained on them.

Reading a domain already refuses what cannot be used and notes what was left out. The doctor looks
at what can be used and may still mislead: leaked test rows, contradictory labels, texts that are
cut, classes in other proportions, and marks that give a domain away.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nlp_adapt.data.doctor.domain_checks import check_rows, check_tokens
from nlp_adapt.data.doctor.finding import (
    NOTE,
    SERIOUS,
    SEVERITIES,
    WARNING,
    DomainView,
    Finding,
    text_of,
)
from nlp_adapt.data.doctor.pair_checks import check_alone, check_few_shot, check_pair, check_several
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import widest_source
from nlp_adapt.errors import DataError

__all__ = ["NOTE", "SERIOUS", "WARNING", "Finding", "examine", "refuse_serious"]


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

    Returns:
        The findings, the serious ones first. Of several domains, a finding names which it is about.
    """
    sources = [DomainView(domain, "source") for domain in _listed(source)]
    targets = [DomainView(domain, "target") for domain in _listed(target)]
    several = {"source": len(sources) > 1, "target": len(targets) > 1}

    def name(found: Iterator[Finding], *views: DomainView) -> Iterator[Finding]:
        """The findings, with the domain's name where its side has several."""
        about = {v.side: f"{v.side} {v.domain.name}" for v in views if several[v.side]}
        if len(views) > 1 and about:
            about["both"] = ", ".join(view.domain.name for view in views)
        return (replace(one, domain=about.get(one.domain, one.domain)) for one in found)

    findings: list[Finding] = []
    for view in (*sources, *targets):
        findings += name(check_rows(view), view)
        if tokenizer is not None:
            findings += name(check_tokens(view, tokenizer, max_length), view)
    widest = widest_source([view.domain for view in sources])
    for one in sources:
        for other in targets:
            findings += name(check_pair(one, other, labels=one.domain is widest), one, other)
        if not targets:
            findings += name(check_alone(one), one)
    findings += check_several(sources, targets)
    findings += check_few_shot(targets, few_shot or {})
    found = dict.fromkeys(findings)  # what concerns one domain alone was met in each of its pairs
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _listed(domains: Domain | Sequence[Domain] | None) -> Sequence[Domain]:
    if domains is None:
        return ()
    return (domains,) if isinstance(domains, Domain) else domains


def refuse_serious(findings: Sequence[Finding]) -> None:
    """Raise where a run on this data would mislead."""
    serious = [finding for finding in findings if finding.severity == SERIOUS]
    if serious:
        more = f" ({len(serious) - 1} more: run `nlp-adapt doctor`)" if len(serious) > 1 else ""
        raise DataError(
            f"{text_of(serious[0])}{more} To train all the same, set data_doctor: report."
        )
