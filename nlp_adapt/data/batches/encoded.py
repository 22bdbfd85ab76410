"""Tokenised rows in flat arrays, and the padded batches made from them.

A row is what the model reads: one sentence, or one window of a long one. A unit is what carries a
label: the row itself in sequence classification, a word in token classification. Flat arrays keep
millions of rows compact and make a batch a matter of slicing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from nlp_adapt.names import IGNORED_LABEL

WIDTH_STEP = 2
MAX_WIDTHS = 20
WIDTH_GROWTH = 1.08
# Where rows are long, widths lie further apart than WIDTH_STEP, so that few come into question.
_MOST_CANDIDATES = 256


@dataclass(frozen=True)
class EncodedRows:
    """Tokenised rows of one or several domains.

    Attributes:
        ids: `[tokens]` int32, the token ids of all rows one after the other.
        offsets: `[rows + 1]` where each row starts in `ids`.
        labels: `[units]` class index of each unit, -100 where unknown.
        unit_offsets: `[rows + 1]` where each row's units start.
        positions: `[units]` position in its row of the token that stands for the unit; None where
            the unit is the row itself.
        words: `[units]` number of the unit's word in the data set, in token classification; words
            that no unit names vanished in tokenisation.
        domains: `[rows]` domain index of each row.
        total_words: Words in the data set, vanished ones included.
        states: `[tokens, size]` the last hidden state of each token, where the encoder is frozen:
            float32, or the bits of bfloat16 as uint16.
        teacher: `[units, classes]` float32 logits of a teacher, where it was asked; NaN in a batch else.
        planned_lengths: `[rows]` lengths to plan batches by, where rows were cut: those cut to
            their first token meet the same rows as when whole.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    unit_offsets: np.ndarray
    positions: np.ndarray | None = None
    words: np.ndarray | None = None
    domains: np.ndarray | None = None
    total_words: int = 0
    states: np.ndarray | None = None
    teacher: np.ndarray | None = None
    planned_lengths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """`[rows]` tokens in each row, specials included."""
        return np.diff(self.offsets)

    @cached_property
    def unit_counts(self) -> np.ndarray:
        """`[rows]` units in each row."""
        return np.diff(self.unit_offsets)

    @cached_property
    def domain_of_row(self) -> np.ndarray:
        """`[rows]` domain index of each row, 0 where rows are not told apart."""
        return np.zeros(len(self), np.int64) if self.domains is None else self.domains

    @property
    def units(self) -> int:
        """Units in all rows."""
        return int(self.unit_offsets[-1])

    def units_of(self, chosen: np.ndarray) -> np.ndarray:
        """Which units the rows `chosen` hold, in their order."""
        return _spans_of(self.unit_offsets, chosen)

    def without_labels(self) -> "EncodedRows":
        """The same rows with every label set to -100."""
        return replace(self, labels=np.full_like(self.labels, IGNORED_LABEL))

    def select(self, chosen: np.ndarray) -> "EncodedRows":
        """The rows `chosen`, in that order; words are numbered anew."""
        units = self.units_of(chosen)
        return EncodedRows(
            ids=self.ids[_spans_of(self.offsets, chosen)],
            offsets=edges(self.lengths[chosen]),
            labels=self.labels[units],
            unit_offsets=edges(self.unit_counts[chosen]),
            positions=None if self.positions is None else self.positions[units],
            words=None if self.words is None else np.arange(len(units)),
            domains=None if self.domains is None else self.domains[chosen],
            total_words=0 if self.words is None else len(units),
            teacher=None if self.teacher is None else self.teacher[units],
        )

    def in_domain(self, index: int) -> "EncodedRows":
        """The same rows, marked as domain `index`."""
        return replace(self, domains=np.full(len(self), index, dtype=np.int64))


