"""Scoring from cached states where the whole encoder is frozen: no row passes it twice.

Validation, tests and the label-free scores of a run read the same rows again and again, for both of
its models. With heads alone to train, that takes far longer than the training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.modeling.trunk import Trunk


class KnownRows:
    """Rows whose first token's last state is known, for heads that read nothing else.

    Args:
        trunk: The whole encoder.
        rows: The rows.
        states: `[rows, size]` state of each row's first token, float32.
        pad_id: Token id of padding; no row may end with it.
    """

    def __init__(self, trunk: Trunk, rows: EncodedRows, states: np.ndarray, pad_id: int) -> None:
        self._trunk = trunk
        self._lookup = _Lookup(places_of(rows), states, pad_id)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, the encoder looks these rows up instead of computing them; it reads no others."""
        with self._trunk.fed_by(self._lookup):
            yield


def places_of(rows: EncodedRows) -> dict[bytes, int]:
    """Where each row is, by its token ids."""
    ids, offsets = rows.ids.astype(np.int64), rows.offsets
    return {ids[offsets[row] : offsets[row + 1]].tobytes(): row for row in range(len(rows))}


def ends_with(rows: EncodedRows, token: int) -> bool:
    """Whether any row's last token is `token`."""
    return bool((rows.ids[rows.offsets[1:] - 1] == token).any())


class _Lookup(nn.Module):
    """Stands in for the embeddings: known states at the first token, zeros at all others."""

    def __init__(self, places: dict[bytes, int], states: np.ndarray, pad_id: int) -> None:
        super().__init__()
        self._places, self._states, self._pad_id = places, states, pad_id

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """`[rows, width, size]` for `input_ids` `[rows, width]`, however they are handed over."""
        ids = options["input_ids"] if "input_ids" in options else arguments[0]
        padded = ids.cpu().numpy().astype(np.int64)
        real = padded != self._pad_id
        ends = padded.shape[1] - real[:, ::-1].argmax(1)
        found = [self._places[row[:end].tobytes()] for row, end in zip(padded, ends, strict=True)]
        states = torch.zeros(*ids.shape, self._states.shape[1], device=ids.device)
        states[:, 0] = torch.from_numpy(self._states[found]).to(ids.device)
        return states
