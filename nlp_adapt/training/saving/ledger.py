"""A running hash of the rows that each step has used, whatever the number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_adapt.data.batches.pairing import PairedBatches


class SampleLedger:
    """A chain of SHA-256 over the row numbers of every step tried, skipped ones included.

    Two runs with the same value have seen the same rows in the same order. The value is saved with
    each checkpoint, so that an interrupted run ends with the value of an uninterrupted one.
    """

    def __init__(self, value: str = "") -> None:
        self.value = value

    def add(self, stage: int, attempt: int, rows: Mapping[str, np.ndarray] | Any) -> None:
        """Enter the rows `[global batch]` of each side of one step."""
        digest = hashlib.sha256(f"{self.value}:{stage}:{attempt}".encode())
        for side in sorted(rows):
            digest.update(side.encode())
            digest.update(np.ascontiguousarray(rows[side], dtype="<i8").tobytes())
        self.value = digest.hexdigest()


def tokens_hash(batches: PairedBatches, step: int) -> str:
    """SHA-256 over the tokens of all rows of a step, which changes with the texts themselves."""
    digest = hashlib.sha256()
    for side, chosen in sorted(batches.rows_of(step).items()):
        rows = batches.sides[side].select(np.asarray(chosen))
        digest.update(side.encode())
        digest.update(np.ascontiguousarray(rows.lengths, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(rows.ids, dtype="<i8").tobytes())
    return digest.hexdigest()