def pack_rows(
    rows: Sequence[Sequence[int]], labels: Sequence[int] | np.ndarray | None = None
) -> EncodedRows:
    """Token id lists, one unit each, as `EncodedRows`."""
    offsets = edges(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)))
    ids = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=int(offsets[-1]))
    known = np.full(len(rows), IGNORED_LABEL) if labels is None else np.asarray(labels)
    return EncodedRows(
        ids=ids,
        offsets=offsets,
        labels=known.astype(np.int64),
        unit_offsets=np.arange(len(rows) + 1, dtype=np.int64),
    )


def concatenate(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Rows of several data sets one after the other, each keeping its domain index."""
    if len(parts) == 1:
        return parts[0]
    first_words = edges(np.array([part.total_words for part in parts]))
    positions = [part.positions for part in parts if part.positions is not None]
    words = [
        part.words + first
        for part, first in zip(parts, first_words, strict=False)
        if part.words is not None
    ]
    return EncodedRows(
        ids=np.concatenate([part.ids for part in parts]),
        offsets=edges(np.concatenate([part.lengths for part in parts])),
        labels=np.concatenate([part.labels for part in parts]),
        unit_offsets=edges(np.concatenate([part.unit_counts for part in parts])),
        positions=np.concatenate(positions) if positions else None,
        words=np.concatenate(words) if words else None,
        domains=np.concatenate([part.domain_of_row for part in parts]),
        total_words=int(first_words[-1]),
    )


def collate(
    parts: Sequence[tuple[EncodedRows, np.ndarray]], *, width: int, pad_id: int
) -> dict[str, np.ndarray]:
    """Pad the chosen rows of each domain to one rectangle, domains one after the other.

    `parts` are the rows of each side and the indices chosen, `[batch rows]`; `width` counts tokens.

    Returns:
        `input_ids` and `attention_mask` `[rows, width]`, and per unit: `labels`, `unit_rows`
        (batch row), `domains` and, in token classification, `unit_positions` (flat index into
        `rows * width`). Where rows have states, also `trunk_states` `[rows, width, size]`.
    """
    firsts = edges(np.array([len(chosen) for _, chosen in parts]))
    input_ids = np.full((firsts[-1], width), pad_id, dtype=np.int64)
    mask = np.zeros_like(input_ids)
    by_unit: dict[str, list[np.ndarray]] = defaultdict(list)
    taught = next((side.teacher.shape[1:] for side, _ in parts if side.teacher is not None), ())
    for (rows, chosen), first in zip(parts, firsts, strict=False):
        numbers = np.arange(first, first + len(chosen))
        real = np.arange(width) < rows.lengths[chosen][:, None]
        mask[numbers] = real
        input_ids[first : first + len(chosen)][real] = rows.ids[_spans_of(rows.offsets, chosen)]
        units = rows.units_of(chosen)
        of_unit = np.repeat(numbers, rows.unit_counts[chosen])
        by_unit["labels"].append(rows.labels[units])
        by_unit["unit_rows"].append(of_unit)
        by_unit["domains"].append(np.repeat(rows.domain_of_row[chosen], rows.unit_counts[chosen]))
        if rows.positions is not None:
            by_unit["unit_positions"].append(of_unit * width + rows.positions[units])
        if taught:
            # What no teacher was asked is no number, and nobody's target.
            answers = rows.teacher[units] if rows.teacher is not None else np.float32(np.nan)
            by_unit["teacher_logits"].append(np.broadcast_to(answers, (len(units), *taught)))
    batch = {"input_ids": input_ids, "attention_mask": mask}
    batch |= {name: np.concatenate(values) for name, values in by_unit.items()}
    if any(rows.states is not None for rows, _ in parts):
        batch["trunk_states"] = _collate_states(parts, len(mask), width)
    return batch


def _collate_states(
    parts: Sequence[tuple[EncodedRows, np.ndarray]], total: int, width: int
) -> np.ndarray:
    """`[rows, width, size]` states of the chosen rows, zero in padding."""
    # Slices of a plain array are cheaper than those of a mapped file; the memory is the same.
    every = [np.asarray(rows.states) for rows, _ in parts if rows.states is not None]
    states = np.zeros((total, width, every[0].shape[1]), dtype=every[0].dtype)
    row = 0
    for (rows, chosen), kept in zip(parts, every, strict=True):
        for index in chosen:
            start, stop = rows.offsets[index], rows.offsets[index + 1]
            states[row, : stop - start] = kept[start:stop]
            row += 1
    return states


def edges(sizes: np.ndarray) -> np.ndarray:
    """`[n + 1]` where each of `n` pieces of the given sizes starts, one after the other."""
    return np.concatenate([[0], np.cumsum(sizes)])


def spans(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The indices from each start to before its stop, one range after the other."""
    sizes = stops - starts
    return np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())


