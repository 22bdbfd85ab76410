"""What can be wrong between several sources, or several targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nlp_adapt.data.doctor.finding import SERIOUS, WARNING, Finding
from nlp_adapt.data.doctor.pair_checks import leaked_rows
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.data.label_spaces import label_space, labels_beyond, widest_source
from nlp_adapt.errors import DataError


def check_several(
    sources: Sequence[DomainView], targets: Sequence[DomainView]
) -> Iterator[Finding]:
    """Every finding about the domains of one side among each other; none for single domains."""
    yield from _label_spaces(sources)
    yield from _shared_rows(
        sources,
        "labelled row of the source",
        "Scores on them measure memory: take them out of one of the two.",
    )
    yield from _shared_rows(
        targets,
        "training row of the target",
        "Their labels are not used, but adaptation has read these very texts.",
    )


def _label_spaces(sources: Sequence[DomainView]) -> Iterator[Finding]:
    """Sources that lack labels of others: tags of theirs then contradict each other."""
    if len(sources) < 2:
        return
    domains = [view.domain for view in sources]
    try:
        label_space(domains)
    except DataError as error:
        yield Finding("labels", SERIOUS, "source", str(error))
        return
    widest = widest_source(domains)
    for domain in domains:
        missing = labels_beyond(widest, domain)
        if missing:
            tags = domain.text_column == "tokens"
            yield Finding(
                "label-gap",
                WARNING,
                f"source {domain.name}",
                f"no labelled row of {', '.join(missing)}, which {widest.name} has.",
                "If its texts hold such words, their tag O contradicts the other source: map the "
                "type to ignore in both, or tag it."
                if tags
                else "The model learns it from the other sources alone.",
                len(missing),
            )


def _shared_rows(views: Sequence[DomainView], what: str, advice: str) -> Iterator[Finding]:
    """Test rows of one domain that another of its side trains on."""
    for view in views:
        for other in views:
            if other is view or "test" not in view.splits:
                continue
            seen = other.join("train", "validation") if view.side == "source" else other.training
            for finding in leaked_rows(
                view.splits["test"],
                seen,
                view.side,
                f"{what} {other.domain.name}",
                advice,
                serious=False,
            ):
                yield replace(finding, domain=f"{view.side} {view.domain.name}")
