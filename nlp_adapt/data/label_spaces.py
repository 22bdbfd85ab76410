"""One label space for several sources and targets, matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nlp_adapt.data.labels import as_yaml, check_source, match_labels, propose_label_map
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.errors import DataError
from nlp_adapt.names import label_key

if TYPE_CHECKING:
    from nlp_adapt.data.domain import Domain


def label_space(sources: Sequence[Domain], targets: Sequence[Domain] = ()) -> tuple[str, ...]:
    """The label names that a model predicts: those of the source that has them all.

    A source may lack some of them, and so may a target.

    Raises:
        DataError: A source cannot be learned from, sources have labels of which none has all, or a
            target has labels that they lack; the message proposes a label map.
    """
    widest = widest_source(sources)
    for source in sources:
        check_source(source)
        if missing := labels_beyond(source, widest):
            names = ", ".join(kinds_of(source))
            proposal = propose_label_map(kinds_of(widest), missing)
            raise DataError(
                f"the labels of {source.name} ({names}) and {widest.name} "
                f"({', '.join(kinds_of(widest))}) do not match, and neither has them all. Say what "
                f"they mean with a label map, for example label_map: {as_yaml(proposal)}"
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


def kinds_of(domain: Domain) -> tuple[str, ...]:
    """A domain's labels, or its entity types where labels are tags."""
    names = domain.label_names or ()
    return entity_types(names) if domain.text_column == "tokens" else names
