"""Rows that cannot be used: refused, or set aside, counted and named."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from typing import Any

from nlp_adapt.errors import DataError

LOGGER = logging.getLogger("nlp_adapt")
SHOWN = 5


class Quarantine:
    """How many unreadable lines of each file may be set aside.

    Args:
        limit: Most of them; 0 refuses the first.
        hint: What to add where the first is refused.
    """

    def __init__(self, limit: int = 0, hint: str = "") -> None:
        self.limit = limit
        self.hint = hint
        self.counts: dict[str, int] = {}

    def take(self, file: str, name: str, reason: str) -> None:
        """Set a line aside.

        Args:
            file: What tells its file from all others.
            name: What messages call the file.
            reason: Why the line cannot be read, as a sentence.

        Raises:
            DataError: Nothing is set aside, or this is one line too many.
        """
        if not self.limit:
            raise DataError(reason + self.hint)
        count = self.counts[file] = self.counts.get(file, 0) + 1
        if count > self.limit:
            raise DataError(
                f"{name} has more unreadable lines than quarantine allows ({self.limit:,}); "
                f"this one: {reason}"
            )


class LeftOut:
    """What a stream has passed over.

    A row counts once, however often the stream comes round: shards are read from their beginning,
    so that the furthest such row of each tells old ones from new ones.

    Args:
        quarantine: How many unreadable rows of a shard may be left out; 0 refuses the first.
    """

    def __init__(self, quarantine: int = 0) -> None:
        hint = " Set quarantine to leave some such rows out."
        self._quarantine = Quarantine(quarantine, hint)
        self.counts = {"without_text": 0, "unreadable": 0}
        self.first: dict[str, list[str]] = {kind: [] for kind in self.counts}
        self._furthest: dict[str, int] = {}
        self._lock = Lock()  # the sample and the run may read at the same time

    def note(self, shard: str, number: int, place: str, reason: str | None) -> None:
        """Leave a row out.

        Args:
            shard: What tells the shard from all others.
            number: Place of the row in the shard.
            place: What messages call the row.
            reason: Why it cannot be read, as a sentence; None where it only holds no text.

        Raises:
            DataError: As for `Quarantine.take`.
        """
        with self._lock:
            if number <= self._furthest.get(shard, -1):
                return
            if reason is not None:
                self._quarantine.take(shard, "a file of the streamed target", reason)
            self._furthest[shard] = number
            kind = "without_text" if reason is None else "unreadable"
            self.counts[kind] += 1
            if len(self.first[kind]) < SHOWN:
                self.first[kind].append(reason or place)
            if self.counts[kind] == 1:
                LOGGER.warning(
                    "streamed target: %s Such rows are left out, and counted in results.json.",
                    reason or f"{place} holds no text.",
                )

    def report(self) -> dict[str, Any]:
        """For results.json: how many of each kind, and the first ones."""
        with self._lock:
            return {
                kind: {"rows": count, "first": [*self.first[kind]]}
                for kind, count in self.counts.items()
            }

    @property
    def state(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        with self._lock:
            return {
                "counts": dict(self.counts),
                "first": {kind: [*rows] for kind, rows in self.first.items()},
                "furthest": dict(self._furthest),
                "unreadable": dict(self._quarantine.counts),
            }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved `state`."""
        with self._lock:
            self.counts, self.first = dict(state["counts"]), dict(state["first"])
            self._furthest = dict(state["furthest"])
            self._quarantine.counts = dict(state["unreadable"])
