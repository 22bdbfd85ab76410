"""A running hash of the rows that each step has used, whatever the number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


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
