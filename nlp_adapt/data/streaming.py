"""A target of any size in constant memory: shuffled, endless, and resumable at any row.

Shards are visited in a new random order in each pass. Within a shard, rows are read in blocks of
the shuffle buffer's size and each block is shuffled. So the whole order is a function of the seed,
a position is five small numbers, and resuming reads past the rows before it without tokenising
them. Every process reads the same stream and takes its share of each step: shards of unequal length
cannot part the processes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nlp_adapt.data.chunks import RowFile
from nlp_adapt.data.examples import ReadOptions, read_examples
from nlp_adapt.data.files import SUFFIXES, data_suffix
from nlp_adapt.data.pairing import PairedBatches
from nlp_adapt.data.preprocessing import EncodedRows
from nlp_adapt.data.tables import table_from_records
from nlp_adapt.errors import DataError

_HUB = re.compile(
    r"(?P<path>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^/:\s]+))?(?:/(?P<split>[\w.]+))?"
)
_EDGE_BYTES = 65536


class Shard(Protocol):
    """A part of a stream that is read from its beginning."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def blocks(self, size: int, skip: int) -> Iterator[list[dict[str, Any]]]:
        """Records `size` at a time, after `skip` blocks."""

    def fingerprint(self) -> str:
        """Something that changes with the content."""


@dataclass(frozen=True)
class FileShard:
    """A local file: csv, tsv, jsonl, parquet or txt, each also gzip'd."""

    path: Path
    task: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def blocks(self, size: int, skip: int) -> Iterator[list[dict[str, Any]]]:
        """Records `size` rows at a time; rows that cannot be read are left out."""
        for chunk in islice(RowFile(self.path, self.task).chunks(size), skip, None):
            yield chunk.records

    def fingerprint(self) -> str:
        """Hash of name, size, and the file's first and last 64 KiB."""
        size = self.path.stat().st_size
        digest = hashlib.sha256(f"{self.name}:{size}".encode())
        with self.path.open("rb") as file:
            digest.update(file.read(_EDGE_BYTES))
            file.seek(max(0, size - _EDGE_BYTES))
            digest.update(file.read(_EDGE_BYTES))
        return digest.hexdigest()


@dataclass(frozen=True)
class HubShard:
    """A split of a Hub data set, through `datasets` streaming."""

    path: str
    config: str | None
    split: str

    @property
    def name(self) -> str:
        """The data set and its split."""
        return f"{self.path}/{self.split}"

    def blocks(self, size: int, skip: int) -> Iterator[list[dict[str, Any]]]:
        """Records `size` rows at a time."""
        import datasets

        try:
            rows = datasets.load_dataset(self.path, self.config, split=self.split, streaming=True)
            rows = iter(rows.skip(skip * size) if skip else rows)
            while block := list(islice(rows, size)):
                yield block
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(f"the Hub dataset {self.name} cannot be streamed: {reason}.") from error

    def fingerprint(self) -> str:
        """The name: the content is not known without reading it all."""
        return hashlib.sha256(f"{self.path}:{self.config}:{self.split}".encode()).hexdigest()


def find_shards(reference: Any, task: str) -> list[Shard]:
    """The shards that a reference names: files, folders of files, patterns, or a Hub id.

    Raises:
        DataError: If nothing is there, or a file's format is unknown.
    """
    if isinstance(reference, (list, tuple)):
        return [shard for part in reference for shard in find_shards(part, task)]
    path = Path(str(reference)).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and data_suffix(file))
        if not files:
            raise DataError(f"{path} holds no data files ({', '.join(SUFFIXES)}, each also .gz).")
    elif "*" in path.name:
        files = sorted(path.parent.glob(path.name))
        if not files:
            raise DataError(f"{path}: no file has such a name.")
    elif path.exists():
        files = [path]
    else:
        return [_hub_shard(str(reference), path)]
    for file in files:
        if data_suffix(file) is None:
            raise DataError(f"{file} has an unknown format: use one of {', '.join(SUFFIXES)}.")
    return [FileShard(file, task) for file in files]


def _hub_shard(reference: str, path: Path) -> Shard:
    match = _HUB.fullmatch(reference)
    if match is None or data_suffix(path) or reference.startswith((".", "/", "~")):
        raise DataError(f"{reference} does not exist: name files, a folder, a pattern or a Hub id.")
    return HubShard(match["path"], match["config"], match["split"] or "train")


