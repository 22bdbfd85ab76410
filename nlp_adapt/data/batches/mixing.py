"""Which rows of a side each step takes, where a side may hold the rows of several domains.

Each domain is an endless stream of reshuffled passes over its own rows. The places of a side go
round the domains in turn, so that every domain has an equal share of every step, to within one row,
and exactly its share over time. Which rows a step holds is a pure function of the seed and the step.
"""

import zlib
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows

# Part of the seed of each side's row order.
SALTS = {"source": 1, "target": 2, "few_shot": 4}
SALT_OF_A_DOMAIN = 1000
# Sides whose units objectives see among those of another side.
PART_OF = {"few_shot": "target"}
# Sides whose rows are neither source nor target: each is a batch of its own inside the batch.
APART = "auxiliary/"


class RowStream:
    """An endless sequence of row indices: one random permutation after another.

    `salt` tells streams of one seed apart; the first permutation begins with the rows `first`.
    """

    def __init__(self, rows: int, seed: int, salt: int, first: np.ndarray | None = None) -> None:
        if rows < 1:
            raise ValueError("a stream needs at least one row")
        self.rows = rows
        self._seed = (seed, salt)
        self._first = first
        self._cached: tuple[int, np.ndarray] | None = None

    def take(self, start: int, stop: int) -> np.ndarray:
        """The row indices at stream positions `start` to `stop - 1`."""
        taken = [np.zeros(0, dtype=np.int64)]
        while start < stop:
            epoch, offset = divmod(start, self.rows)
            size = min(stop - start, self.rows - offset)
            taken.append(self._permutation(epoch)[offset : offset + size])
            start += size
        return np.concatenate(taken)

    def _permutation(self, epoch: int) -> np.ndarray:
        # The pass has a seed of its own, so that any step can be reached without those before it.
        if self._cached is None or self._cached[0] != epoch:
            rows = np.random.default_rng([*self._seed, epoch]).permutation(self.rows)
            if epoch == 0 and self._first is not None:
                chosen = np.isin(rows, self._first)
                rows = np.concatenate([rows[chosen], rows[~chosen]])
            self._cached = (epoch, rows)
        return self._cached[1]


