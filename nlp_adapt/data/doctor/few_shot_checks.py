"""What can be wrong with labelled target rows that are released for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nlp_adapt.data.doctor.finding import SERIOUS, WARNING, Finding, first, percent, rows_of
from nlp_adapt.data.doctor.pair_checks import found_in
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import label_counts


def check_few_shot(
    targets: Sequence[DomainView], few_shot: Mapping[str, Domain]
) -> Iterator[Finding]:
    """Every finding about released rows beside the targets that they are from."""
    for view in targets:
        if view.domain.name in few_shot:
            rows = DomainView(few_shot[view.domain.name], "target")
            yield from _leakage(view, rows)
            yield from _missing_labels(rows)


def _leakage(target: DomainView, released: DomainView) -> Iterator[Finding]:
    """Released rows among the target's test rows: a run leaves them out there."""
    if "test" not in target.splits:
        return
    test = target.splits["test"]
    leaked = found_in(test, released.training)
    if not leaked:
        return
    share = len(leaked) / len(test)
    none_left = len(leaked) == len(test)
    yield Finding(
        "leakage",
        SERIOUS if none_left else WARNING,
        "target",
        f"{len(leaked):,} of the {rows_of(len(test), 'test')} of {target.domain.name} "
        f"({percent(share)}) {'is' if len(leaked) == 1 else 'are'} in target_few_shot.",
        "No test row would be left: name other rows in one of the two."
        if none_left
        else "They are trained on, and left out of the test rows.",
        len(leaked),
        first(leaked),
    )


def _missing_labels(released: DomainView) -> Iterator[Finding]:
    counts = label_counts(released.domain)
    missing = [name for name, count in counts.items() if not count]
    if missing:
        yield Finding(
            "few-shot-labels",
            WARNING,
            "target",
            f"the labelled rows of {released.domain.name} hold no {', '.join(missing)}.",
            "The model learns nothing new about it in the target: add rows of it.",
            len(missing),
        )
