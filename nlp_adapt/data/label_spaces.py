"""The label space of a run: what domains have in common, matched by name and never by index."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_proposal import ask_for_map, propose_label_map
from nlp_adapt.data.labels import is_number
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.errors import DataError
from nlp_adapt.names import OUTSIDE, TOKEN_CLASSIFICATION, label_key


@dataclass(frozen=True)
class LabelSpace:
    """The label space that a model is trained in, and how much of it the target shares.

    Classes are matched by name; case and surrounding white space do not matter. For token
    classification `shared`, `source_only` and `target_only` hold entity types, not tags.

    Attributes:
        shared: Names that occur in both domains, which the target's metrics cover.
        source_only: Names that the target's labels lack (all of them if it has no labels).
        target_only: Names that no model trained on the source predicts.
    """

    shared: tuple[str, ...]
    source_only: tuple[str, ...]
    target_only: tuple[str, ...]


def kinds_of(domain: Domain) -> tuple[str, ...]:
    """A domain's labels, or its entity types where labels are tags."""
    names = domain.label_names or ()
    return entity_types(names) if domain.task == TOKEN_CLASSIFICATION else names


def label_counts(domain: Domain) -> dict[str, int]:
    """How often each class (each entity type, counted by entity) occurs in all labelled rows."""
    counts: Counter[str] = Counter()
    names = domain.label_names or ()
    opening = {i: name[2:] for i, name in enumerate(names) if name.startswith("B-")}
    for split, rows in domain.splits.items():
        labels = [] if split == "unlabelled" else rows[domain.label_column][:]
        if domain.task == TOKEN_CLASSIFICATION:
            counts.update(opening[i] for tags in labels for i in tags if i in opening)
        else:
            counts.update(names[i] for i in labels)
    return {name: counts[name] for name in kinds_of(domain)}


def what_was_read(domain: Domain) -> str:
    """The columns that were taken, and how often each class or entity type occurs."""
    labelled = {text for text, label in domain.columns if label}  # in another file or split
    parts = [
        f"columns {text} and {label}" if label else f"column {text}, no labels"
        for text, label in domain.columns
        if label or text not in labelled
    ]
    counts = listed_counts(domain)
    return "; ".join([*parts, *([counts] if counts else [])])


def listed_counts(domain: Domain, most: int | None = None) -> str:
    """`5 negative, 7 positive`; names that are numbers stand in quotation marks."""
    counts = islice(label_counts(domain).items(), most)
    return ", ".join(
        f'{count:,} "{name}"' if is_number(name) else f"{count:,} {name}" for name, count in counts
    )


def check_source(source: Domain) -> None:
    """Refuse a source domain that nothing can be learned from."""
    if source.train is None:
        raise DataError(
            f"the source domain {source.name} has no labelled training rows: "
            "name its label column with label_column."
        )
    names = source.label_names or ()
    labels = source.train[source.label_column][:]
    if source.task == TOKEN_CLASSIFICATION:
        outside = names.index(OUTSIDE)
        if all(i == outside for tags in labels for i in tags):
            raise DataError(
                f"the source domain {source.name} has no entity in its training rows: every tag "
                "is O (or was ignored by label_map)."
            )
        return
    found = {names[i] for i in labels}
    if len(found) < 2:
        raise DataError(
            f"every training row of the source domain {source.name} is labelled "
            f'"{found.pop()}": a classifier needs at least two classes.'
        )


def compare_labels(source: Domain, target: Domain) -> LabelSpace:
    """Compare two domains' labels by name, without judging them."""
    theirs = {label_key(name): name for name, count in label_counts(target).items() if count}
    ours = kinds_of(source)
    keys = {label_key(name) for name in ours}
    return LabelSpace(
        shared=tuple(name for name in ours if label_key(name) in theirs),
        source_only=tuple(name for name in ours if label_key(name) not in theirs),
        target_only=tuple(name for key, name in theirs.items() if key not in keys),
    )


def check_pair(source: Domain, target: Domain) -> None:
    """Refuse a source that nothing can be learned from, and domains of two tasks.

    Raises:
        DataError: Says which.
    """
    if source.task != target.task:
        raise DataError(
            f"{source.name} was read for {source.task} and {target.name} for {target.task}: "
            "read both for the same task."
        )
    check_source(source)


def match_labels(source: Domain, target: Domain) -> LabelSpace:
    """The label space of a model trained on `source` and evaluated on `target`.

    The target may be unlabelled or lack some labels; those that it alone has need a label map.

    Raises:
        DataError: The source cannot be learned from, the tasks differ, or the target has labels
            that the source lacks; the message proposes a label map.
    """
    check_pair(source, target)
    space = compare_labels(source, target)
    if space.target_only:
        ours = kinds_of(source)
        theirs = (*space.shared, *space.target_only)
        what = "entity types" if source.task == TOKEN_CLASSIFICATION else "labels"
        raise DataError(
            f"the {what} of {target.name} ({', '.join(theirs)}) include some that {source.name} "
            f"({', '.join(ours)}) lacks: {', '.join(space.target_only)}. "
            f"{ask_for_map(propose_label_map(ours, theirs))}"
        )
    return space


def label_space(sources: Sequence[Domain], targets: Sequence[Domain] = ()) -> tuple[str, ...]:
    """The label names that a model predicts: those of the source that has them all.

    Raises:
        DataError: A source cannot be learned from, no source has all labels, or a target has labels
            that they lack; the message proposes a label map.
    """
    widest = widest_source(sources)
    for source in sources:
        check_source(source)
        if labels_beyond(source, widest):
            names = ", ".join(kinds_of(source))
            raise DataError(
                f"the labels of {source.name} ({names}) and {widest.name} "
                f"({', '.join(kinds_of(widest))}) do not match, and neither has them all. "
                f"{ask_for_map(propose_label_map(kinds_of(widest), kinds_of(source)))}"
            )
    for target in targets:
        match_labels(widest, target)
    return widest.label_names or ()


def widest_source(sources: Sequence[Domain]) -> Domain:
    """The source with the most labels, the first of those that have equally many."""
    return max(sources, key=lambda source: len(kinds_of(source)))


def labels_beyond(domain: Domain, other: Domain) -> tuple[str, ...]:
    """The labels (entity types, for tags) of `domain` that `other` lacks."""
    known = {label_key(name) for name in kinds_of(other)}
    return tuple(name for name in kinds_of(domain) if label_key(name) not in known)
