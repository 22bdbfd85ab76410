"""Splitting rows into two parts by what they say, not by where they stand, and drawing some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nlp_adapt.files import text_hash

if TYPE_CHECKING:
    from nlp_adapt.data.domain import Domain


def split_by_hash(groups: Sequence[Hashable], fraction: float, seed: int) -> list[bool]:
    """Choose about `fraction` of the rows, whole groups at a time.

    The groups are taken in the order of a hash of their name and the seed, so the choice depends
    neither on the order of the rows nor on the machine. Rows of one group (equal texts, sentences
    of one document) never part, which keeps duplicates from leaking.

    Returns:
        For each row, whether it was chosen. Neither side is empty where there are two groups or
        more and the fraction is neither 0 nor 1.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    ranked = sorted(members, key=lambda group: text_hash(f"{seed}|{group}"))
    wanted = round(fraction * len(groups))
    both = 0 < fraction < 1 and len(ranked) > 1
    least, most = (1, len(ranked) - 1) if both else (0, len(ranked))
    chosen = [False] * len(groups)
    count = 0
    for taken, group in enumerate(ranked[:most]):
        # Stop where the next group would lead further from the wanted size than it is now.
        if taken >= least and count + len(members[group]) / 2 > wanted:
            break
        count += len(members[group])
        for index in members[group]:
            chosen[index] = True
    return chosen


def hold_out_validation(domain: Domain, fraction: float, seed: int) -> Domain:
    """The domain with validation rows: its own, or about `fraction` of its training rows by text."""
    import numpy as np  # not while `--help` asks for the endings of files

    if domain.validation is not None or domain.train is None or not fraction:
        return domain
    texts = [
        " ".join(text) if isinstance(text, list) else text
        for text in domain.train[domain.text_column][:]
    ]
    held = np.array(split_by_hash(texts, fraction, seed))
    if held.all() or not held.any():
        return domain
    return replace(
        domain,
        train=domain.train.select(np.flatnonzero(~held)),
        validation=domain.train.select(np.flatnonzero(held)),
    )


def shuffled_head(dataset: Any, most: int | None, seed: int) -> Any:
    """At most `most` rows, chosen at random but the same for the same seed."""
    import numpy as np  # not while `--help` asks for the endings of files

    if most is None or len(dataset) <= most:
        return dataset
    order = np.random.default_rng([seed, 7]).permutation(len(dataset))[:most]
    return dataset.select(np.sort(order))