def _spans_of(offsets: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return spans(offsets[chosen], offsets[np.asarray(chosen) + 1])


def choose_widths(lengths: np.ndarray, most: int = MAX_WIDTHS) -> np.ndarray:
    """At most `most` padded widths that waste the fewest padding tokens.

    Few distinct shapes matter on CPU, where each new one compiles new kernels; exact dynamic
    programming over the histogram of lengths finds the best few among the multiples of 2 (of more,
    where rows are longer than 512 tokens) and the greatest length itself.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    longest = int(lengths.max())
    step = max(WIDTH_STEP, -(-longest // _MOST_CANDIDATES))
    rounded = np.minimum(-(-lengths // step) * step, longest)
    values, counts = np.unique(rounded, return_counts=True)
    if len(values) <= most:
        return values
    rows = edges(counts)
    # padded[i, j]: tokens where the rows of the lengths i to j share the width of j.
    padded = (rows[None, 1:] - rows[:-1, None]) * values
    padded[np.tril_indices_from(padded, -1)] = np.iinfo(np.int64).max // 2
    best, firsts = padded[0], []
    for _ in range(1, most):
        options = padded + np.concatenate([[0], best[:-1]])[:, None]
        firsts.append(options.argmin(0))
        best = options.min(0)
    chosen, last = [], len(values) - 1
    for first in reversed([np.zeros(len(values), dtype=np.int64), *firsts]):
        chosen.append(values[last])
        last = int(first[last]) - 1
        if last < 0:
            break
    return np.array(sorted(chosen))


def steady_widths(longest: int) -> np.ndarray:
    """Padded widths up to `longest` that are the same for all rows: each 8 % above the one before.

    For inference, where rows come in chunks: shapes of one chunk come again in the next.
    """
    widths = [min(WIDTH_STEP, longest)]
    while widths[-1] < longest:
        larger = int(widths[-1] * WIDTH_GROWTH) // WIDTH_STEP * WIDTH_STEP
        widths.append(min(max(larger, widths[-1] + WIDTH_STEP), longest))
    return np.array(widths)


def width_for(longest: int, widths: np.ndarray) -> int:
    """The narrowest of `widths` that holds `longest` tokens."""
    return int(widths[min(int(np.searchsorted(widths, longest)), len(widths) - 1)])


def budget_batches(
    rows: EncodedRows,
    device: Any = None,
    *,
    tokens: int,
    most_rows: int,
    pad_id: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """All rows in batches for inference, longest first: their indices, and tensors on `device`.

    A batch has as many rows as fit `tokens`. `share`: the number of this process, and of how many.
    """
    for chosen, width in islice(_budgeted(rows, tokens, most_rows), share[0], None, share[1]):
        yield chosen, to_tensors(collate([(rows, chosen)], width=width, pad_id=pad_id), device)


def _budgeted(rows: EncodedRows, tokens: int, most_rows: int) -> Iterator[tuple[np.ndarray, int]]:
    order, start = np.argsort(-rows.lengths, kind="stable"), 0
    widths = steady_widths(int(rows.lengths.max(initial=1)))
    while start < len(order):
        width = width_for(int(rows.lengths[order[start]]), widths)
        chosen = order[start : start + max(1, min(most_rows, tokens // width))]
        yield chosen, width
        start += len(chosen)


def to_tensors(batch: dict[str, np.ndarray], device: Any = None) -> dict[str, Any]:
    """A collated batch as torch tensors on `device`."""
    import torch

    return {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