class SideStream:
    """The rows of one side, dealt out to steps.

    The longest rows of all come first: where memory is too small for them, a run should fail at
    once and not after an hour. The second longest waits for the middle of the first window, since
    the first step has no optimizer state yet, nor the kernels of most shapes: memory peaks only
    when the widest batch meets both. A pass that ends before that soon begins anew with the widest
    rows. A stream that goes on with a pass has the longest rows of its first window first.

    `rows.domains` tells the side's domains apart, `salt` the sides; `per_step` counts the rows of
    all processes and micro-batches; `passed` steps have been dealt before these.
    """

    def __init__(
        self, rows: EncodedRows, per_step: int, seed: int, salt: int, passed: int = 0
    ) -> None:
        self.per_step = per_step
        self.passed = passed
        planned = rows.planned_lengths
        self._lengths = rows.lengths if planned is None else planned
        found = domain_ids(rows)
        self._members = [np.flatnonzero(rows.domain_of_row == domain) for domain in found]
        self._streams = []
        for index, members in enumerate(self._members):
            own = salt if len(found) == 1 else salt + SALT_OF_A_DOMAIN * (1 + index)
            longest = np.argsort(-self._lengths[members], kind="stable")
            self._streams.append(
                RowStream(len(members), seed, own, longest[: -(-per_step // len(found))])
            )

    def plan(self, first: int, last: int, order: np.ndarray) -> np.ndarray:
        """`[steps, rows per step]` the rows of steps `first` to `last - 1`.

        Within these steps, the rows of each domain are sorted by length and dealt out, so that a
        step holds rows of like length from every domain; `order` says which of the lengths each
        step gets, 0 being the shortest.
        """
        parts = []
        for index, members in enumerate(self._members):
            # Where a domain starts over within these steps, its rows are sorted pass by pass:
            # equal rows are equally long, and a step would hold the same one several times.
            steps_in_pass = max(1, len(members) * len(self._members) // self.per_step)
            pieces = -(-(last - first) // steps_in_pass)
            edges = np.linspace(first, last, pieces + 1).astype(np.int64)
            dealt: list[np.ndarray] = []
            for start, stop in pairwise(edges):
                ranks = order[start - first : stop - first].argsort().argsort()
                dealt += self._deal(index, np.arange(start, stop + 1), ranks)
            if first == 0 and not self.passed:
                _share_longest(dealt, (last - first) // 2, int(edges[1]))
            parts.append(dealt)
        return np.stack([np.concatenate(step) for step in zip(*parts, strict=True)])

    def _deal(self, index: int, steps: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """The rows of one domain in each of `steps`, the last of which is left out."""
        # Which rows these steps share is settled by the stream; only who gets which, by length.
        places = self._places((self.passed + steps) * self.per_step, index)
        rows = self._members[index][self._streams[index].take(int(places[0]), int(places[-1]))]
        rows = rows[np.argsort(self._lengths[rows], kind="stable")]
        sizes = np.diff(places)
        by_length = np.empty_like(sizes)
        by_length[order] = sizes
        dealt = np.split(rows, np.cumsum(by_length)[:-1])
        return [dealt[rank] for rank in order]

    def _places(self, edges: np.ndarray, index: int) -> np.ndarray:
        """How many of the side's places before each edge belong to the domain `index`."""
        domains = len(self._streams)
        return (edges - index + domains - 1) // domains


def _share_longest(dealt: list[np.ndarray], middle: int, pass_end: int) -> None:
    """Exchange the second longest row of all for the longest of the step in the middle.

    `dealt` holds the rows of each step of the first window, sorted by length, and is changed in
    place. Nothing is exchanged beyond the first pass, since a later one may hold the row itself.
    """
    if 0 < middle < pass_end and len(dealt[0]) > 1 and len(dealt[middle]):
        dealt[0][-2], dealt[middle][-1] = dealt[middle][-1], dealt[0][-2]


def salt_of(side: str) -> int:
    """What tells the row order of a side from that of others."""
    return SALTS.get(side, zlib.crc32(side.encode()))


def domain_ids(rows: EncodedRows) -> np.ndarray:
    """The distinct domain indices of the rows."""
    return np.zeros(1, dtype=np.int64) if rows.domains is None else np.unique(rows.domains)


def label_counts(rows: EncodedRows, num_labels: int) -> np.ndarray:
    """`[domains, num_labels]` float32 labels of each domain's units."""
    ids = domain_ids(rows)
    of_unit = np.repeat(np.searchsorted(ids, rows.domain_of_row), rows.unit_counts)
    known = rows.labels >= 0
    places = of_unit[known] * num_labels + rows.labels[known]
    counts = np.bincount(places, minlength=len(ids) * num_labels)
    return counts.reshape(len(ids), num_labels).astype(np.float32)


def side_of(name: str) -> str:
    """The side among whose units objectives see the rows called `name`."""
    return PART_OF.get(name, name)


def is_apart(name: str) -> bool:
    """Whether the rows called `name` are on neither side, such as those of an auxiliary task."""
    return name.startswith(APART)


def several_domains(sides: Mapping[str, EncodedRows]) -> dict[str, int]:
    """How many domains there are on both sides, for each side that holds several; empty if none."""
    found: dict[str, set[int]] = {}
    for name, rows in sides.items():
        found.setdefault(side_of(name), set()).update(domain_ids(rows).tolist())
    size = 1 + max((domain for ids in found.values() for domain in ids), default=0)
    return {side: size for side, ids in found.items() if len(ids) > 1}


def balance(
    sides: Mapping[str, EncodedRows], chosen: Mapping[str, np.ndarray], side: str, domains: int
) -> np.ndarray:
    """`[domains]` factor of a unit of each domain that gives every domain of a side the same say.

    Over the whole step, `chosen`, the factors of the units of a `side` sum to the number of its
    units, in equal parts for the domains that have any. `domains` counts those of both sides.
    """
    units = np.zeros(domains)
    for name, rows in chosen.items():
        ids = sides[name].domains
        if side_of(name) == side and ids is not None:
            units += np.bincount(
                ids[rows], weights=sides[name].unit_counts[rows], minlength=domains
            )
    present = units > 0
    share = units.sum() / max(int(present.sum()), 1)
    return np.where(present, share / np.maximum(units, 1), 0.0).astype(np.float32)
