"""What can be wrong within one domain: repeated, contradictory, damaged or lopsided rows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from nlp_adapt.data.doctor.finding import NOTE, WARNING, Finding, first, have, percent
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.data.label_spaces import label_counts
from nlp_adapt.names import TOKEN_CLASSIFICATION

# Text that was decoded with the wrong encoding somewhere: what UTF-8's bytes look like in Latin-1
# or Windows-1252.
_MOJIBAKE = re.compile("[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac|\u00e2\u0080|\u00f0\u0178")
_INVISIBLE = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
RARE_SHARE = 0.05
FEW_ROWS = 10


def check_rows(view: DomainView) -> Iterator[Finding]:
    """Every finding about one domain alone."""
    for note in view.domain.notes:
        yield Finding("reading", NOTE, view.side, note)
    yield from _damaged(view)
    yield from _duplicates(view)
    yield from _conflicts(view)
    if view.side == "source":
        yield from _classes(view)


def _damaged(view: DomainView) -> Iterator[Finding]:
    rows = view.everything
    pairs = list(zip(rows.texts, rows.places, strict=True))
    if bad := [place for text, place in pairs if _looks_damaged(text)]:
        yield Finding(
            "encoding",
            WARNING,
            view.side,
            f"{have(len(bad))} characters that look wrongly decoded.",
            "Read the original file again with its true encoding and save it as UTF-8.",
            len(bad),
            first(bad),
        )
    if bad := [place for text, place in pairs if _has_invisible(text)]:
        yield Finding(
            "invisible",
            NOTE,
            view.side,
            f"{have(len(bad))} control or invisible characters.",
            "They are kept; most tokenizers drop them.",
            len(bad),
            first(bad),
        )


def _looks_damaged(text: str) -> bool:
    return not text.isascii() and ("\ufffd" in text or bool(_MOJIBAKE.search(text)))


def _has_invisible(text: str) -> bool:
    return not text.isprintable() and bool(_INVISIBLE.search(text))


def _duplicates(view: DomainView) -> Iterator[Finding]:
    rows = view.training
    seen: dict[str, str] = {}
    repeated = []
    for key, place in zip(rows.keys, rows.places, strict=True):
        if seen.setdefault(key, place) != place:
            repeated.append(f"{place} = {seen[key]}")
    if repeated:
        share = len(repeated) / len(rows)
        yield Finding(
            "duplicates",
            WARNING if share >= 0.1 else NOTE,
            view.side,
            f"{have(len(repeated), 'repeats', 'repeat')} the text of an earlier training row "
            f"({percent(share)}).",
            "They are kept, and weigh as often as they occur.",
            len(repeated),
            first(repeated),
        )


def _conflicts(view: DomainView) -> Iterator[Finding]:
    rows = view.labelled
    if rows.labels is None:
        return
    labels: dict[str, set[object]] = defaultdict(set)
    for key, label in zip(rows.keys, rows.labels, strict=True):
        labels[key].add(label)
    doubtful = {key for key, found in labels.items() if len(found) > 1}
    if not doubtful:
        return
    places: dict[str, list[str]] = defaultdict(list)
    for key, place in zip(rows.keys, rows.places, strict=True):
        if key in doubtful:
            places[key].append(place)
    yield Finding(
        "conflicting-labels",
        WARNING,
        view.side,
        f"{len(doubtful):,} text{'' if len(doubtful) == 1 else 's'} "
        f"{'occurs' if len(doubtful) == 1 else 'occur'} with different labels.",
        "They are kept as they are: decide on one label each, or leave them out.",
        len(doubtful),
        first([" / ".join(group[:4]) for group in places.values()]),
    )


def _classes(view: DomainView) -> Iterator[Finding]:
    domain = view.domain
    if "train" not in view.splits or domain.label_names is None:
        return
    if domain.task == TOKEN_CLASSIFICATION:
        counts = Counter(label_counts(domain))
        what, unit = "entity types", "entities"
    else:
        counts = Counter(dict.fromkeys(domain.label_names, 0))
        counts.update(view.splits["train"].labels or ())
        what, unit = "classes", "training rows"
    total = max(sum(counts.values()), 1)
    missing = [name for name, count in counts.items() if count == 0]
    if missing:
        yield Finding(
            "missing-class",
            WARNING,
            view.side,
            f"no {unit} of {', '.join(missing)}: a model cannot learn to predict it.",
            "Add rows, or leave the name out of the declared ones.",
            len(missing),
        )
    rare = [
        f"{name} ({count:,}, {percent(count / total)})"
        for name, count in counts.items()
        if count and (count < FEW_ROWS or count / total < RARE_SHARE / max(len(counts) - 1, 1))
    ]
    if rare:
        yield Finding(
            "imbalance",
            WARNING,
            view.side,
            f"few {unit} of some {what}: {', '.join(rare)}.",
            "Read macro F1 and the scores by class, not accuracy.",
            len(rare),
        )
