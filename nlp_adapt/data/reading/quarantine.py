"""Rows that cannot be used: refused, or set aside, counted and named."""

import logging
from collections.abc import Mapping
from threading import Lock
from typing import Any

from nlp_adapt.errors import DataError

LOGGER = logging.getLogger("nlp_adapt")
SHOWN = 5


class Quarantine:
    """Sets aside up to `limit` unreadable lines of each file; 0 refuses the first, with a `hint`."""

    def __init__(self, limit: int = 0, hint: str = "") -> None:
        self.limit = limit
        self.hint = hint
        self.counts: dict[str, int] = {}

    def take(self, file: str, name: str, reason: str) -> None:
        """Set a line of a file aside, which messages call `name`; `reason` is a sentence.

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
    """What a stream has passed over, with up to `quarantine` unreadable rows of each shard.

    A row counts once, however often the stream comes round: shards are read from their beginning,
    so that the furthest such row of each tells old ones from new ones.
    """

    def __init__(self, quarantine: int = 0) -> None:
        hint = " Set quarantine to leave some such rows out."
        self._quarantine = Quarantine(quarantine, hint)
        self.counts = {"without_text": 0, "unreadable": 0}
        self.first: dict[str, list[str]] = {kind: [] for kind in self.counts}
        self._furthest: dict[str, int] = {}
        self._lock = Lock()  # the sample and the run may read at the same time

    def note(self, shard: str, number: int, place: str, reason: str | None) -> None:
        """Leave out row `number` of a shard, which messages call `place`.

        The `reason` says in a sentence why it cannot be read; None where it only holds no text.
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
