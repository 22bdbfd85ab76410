"""How many entities of a target the source has never named, as a frozen probe sees them."""

from collections import Counter
from collections.abc import Sequence, Set
from itertools import groupby
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import scatter_to_words
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.metrics import entity_surfaces
from nlp_adapt.names import OUTSIDE

FEWEST_ENTITIES = 20
SHOWN = 10


def type_of_tag(names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """`O` and the entity types, and for each tag the place of its type among them."""
    types = (OUTSIDE, *entity_types(names))
    return types, np.array([types.index(name if name == OUTSIDE else name[2:]) for name in names])


def surfaces(dataset: Any) -> set[str]:
    """The case-folded entities of tagged rows, whatever their types."""
    names = dataset.features["labels"].feature.names
    tags = [[names[index] for index in row] for row in dataset["labels"][:]]
    return {surface for surface, _ in entity_surfaces(tags, dataset["tokens"][:])}


def found_surfaces(
    sentences: Sequence[Sequence[str]], rows: EncodedRows, classes: np.ndarray
) -> list[str]:
    """The stretches of words that a probe gives one entity type, case-folded.

    Args:
        rows: The tokenised sentences.
        classes: `[units]` place of each unit's class; 0 is outside.
    """
    by_word = scatter_to_words(classes, rows, 0)
    found, start = [], 0
    for words in sentences:
        own = by_word[start : start + len(words)]
        start += len(words)
        pairs = zip(words, own, strict=True)
        for kind, run in groupby(pairs, key=lambda pair: pair[1]):
            if kind:
                found.append(" ".join(word for word, _ in run).casefold())
    return found


def unseen(
    known: Set[str], held_out: Sequence[str], target: Sequence[str]
) -> dict[str, Any] | None:
    """Shares of the stretches found that are none of the `known` entities.

    The probe marks wrong stretches in both domains, so that the share in held-out sentences of the
    source is what to hold the target's against.

    Returns:
        `target`, `source`, and the most frequent unseen stretches of the target; None with fewer than
        20 stretches in either.
    """
    if min(len(held_out), len(target)) < FEWEST_ENTITIES:
        return None
    new = [surface for surface in target if surface not in known]
    counts = Counter(new)
    frequent = sorted(counts, key=lambda surface: (-counts[surface], surface))
    return {
        "target": len(new) / len(target),
        "source": sum(surface not in known for surface in held_out) / len(held_out),
        "stretches": len(target),
        "often": frequent[:SHOWN],
    }
