"""Paired batches whose target is a stream, read and tokenised a window of steps ahead."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows, concatenate
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.streaming import TextStream


@dataclass(frozen=True)
class _Window:
    """The rows of some steps, and where their source stood before and after them."""

    before: dict[str, int]
    rows: EncodedRows
    after: dict[str, int]


class _RowSource:
    """Endless tokenised rows from a stream of texts, of which a long one gives several rows.

    Texts are taken in portions. A position is that of the stream before the portion at hand, its
    size, and how many of its rows are used.
    """

    def __init__(self, stream: TextStream, encode: Callable[[list[Any]], EncodedRows]) -> None:
        self._stream = stream
        self._encode = encode
        self._before = stream.state
        self._portion: EncodedRows | None = None
        self._texts = self._used = self._served = 0

    @property
    def state(self) -> dict[str, int]:
        """Where it stands."""
        own = {"texts": self._texts, "used": self._used, "served": self._served}
        return {**self._before, **own}

    def seek(self, state: Mapping[str, int]) -> None:
        """Go to where another source of the same stream stood."""
        self._stream.seek(state)
        self._before, self._portion, self._texts = self._stream.state, None, 0
        if state["texts"]:
            self._next_portion(state["texts"])
        self._used, self._served = state["used"], state["served"]

    def take(self, count: int) -> EncodedRows:
        """The next `count` rows."""
        parts: list[EncodedRows] = []
        while count:
            if self._portion is None:
                self._next_portion(count)
            assert self._portion is not None
            stop = min(self._used + count, len(self._portion))
            whole = stop - self._used == len(self._portion)
            chosen = np.arange(self._used, stop)
            parts.append(self._portion if whole else self._portion.select(chosen))
            count, self._served = count - len(chosen), self._served + len(chosen)
            self._used = stop
            if stop == len(self._portion):
                self._before, self._portion = self._stream.state, None
                self._texts = self._used = 0
        return concatenate(parts)

    def _next_portion(self, texts: int) -> None:
        self._portion = self._encode(self._stream.take(texts))
        self._texts, self._used = texts, 0


class StreamedBatches(PairedBatches):
    """Paired batches whose target rows come from a stream, one window of steps at a time.

    The next window is read and tokenised in the background while the current one trains. Beside
    the source rows, `sides` holds a sample of the target's to choose padded widths from; a row has
    at most `max_length` tokens. The `options` are those of `PairedBatches`.
    """

    def __init__(
        self,
        sides: dict[str, EncodedRows],
        *,
        stream: TextStream,
        encode: Callable[[list[Any]], EncodedRows],
        max_length: int,
        **options: Any,
    ) -> None:
        super().__init__(sides, **options)
        self._left_out = stream.left_out
        self._source = _RowSource(stream, encode)
        # The sample need not hold the longest row.
        self.widths = np.unique([*self.widths, max_length])
        self._streams.pop("target")
        self._window: _Window | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="target-stream")
        self._next: tuple[int, Future[_Window]] | None = None

    def row_ids(self, step: int) -> dict[str, np.ndarray]:
        """Row numbers of the source, and for the target how many rows came before."""
        rows = self.rows_of(step)
        if self._window is None:
            return rows
        return {**rows, "target": rows["target"] + self._window.before["served"]}

    def stream_state(self, step: int) -> dict[str, Any]:
        """Where the stream must stand for `step` to be the next, and what it has left out."""
        if self._window is None:
            position = self._source.state
        else:  # the source itself is a window ahead
            same = self._plan is not None and self._plan[0] == self.window_of(step)
            position = self._window.before if same else self._window.after
        return {**position, "left_out": self._left_out.state}

    def seek(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved `stream_state`."""
        self._left_out.load(state["left_out"])
        self._source.seek(state)

    def _plan_window(self, window: int) -> dict[str, np.ndarray]:
        plan = super()._plan_window(window)
        steps = self._steps_in(window)
        self._window = self._fetched(steps * self.global_batch)
        self.sides = {**self.sides, "target": self._window.rows}
        self._labelled_cache.pop("target", None)
        # A stream cannot go back for a row: what a window reads is sorted within that window.
        rows = np.argsort(self._window.rows.lengths, kind="stable")
        plan["target"] = rows.reshape(steps, self.global_batch)[self.order_of(window)]
        following = min(window + 1, len(self._edges) - 2)
        ahead = self._steps_in(following) * self.global_batch
        self._next = (ahead, self._reader.submit(self._fetch, ahead))
        return plan

    def _steps_in(self, window: int) -> int:
        return int(self._edges[window + 1] - self._edges[window])

    def _fetched(self, count: int) -> _Window:
        if self._next is not None:
            expected, future = self._next
            window = future.result()
            if expected == count:
                return window
            # Steps that were skipped have led back to a window of another size.
            self._source.seek(window.before)
        return self._fetch(count)

    def _fetch(self, count: int) -> _Window:
        before = self._source.state
        return _Window(before, self._source.take(count), self._source.state)
