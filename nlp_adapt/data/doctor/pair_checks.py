"""What can be wrong between domains: shared rows, other labels, and what gives a domain away."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from nlp_adapt.data.doctor.finding import NOTE, SERIOUS, WARNING, DomainView, Finding, Rows, percent
from nlp_adapt.data.doctor.leak_checks import (
    check_leakage,
    check_released,
    check_shared_rows,
    check_twins,
)
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import (
    check_source,
    kinds_of,
    label_counts,
    label_space,
    labels_beyond,
    match_labels,
    widest_source,
)
from nlp_adapt.errors import DataError
from nlp_adapt.names import label_key

SAMPLE = 2_000
FEW_ROWS = 20
PRIOR_DISTANCE = 0.15
LENGTH_RATIO = 2.0
COMMON_WORDS = 50
SHARED_WORDS = 0.15
MINIMUM_WORDS = 5_000

# Marks of a source that a discriminator can read instead of what the texts say.
_MARKS: dict[str, Callable[[str], object]] = {
    "HTML tags": re.compile(r"<(?:br|p|/p|div|b|i|a)\b[^<>]*>", re.IGNORECASE).search,
    "web links": re.compile(r"https?://|www\.|\bt\.co/").search,
    "@mentions": re.compile(r"(?:^|\s)@\w").search,
    "#hashtags": re.compile(r"(?:^|\s)#\w").search,
    "no capital letters": lambda text: text == text.lower() and text != text.upper(),
    "words set apart from punctuation": re.compile(r"\w [.,!?;]").search,
}


def check_pair(source: DomainView, target: DomainView, *, labels: bool = True) -> Iterator[Finding]:
    """Every finding about a source and a target side by side.

    `labels` says whether it is this source's labels that the target's must be among.
    """
    yield from check_leakage(source, target)
    yield from check_twins(source, target)
    found = list(_labels(source.domain, target.domain)) if labels else []
    yield from found
    if all(one.severity != SERIOUS for one in found):  # else the domains have other classes
        yield from _class_shares(source, target)
    ours, theirs = source.training.sample(SAMPLE), target.training.sample(SAMPLE)
    if not len(ours) or not len(theirs):
        return
    yield from _lengths(ours, theirs)
    yield from _languages(ours, theirs)
    if not source.tagging and min(len(ours), len(theirs)) >= FEW_ROWS:
        yield from _marks(ours, theirs)


def check_alone(source: DomainView) -> Iterator[Finding]:
    """What of `check_pair` remains where there is no target."""
    try:
        check_source(source.domain)
    except DataError as error:
        yield Finding("labels", SERIOUS, "source", str(error))
    yield from check_leakage(source, None)


def check_several(
    sources: Sequence[DomainView], targets: Sequence[DomainView]
) -> Iterator[Finding]:
    """Every finding about the domains of one side among each other; none for single domains."""
    if len(sources) > 1:
        yield from _label_spaces([view.domain for view in sources])
    yield from check_shared_rows(sources)
    yield from check_shared_rows(targets)


def check_few_shot(
    targets: Sequence[DomainView], few_shot: Mapping[str, Domain]
) -> Iterator[Finding]:
    """Every finding about labelled target rows that are released for training."""
    views = [DomainView(released, "target") for released in few_shot.values()]
    for view in targets:
        for rows in views:
            yield from check_released(view, rows)
        if view.domain.name not in few_shot:
            continue
        released = few_shot[view.domain.name]
        if missing := [name for name, count in label_counts(released).items() if not count]:
            yield Finding(
                "few-shot-labels",
                WARNING,
                "target",
                f"the labelled rows of {released.name} hold no {', '.join(missing)}.",
                "The model learns nothing new about it in the target: add rows of it.",
                len(missing),
            )


def _labels(source: Domain, target: Domain) -> Iterator[Finding]:
    try:
        space = match_labels(source, target)
    except DataError as error:
        yield Finding("labels", SERIOUS, "both", str(error))
        return
    if not source.label_names or not target.label_names:
        return
    if space.source_only:
        yield Finding(
            "label-gap",
            NOTE,
            "target",
            f"no labelled row of {', '.join(space.source_only)}.",
            "Scores on the target say nothing about it.",
            len(space.source_only),
        )
    ours, theirs = (list(map(label_key, one.label_names or ())) for one in (source, target))
    if [name for name in ours if name in theirs] != [name for name in theirs if name in ours]:
        yield Finding(
            "label-order",
            NOTE,
            "both",
            "the domains list their labels in different orders.",
            "They were matched by name.",
        )


def _label_spaces(sources: Sequence[Domain]) -> Iterator[Finding]:
    """Sources that lack labels of others: tags of theirs then contradict each other."""
    try:
        label_space(sources)
    except DataError as error:
        yield Finding("labels", SERIOUS, "source", str(error))
        return
    widest = widest_source(sources)
    for domain in sources:
        if missing := labels_beyond(widest, domain):
            yield Finding(
                "label-gap",
                WARNING,
                f"source {domain.name}",
                f"no labelled row of {', '.join(missing)}, which {widest.name} has.",
                "If its texts hold such words, their tag O contradicts the other source: map the "
                "type to ignore in both, or tag it."
                if domain.text_column == "tokens"
                else "The model learns it from the other sources alone.",
                len(missing),
            )


def _class_shares(source: DomainView, target: DomainView) -> Iterator[Finding]:
    """Classes in other proportions: what makes aligning the domains dangerous."""
    ours, theirs = _shares(source.domain), _shares(target.domain)
    if not ours or not theirs:
        return
    pairs = {
        name: (ours.get(name, 0.0), theirs.get(name, 0.0)) for name in sorted({*ours, *theirs})
    }
    if sum(abs(before - after) for before, after in pairs.values()) / 2 < PRIOR_DISTANCE:
        return
    named = {label_key(name): name for one in (target, source) for name in kinds_of(one.domain)}
    listed = [f"{named[key]} {percent(a)} and {percent(b)}" for key, (a, b) in pairs.items()]
    yield Finding(
        "class-shares",
        WARNING,
        "both",
        "the classes have other proportions in the two domains (source and target: "
        f"{', '.join(listed)}).",
        "Aligning the domains can then mix classes up: compare with the source-only model, and "
        "take auto or iw_cdan rather than dann.",
    )


def _shares(domain: Domain) -> dict[str, float]:
    """The share of each class; none where too few rows tell."""
    counts = {label_key(name): count for name, count in label_counts(domain).items() if count}
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total >= FEW_ROWS else {}


def _lengths(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    before, after = (median(len(text) for text in rows.texts) for rows in (ours, theirs))
    if max(before, after) / max(min(before, after), 1) >= LENGTH_RATIO:
        yield Finding(
            "length",
            WARNING,
            "both",
            f"half of the source's texts are longer than {before:,.0f} characters, half of the "
            f"target's longer than {after:,.0f}.",
            "A discriminator can tell the domains apart by length alone, without learning what "
            "they mean: cut long texts with max_length, or split them into sentences.",
        )


def _languages(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    before, after = _script(ours), _script(theirs)
    common, others = _common_words(ours), _common_words(theirs)
    shared = len(common & others) / COMMON_WORDS
    if before and after and before != after:
        yield Finding(
            "script",
            WARNING,
            "both",
            f"the source is mostly in {before} script and the target in {after} script.",
            "Use a model that was pretrained on both languages, such as xlm-roberta-base.",
        )
    elif common and others and shared < SHARED_WORDS:
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
    enough = words.total() >= MINIMUM_WORDS
    return {word for word, _ in words.most_common(COMMON_WORDS)} if enough else set()


def _marks(ours: Rows, theirs: Rows) -> Iterator[Finding]:
    for name, has in _MARKS.items():
        before, after = (
            sum(bool(has(text)) for text in rows.texts) / len(rows) for rows in (ours, theirs)
        )
        if abs(before - after) >= 0.5:
            yield Finding(
                "giveaway",
                NOTE,
                "both",
                f"{percent(before)} of the source's texts and {percent(after)} of the target's "
                f"have {name}.",
                "A discriminator can tell the domains apart by that alone: consider removing the "
                "mark from both.",
            )
