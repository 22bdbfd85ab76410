"""What can be wrong between the domains: shared rows, other labels, and what gives a domain away."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median

from nlp_adapt.data.doctor.finding import NOTE, SERIOUS, WARNING, Finding, first, percent, rows_of
from nlp_adapt.data.doctor.view import DomainView, Rows
from nlp_adapt.data.label_spaces import check_source, compare_labels, label_counts, match_labels
from nlp_adapt.errors import DataError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, label_key

SAMPLE = 2_000
SERIOUS_LEAK = 0.5
FEW_TEST_ROWS = 20
PRIOR_DISTANCE = 0.15
LENGTH_RATIO = 2.0
COMMON_WORDS = 50
SHARED_WORDS = 0.15
MINIMUM_WORDS = 5_000

# Marks of a source that a discriminator can read instead of what the texts say.
_MARKS: dict[str, Callable[[str], object]] = {
    "HTML tags": re.compile(r"<(?:br|p|/p|div|b|i|a)\b[^>]*>", re.IGNORECASE).search,
    "web links": re.compile(r"https?://|www\.|\bt\.co/").search,
    "@mentions": re.compile(r"(?:^|\s)@\w").search,
    "#hashtags": re.compile(r"(?:^|\s)#\w").search,
    "no capital letters": lambda text: text == text.lower() and text != text.upper(),
    "words set apart from punctuation": re.compile(r"\w [.,!?;]").search,
}


def check_pair(source: DomainView, target: DomainView, *, labels: bool = True) -> Iterator[Finding]:
    """Every finding about the two domains side by side.

    Args:
        source: The source.
        target: The target.
        labels: Whether it is this source's labels that the target's must be among.
    """
    yield from _leakage(source, target)
    if labels:
        yield from _labels(source, target)
    yield from _class_shares(source, target)
    ours, theirs = source.training.sample(SAMPLE), target.training.sample(SAMPLE)
    if not len(ours) or not len(theirs):
        return
    yield from _lengths(ours, theirs)
    yield from _scripts(ours, theirs)
    if source.domain.task == SEQUENCE_CLASSIFICATION:
        yield from _marks(ours, theirs)


def check_alone(source: DomainView) -> Iterator[Finding]:
    """What of `check_pair` remains where there is no target."""
    try:
        check_source(source.domain)
    except DataError as error:
        yield Finding("labels", SERIOUS, "source", str(error))
    yield from _leakage(source, None)


def _leakage(source: DomainView, target: DomainView | None) -> Iterator[Finding]:
    """Test texts that training has seen."""
    trained = source.join("train", "validation")
    if target is not None and "test" in target.splits:
        yield from leaked_rows(
            target.splits["test"],
            trained,
            "target",
            "labelled source row",
            "Scores on them measure memory: take them out of one of the two.",
        )
        yield from leaked_rows(
            target.splits["test"],
            target.training,
            "target",
            "target training row",
            "Their labels are not used, but adaptation has read these very texts: scores are "
            "those of a transductive test.",
            serious=False,
        )
    if "test" in source.splits:
        yield from leaked_rows(
            source.splits["test"],
            trained,
            "source",
            "labelled source row",
            "Scores on the source are too high: take them out of one of the two.",
            serious=False,
        )


def found_in(test: Rows, seen: Rows) -> list[str]:
    """Test rows that are among the rows seen, as "place = first place there"."""
    where: dict[str, str] = {}
    for key, place in zip(seen.keys, seen.places, strict=True):
        where.setdefault(key, place)
    return [
        f"{place} = {where[key]}"
        for key, place in zip(test.keys, test.places, strict=True)
        if key in where
    ]


def leaked_rows(
    test: Rows, seen: Rows, side: str, what: str, advice: str, serious: bool = True
) -> Iterator[Finding]:
    """Test rows whose text is among those that training has seen."""
    leaked = found_in(test, seen)
    if not leaked:
        return
    share = len(leaked) / len(test)
    is_serious = serious and share >= SERIOUS_LEAK and len(test) >= FEW_TEST_ROWS
    yield Finding(
        "leakage",
        SERIOUS if is_serious else WARNING,
        side,
        f"{len(leaked):,} of the {side}'s {rows_of(len(test), 'test')} ({percent(share)}) "
        f"{'has' if len(leaked) == 1 else 'have'} the text of a {what}.",
        advice,
        len(leaked),
        first(leaked),
    )


def _labels(source: DomainView, target: DomainView) -> Iterator[Finding]:
    ours, theirs = source.domain.label_names, target.domain.label_names
    try:
        match_labels(source.domain, target.domain)
    except DataError as error:
        yield Finding("labels", SERIOUS, "both", str(error))
        return
    if not ours or not theirs:
        return
    space = compare_labels(source.domain, target.domain)
    if space.source_only:
        yield Finding(
            "label-gap",
            NOTE,
            "target",
            f"no labelled row of {', '.join(space.source_only)}.",
            "Scores on the target say nothing about it.",
            len(space.source_only),
        )
    shared = {label_key(name) for name in theirs}
    order = [label_key(name) for name in ours if label_key(name) in shared]
    known = set(order)
    if order != [label_key(name) for name in theirs if label_key(name) in known]:
        yield Finding(
            "label-order",
            NOTE,
            "both",
            "the domains list their labels in different orders.",
            "They were matched by name.",
        )


def _class_shares(source: DomainView, target: DomainView) -> Iterator[Finding]:
    """Classes in other proportions: what makes aligning the domains dangerous."""
    ours, theirs = (_shares(view) for view in (source, target))
    if not ours or not theirs:
        return
    names = sorted({*ours, *theirs})
    distance = sum(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in names) / 2
    if distance < PRIOR_DISTANCE:
        return
    listed = ", ".join(
        f"{name} {percent(ours.get(name, 0.0))} and {percent(theirs.get(name, 0.0))}"
        for name in names
    )
    yield Finding(
        "class-shares",
        WARNING,
        "both",
        f"the classes have other proportions in the two domains (source and target: {listed}).",
        "Aligning the domains can then mix classes up: compare with the source-only model, and "
        "take auto or iw_cdan rather than dann.",
    )


def _shares(view: DomainView) -> dict[str, float]:
    counts = Counter(
        {label_key(name): count for name, count in label_counts(view.domain).items() if count}
    )
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total >= 20 else {}


def _lengths(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    before, after = (median(len(text) for text in rows.texts) for rows in (ours, theirs))
    ratio = max(before, after) / max(min(before, after), 1)
    if ratio >= LENGTH_RATIO:
        yield Finding(
            "length",
            WARNING,
            "both",
            f"half of the source's texts are longer than {before:,.0f} characters, half of the "
            f"target's longer than {after:,.0f}.",
            "A discriminator can tell the domains apart by length alone, without learning what "
            "they mean: cut long texts with max_length, or split them into sentences.",
        )


def _scripts(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    before, after = _script(ours), _script(theirs)
    if before and after and before != after:
        yield Finding(
            "script",
            WARNING,
            "both",
            f"the source is mostly in {before} script and the target in {after} script.",
            "Use a model that was pretrained on both languages, such as xlm-roberta-base.",
        )
        return
    common, others = _common_words(ours), _common_words(theirs)
    if common and others:
        shared = len(common & others) / COMMON_WORDS
        if shared < SHARED_WORDS:
            yield Finding(
                "language",
                WARNING,
                "both",
                f"the domains share {percent(shared)} of their most frequent words: they may be in "
                "different languages.",
                "If so, use a multilingual model, such as xlm-roberta-base.",
            )


def _script(rows: Rows) -> str:
    letters = Counter(char for text in rows.texts for char in text[:300] if char.isalpha())
    scripts: Counter[str] = Counter()
    for char, count in letters.items():
        scripts[unicodedata.name(char, "UNKNOWN").split()[0].capitalize()] += count
    return scripts.most_common(1)[0][0] if scripts else ""


def _common_words(rows: Rows) -> set[str]:
    words = Counter(word for key in rows.keys for word in key.split() if word.isalpha())
    if sum(words.values()) < MINIMUM_WORDS:
        return set()
    return {word for word, _ in words.most_common(COMMON_WORDS)}


def _marks(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    for name, has in _MARKS.items():
        before, after = (
            sum(bool(has(text)) for text in rows.texts) / len(rows) for rows in (ours, theirs)
        )
        if min(len(ours), len(theirs)) >= FEW_TEST_ROWS and abs(before - after) >= 0.5:
            yield Finding(
                "giveaway",
                NOTE,
                "both",
                f"{percent(before)} of the source's texts and {percent(after)} of the target's "
                f"have {name}.",
                "A discriminator can tell the domains apart by that alone: consider removing the "
                "mark from both.",
            )