class TextStream:
    """Endless texts (or token lists) from shards.

    Args:
        shards: What to read.
        task: "sequence-classification" or "token-classification".
        text_column: Where it is not recognised.
        buffer: Rows that are read and shuffled together.
        seed: Seed of the order.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        task: str,
        text_column: str | None = None,
        buffer: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.shards = list(shards)
        self.buffer = buffer
        self.seed = seed
        self._options = ReadOptions(task=task, text_column=text_column)
        self._epoch = self._shard = self._block = self._offset = self.taken = 0
        self._blocks: Iterator[list[Any]] | None = None
        self._texts: list[Any] | None = None
        self._found_text = False

    def with_seed(self, seed: int) -> TextStream:
        """The same shards from the beginning, in another order."""
        return TextStream(
            self.shards,
            task=self._options.task,
            text_column=self._options.text_column,
            buffer=self.buffer,
            seed=seed,
        )

    @property
    def state(self) -> dict[str, int]:
        """Where the stream stands."""
        return {
            "epoch": self._epoch,
            "shard": self._shard,
            "block": self._block,
            "offset": self._offset,
            "taken": self.taken,
        }

    def seek(self, state: dict[str, int]) -> None:
        """Go to where another stream of the same shards and seed stood."""
        self._epoch, self._shard = state["epoch"], state["shard"]
        self._block, self._offset = state["block"], state["offset"]
        self.taken = state["taken"]
        self._blocks = self._texts = None
        self._found_text = self.taken > 0

    def fingerprint(self) -> str:
        """Changes with the shards, and with how they are shuffled."""
        parts = sorted(f"{shard.name}:{shard.fingerprint()}" for shard in self.shards)
        return hashlib.sha256("\n".join([str(self.buffer), *parts]).encode()).hexdigest()

    def take(self, count: int) -> list[Any]:
        """The next `count` texts.

        Raises:
            DataError: If a shard cannot be read, or none of them holds any text.
        """
        taken: list[Any] = []
        while len(taken) < count:
            texts = self._current()
            part = texts[self._offset : self._offset + count - len(taken)]
            taken += part
            self._offset += len(part)
            if self._offset >= len(texts):
                self._advance_block()
        self.taken += count
        return taken

    def _current(self) -> list[Any]:
        """The shuffled texts of the block that the stream stands in."""
        while self._texts is None:
            if self._blocks is None:
                order = np.random.default_rng([self.seed, 11, self._epoch]).permutation(
                    len(self.shards)
                )
                shard = self.shards[order[self._shard]]
                self._blocks = self._read(shard, self._block)
            self._texts = next(self._blocks, None)
            if self._texts is None:
                self._advance_shard()
        return self._texts

    def _read(self, shard: Shard, skip: int) -> Iterator[list[Any]]:
        for number, records in enumerate(shard.blocks(self.buffer, skip), start=skip):
            rows = [f"{shard.name}:{number * self.buffer + i}" for i in range(len(records))]
            texts: list[Any] = []
            if records:
                table = table_from_records(records, rows, shard.name)
                texts = read_examples(table, self._options, unlabelled=True).texts
            key = [self.seed, 12, self._epoch, self._shard, number]
            self._found_text = self._found_text or bool(texts)
            yield [texts[i] for i in np.random.default_rng(key).permutation(len(texts))]

    def _advance_block(self) -> None:
        self._block, self._offset, self._texts = self._block + 1, 0, None

    def _advance_shard(self) -> None:
        self._shard, self._block, self._offset, self._blocks = self._shard + 1, 0, 0, None
        if self._shard < len(self.shards):
            return
        if not self._found_text:
            names = ", ".join(shard.name for shard in self.shards[:5])
            raise DataError(f"the streamed target ({names}) holds no text.")
        self._epoch, self._shard = self._epoch + 1, 0


@dataclass(frozen=True)
class _Window:
    """The rows of some steps, and where the stream stood before and after them."""

    before: dict[str, int]
    rows: EncodedRows
    after: dict[str, int]


class StreamedBatches(PairedBatches):
    """Paired batches whose target rows come from a stream, one window of steps at a time.

    The next window is read and tokenised in the background while the current one trains.

    Args:
        sides: Source rows, and a sample of the target's to choose padded widths from.
        stream: The target's texts.
        encode: Tokenises texts.
        max_length: Longest row in tokens.
        **options: As for `PairedBatches`.
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
        self._stream = stream
        self._encode = encode
        # The sample need not hold the longest row.
        self.widths = np.unique([*self.widths, max_length])
        self._streams.pop("target")
        self._window: _Window | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="target-stream")
        self._next: tuple[int, Future[_Window]] | None = None

    def row_ids(self, step: int) -> dict[str, np.ndarray]:
        """Row numbers of the source, and places in the stream for the target."""
        rows = self.rows_of(step)
        if self._window is None:
            return rows
        return {**rows, "target": rows["target"] + self._window.before["taken"]}

    def stream_state(self, step: int) -> dict[str, int]:
        """Where the stream must stand for `step` to be the next."""
        if self._window is None:
            return self._stream.state
        same = self._plan is not None and self._plan[0] == self.window_of(step)
        return self._window.before if same else self._window.after

    def seek(self, state: dict[str, int]) -> None:
        """Go on from a saved `stream_state`."""
        self._stream.seek(state)

    def _plan_window(self, window: int) -> dict[str, np.ndarray]:
        plan = super()._plan_window(window)
        steps = self._steps_in(window)
        count = steps * self.global_batch
        self._window = self._fetched(count)
        self.sides = {**self.sides, "target": self._window.rows}
        self._labelled_cache.pop("target", None)
        rows = np.resize(np.arange(len(self._window.rows)), count)
        rows = rows[np.argsort(self._window.rows.lengths[rows], kind="stable")]
        plan["target"] = rows.reshape(steps, self.global_batch)[self.order_of(window)]
        following = min(window + 1, len(self._edges) - 2)
        self._prefetch(self._steps_in(following) * self.global_batch)
        return plan

    def _steps_in(self, window: int) -> int:
        return int(self._edges[window + 1] - self._edges[window])

    def _prefetch(self, count: int) -> None:
        self._next = (count, self._reader.submit(self._fetch, count))

    def _fetched(self, count: int) -> _Window:
        if self._next is not None:
            expected, future = self._next
            window = future.result()
            if expected == count:
                return window
            # Steps that were skipped have led back to a window of another size.
            self._stream.seek(window.before)
        return self._fetch(count)

    def _fetch(self, count: int) -> _Window:
        before = self._stream.state
        rows = self._encode(self._stream.take(count))
        if len(rows) > count:  # long texts are several rows
            chosen = np.random.default_rng([self.seed, 13, before["taken"]]).permutation(len(rows))
            rows = rows.select(np.sort(chosen[:count]))
        return _Window(before, rows, self._stream.state)
