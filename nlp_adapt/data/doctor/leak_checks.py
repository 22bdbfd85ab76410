"""Test rows that training has seen: between the domains, within one, and among released rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nlp_adapt.data.doctor.finding import (
    SERIOUS,
    WARNING,
    DomainView,
    Finding,
    Rows,
    found_at,
    percent,
)
from nlp_adapt.names import counted

SERIOUS_LEAK = 0.5
FEW_TEST_ROWS = 20
_MEMORY = "Scores on them measure memory: take them out of one of the two."
_TRANSDUCTIVE = "Their labels are not used, but adaptation has read these very texts"


def check_leakage(source: DomainView, target: DomainView | None) -> Iterator[Finding]:
    """Test rows of a pair, or of a source alone, that its training rows hold."""
    what = "labelled source row"
    if target is not None:
        yield from _leaked(target, source.supervised, what, _MEMORY, serious=True)
        advice = f"{_TRANSDUCTIVE}: scores are those of a transductive test."
        yield from _leaked(target, target.training, "target training row", advice)
    advice = "Scores on the source are too high: take them out of one of the two."
    yield from _leaked(source, source.supervised, what, advice)


def check_twins(source: DomainView, target: DomainView) -> Iterator[Finding]:
    """A target whose text is mostly the source's: most likely one file was named for both."""
    rows = target.training
    shared = rows.found_in(source.training)
    if len(rows) and len(shared) >= SERIOUS_LEAK * len(rows):
        yield found_at(
            shared,
            "same-texts",
            WARNING,
            "both",
            f"{len(shared):,} of the target's {counted(len(rows), 'training row')} "
            f"({percent(len(shared) / len(rows))}) {'has' if len(shared) == 1 else 'have'} the text "
            "of a source training row.",
            "There is hardly anything to adapt to: was one file named for both domains?",
        )


def check_shared_rows(views: Sequence[DomainView]) -> Iterator[Finding]:
    """Test rows of one domain that another of its side trains on."""
    for view in views:
        for other in views:
            if other is view:
                continue
            if view.side == "source":
                seen, kind, advice = other.supervised, "labelled", _MEMORY
            else:
                seen, kind, advice = other.training, "training", f"{_TRANSDUCTIVE}."
            what = f"{kind} row of the {view.side} {other.domain.name}"
            for finding in _leaked(view, seen, what, advice):
                yield replace(finding, domain=f"{view.side} {view.domain.name}")


def check_released(target: DomainView, released: DomainView) -> Iterator[Finding]:
    """Rows released for training among the target's test rows: a run leaves them out there."""
    test = target.splits.get("test")
    if test is None or not (leaked := test.found_in(released.training)):
        return
    none_left = len(leaked) == len(test)
    yield found_at(
        leaked,
        "leakage",
        SERIOUS if none_left else WARNING,
        "target",
        f"{len(leaked):,} of the {counted(len(test), 'test row')} of {target.domain.name} "
        f"({percent(len(leaked) / len(test))}) {'is' if len(leaked) == 1 else 'are'} in "
        "target_few_shot.",
        "No test row would be left: name other rows in one of the two."
        if none_left
        else "They are trained on, and left out of the test rows.",
    )


def _leaked(
    view: DomainView, seen: Rows, what: str, advice: str, serious: bool = False
) -> Iterator[Finding]:
    test = view.splits.get("test")
    if test is None or not (leaked := test.found_in(seen)):
        return
    share = len(leaked) / len(test)
    is_serious = serious and share >= SERIOUS_LEAK and len(test) >= FEW_TEST_ROWS
    yield found_at(
        leaked,
        "leakage",
        SERIOUS if is_serious else WARNING,
        view.side,
        f"{len(leaked):,} of the {view.side}'s {counted(len(test), 'test row')} ({percent(share)}) "
        f"{'has' if len(leaked) == 1 else 'have'} the text of a {what}.",
        advice,
    )
