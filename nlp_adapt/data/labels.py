"""Label spaces of two domains, matched by name and never by index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlp_adapt.data.tagging import (
    IGNORE,
    apply_label_map,
    bio2_names,
    detect_scheme,
    entity_types,
    find_ill_formed,
    repair_bio2,
    split_tag,
    to_bio2,
)
from nlp_adapt.errors import DataError
from nlp_adapt.names import TOKEN_CLASSIFICATION, label_key

if TYPE_CHECKING:
    from nlp_adapt.data.domain import Domain

__all__ = [
    "IGNORE",
    "LabelSpace",
    "apply_label_map",
    "as_yaml",
    "bio2_names",
    "check_source",
    "compare_labels",
    "detect_scheme",
    "entity_types",
    "find_ill_formed",
    "label_counts",
    "match_labels",
    "propose_label_map",
    "repair_bio2",
    "split_tag",
    "to_bio2",
]

# Names that different corpora give to one class. A key's first name stands for the group.
_SYNONYMS = (
    ("PER", "person", "people", "human", "per-name"),
    ("LOC", "location", "gpe", "geo-loc", "geo", "place", "geopolitical", "city", "country"),
    ("ORG", "organization", "organisation", "company", "corporation", "group", "business", "corp"),
    ("MISC", "miscellaneous", "other"),
    ("positive", "pos", "1", "true", "good", "+"),
    ("negative", "neg", "0", "false", "bad", "-"),
    ("neutral", "neu", "mixed"),
)


@dataclass(frozen=True)
class LabelSpace:
    """The label space that a model is trained in, and how much of it the target shares.

    Classes are matched by name; case and surrounding white space do not matter. For token
    classification `shared`, `source_only` and `target_only` hold entity types, not tags.

    Attributes:
        task: The task's name.
        names: What the model predicts, in the order of its outputs: the source's names.
        shared: Names that occur in both domains; these the target's metrics cover.
        source_only: Names that the target's labels lack (all of them if it has no labels).
        target_only: Names that only the target has: no model trained on the source predicts them.
    """

    task: str
    names: tuple[str, ...]
    shared: tuple[str, ...]
    source_only: tuple[str, ...]
    target_only: tuple[str, ...]

    @property
    def label2id(self) -> dict[str, int]:
        """Name -> output index."""
        return {name: i for i, name in enumerate(self.names)}

    @property
    def id2label(self) -> dict[int, str]:
        """Output index -> name."""
        return dict(enumerate(self.names))


def label_counts(domain: Domain) -> dict[str, int]:
    """How often each class (each entity type, counted by entity) occurs in all labelled rows."""
    counts: Counter[str] = Counter()
    for dataset in (domain.train, domain.validation, domain.test):
        if dataset is None:
            continue
        names = domain.label_names or ()
        if domain.task == TOKEN_CLASSIFICATION:
            opening = {i: name[2:] for i, name in enumerate(names) if name.startswith("B-")}
            for row in dataset["labels"][:]:
                counts.update(opening[i] for i in row if i in opening)
        else:
            counts.update(names[i] for i in dataset["label"][:])
    kinds = entity_types(domain.label_names or ()) if _is_tagging(domain) else domain.label_names
    return {name: counts[name] for name in kinds or ()}


def _is_tagging(domain: Domain) -> bool:
    return domain.task == TOKEN_CLASSIFICATION


def check_source(source: Domain) -> None:
    """Refuse a source domain that nothing can be learned from.

    Raises:
        DataError: No labelled training rows, a single class, or no entity at all.
    """
    if source.train is None:
        raise DataError(
            f"the source domain {source.name} has no labelled training rows: "
            "name its label column with label_column."
        )
    names = source.label_names or ()
    if _is_tagging(source):
        outside = names.index("O")
        if not any(i != outside for row in source.train["labels"][:] for i in row):
            raise DataError(
                f"the source domain {source.name} has no entity in its training rows: every tag "
                "is O (or was ignored by label_map)."
            )
        return
    found = {names[i] for i in source.train["label"][:]}
    if len(found) < 2:
        raise DataError(
            f"every training row of the source domain {source.name} is labelled "
            f'"{found.pop()}": a classifier needs at least two classes.'
        )


def compare_labels(source: Domain, target: Domain) -> LabelSpace:
    """Compare two domains' labels by name, without judging them."""
    names = source.label_names or ()
    theirs = {label_key(name): name for name, count in label_counts(target).items() if count}
    ours = entity_types(names) if _is_tagging(source) else names
    keys = {label_key(name) for name in ours}
    return LabelSpace(
        task=source.task,
        names=names,
        shared=tuple(name for name in ours if label_key(name) in theirs),
        source_only=tuple(name for name in ours if label_key(name) not in theirs),
        target_only=tuple(name for key, name in theirs.items() if key not in keys),
    )


def match_labels(source: Domain, target: Domain) -> LabelSpace:
    """The label space of a model trained on `source` and evaluated on `target`.

    The target may be unlabelled, or lack some of the source's labels. Labels that only the
    target has must be mapped or ignored explicitly, in a label map.

    Raises:
        DataError: The source cannot be learned from, the tasks differ, or the target has labels
            that the source lacks; the message proposes a label map.
    """
    if source.task != target.task:
        raise DataError(
            f"{source.name} was read for {source.task} and {target.name} for {target.task}: "
            "read both for the same task."
        )
    check_source(source)
    space = compare_labels(source, target)
    if not space.target_only:
        return space
    ours = entity_types(space.names) if _is_tagging(source) else space.names
    proposal = propose_label_map(ours, space.target_only)
    what = "entity types" if _is_tagging(source) else "labels"
    raise DataError(
        f"the {what} of {target.name} ({', '.join((*space.shared, *space.target_only))}) include "
        f"some that {source.name} ({', '.join(ours)}) lacks: {', '.join(space.target_only)}. "
        f"Say what they mean with a label map, for example label_map: {as_yaml(proposal)}"
    )


def propose_label_map(source_types: Iterable[str], target_types: Iterable[str]) -> dict[str, str]:
    """Propose what each label of the target means in the source's label space.

    A proposal to be read by a person, never applied by itself: equal names and common synonyms
    (person -> PER, geo-loc -> LOC, company -> ORG, 1 -> positive) are mapped, the rest is ignored.
    """
    by_key = {label_key(name): name for name in source_types}
    by_group = {group: name for name in by_key.values() if (group := _group(name)) is not None}
    proposal = {}
    for name in target_types:
        equal = by_key.get(label_key(name))
        group = _group(name)
        proposal[name] = equal or (by_group.get(group) if group is not None else None) or IGNORE
    return proposal


def _group(name: str) -> int | None:
    key = label_key(name)
    for i, group in enumerate(_SYNONYMS):
        if key in (label_key(member) for member in group):
            return i
    return None


def as_yaml(mapping: dict[str, str]) -> str:
    """A label map on one line, as it can be pasted into a recipe."""
    return "{" + ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in mapping.items()) + "}"


def _quoted(word: str) -> str:
    # Bare 0, 1, true and no would be read as something other than text.
    plain = re.fullmatch(r"[A-Za-z][\w-]*", word)
    reserved = word.casefold() in {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return word if plain and not reserved else '"' + word.replace('"', '\\"') + '"'


def encode(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Label names to indices.

    Raises:
        KeyError: A label is not among the names.
    """
    ids = {label_key(name): i for i, name in enumerate(names)}
    return [ids[label_key(label)] for label in labels]
