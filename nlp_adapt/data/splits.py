"""Splitting rows into two parts by what they say, not by where they stand."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence


def split_by_hash(groups: Sequence[Hashable], fraction: float, seed: int) -> list[bool]:
    """Choose about `fraction` of the rows, whole groups at a time.

    The groups are ranked by a hash of their name and the seed, and taken in that order, so the
    choice depends neither on the order of the rows nor on the machine. Rows of one group (equal
    texts, sentences of one document) never part, which keeps duplicates from leaking.

    Args:
        groups: The group of each row.
        fraction: How much of the rows to choose, from 0 to 1.
        seed: A different seed gives a different choice.

    Returns:
        For each row, whether it was chosen. Where there are two groups or more and the fraction
        is neither 0 nor 1, neither side is empty.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    ranked = sorted(members, key=lambda group: _digest(group, seed))
    wanted = round(fraction * len(groups))
    least, most = 0, len(ranked)
    if 0 < fraction < 1 and len(ranked) > 1:
        least, most = 1, len(ranked) - 1
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


def _digest(group: Hashable, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{group}".encode("utf-8", "surrogatepass")).digest()
