"""A target of any size in constant memory: shuffled, endless, and resumable at any row.

Each pass reads the shards one after the other in a new random order. Rows are shuffled in blocks of
the buffer's size, which run on over the ends of shards: a file that is sorted by topic is mixed no
further than that. The order is a function of the seed, a position is five small numbers, and
resuming reads past the rows before it without tokenising them.

Every process reads the same stream and takes its share of each step, so that shards of unequal
length cannot part the processes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from nlp_adapt.data.columns import ReadOptions, cell_reader, find_text
from nlp_adapt.data.reading.quarantine import LeftOut
from nlp_adapt.data.reading.rows import Row, UnusableCellError, has_text, table_of
from nlp_adapt.data.reading.shards import Shard
from nlp_adapt.errors import DataError

RecordReader = Callable[[Mapping[str, Any]], Any]
# Rows of a shard in which its text column is looked for.
_FIRST_ROWS = 100


class TextStream:
    """Endless texts (or token lists) from shards.

    `buffer` rows are read and shuffled together; `quarantine` unreadable rows of a shard may be
    left out, and 0 refuses the first.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        task: str,
        text_column: str | None = None,
        buffer: int = 10_000,
        seed: int = 0,
        quarantine: int = 0,
    ) -> None:
        self.shards = list(shards)
        self.buffer = buffer
        self.seed = seed
        self.left_out = LeftOut(quarantine)
        self.taken = 0
        self._options = ReadOptions(task=task, text_column=text_column)
        # Where the block begins that the stream stands in, and how much of it is taken.
        self._epoch = self._shard = self._row = self._offset = 0
        self._block: list[Any] | None = None
        self._end = (0, 0)
        self._texts: Iterator[Any] | None = None
        self._found_text = False

    def with_seed(self, seed: int) -> "TextStream":
        """The same shards from the beginning, in another order."""
        other = TextStream(
            self.shards,
            task=self._options.task,
            text_column=self._options.text_column,
            buffer=self.buffer,
            seed=seed,
        )
        other.left_out = self.left_out
        return other

    @property
    def state(self) -> dict[str, int]:
        """Where the stream stands."""
        return {
            "epoch": self._epoch,
            "shard": self._shard,
            "row": self._row,
            "offset": self._offset,
            "taken": self.taken,
        }

    def seek(self, state: Mapping[str, int]) -> None:
        """Go to where another stream of the same shards and seed stood."""
        self._epoch, self._shard = state["epoch"], state["shard"]
        self._row, self._offset = state["row"], state["offset"]
        self.taken = state["taken"]
        self._block = self._texts = None
        self._found_text = self.taken > 0

    def fingerprint(self) -> str:
        """Changes with the shards, and with how they are shuffled."""
        parts = sorted(f"{shard.name}:{shard.fingerprint()}" for shard in self.shards)
        return hashlib.sha256("\n".join([str(self.buffer), *parts]).encode()).hexdigest()

    def take(self, count: int) -> list[Any]:
        """The next `count` texts; `DataError` if one cannot be read or no shard holds any."""
        taken: list[Any] = []
        while len(taken) < count:
            if self._block is None:
                self._block = self._read_block()
            part = self._block[self._offset : self._offset + count - len(taken)]
            taken += part
            self._offset += len(part)
            if self._offset >= len(self._block):
                self._leave_block()
        self.taken += count
        return taken

    def first_texts(self, most: int) -> list[Any]:
        """From the beginning, at most so many texts, each once."""
        texts: list[Any] = []
        while len(texts) < most and not self._epoch:
            texts += self._read_block()
            self._leave_block()
        return texts[:most]

    def _read_block(self) -> list[Any]:
        """The texts of the next rows, shuffled; a block ends with the pass."""
        order = np.random.default_rng([self.seed, 11, self._epoch]).permutation(len(self.shards))
        shard, row = self._shard, self._row
        texts: list[Any] = []
        read = 0
        while read < self.buffer and shard < len(order):
            if self._texts is None:
                self._texts = islice(self._texts_of(int(order[shard])), row, None)
            try:
                part = list(islice(self._texts, self.buffer - read))
            except BaseException:
                self._texts = None  # what has failed must not look like a shard that has ended
                raise
            texts += [text for text in part if text is not None]
            read += len(part)
            row += len(part)
            if read < self.buffer:  # the shard has ended
                shard, row, self._texts = shard + 1, 0, None
        self._end = (shard, row)
        self._found_text = self._found_text or bool(texts)
        key = [self.seed, 12, self._epoch, self._shard, self._row]
        return [texts[i] for i in np.random.default_rng(key).permutation(len(texts))]

    def _leave_block(self) -> None:
        self._block, self._offset = None, 0
        self._shard, self._row = self._end
        if self._shard < len(self.shards):
            return
        if not self._found_text:
            names = ", ".join(shard.name for shard in self.shards[:5])
            raise DataError(f"the streamed target ({names}) holds no text.")
        self._epoch, self._shard, self._row = self._epoch + 1, 0, 0

    def _texts_of(self, index: int) -> Iterator[Any]:
        """The text of each row of a shard; None for rows that are left out."""
        shard = self.shards[index]
        read: RecordReader | None = None
        rows = enumerate(shard.rows())
        while part := list(islice(rows, _FIRST_ROWS)):
            readable = [row for _, row in part if row.record is not None]
            if read is None and readable:
                read = self._record_reader(shard, readable)
            for number, row in part:
                text, reason = _text_of(row, read)
                if text is None:
                    self.left_out.note(str(index), number, row.place, reason)
                yield text

    def _record_reader(self, shard: Shard, first: Sequence[Row]) -> RecordReader:
        """Reads the text column, recognised in the first rows of a shard."""
        table = table_of(first, shard.name)
        column, split_text = find_text(table, self._options, unlabelled=True)
        read = cell_reader(self._options.tagging, split_text)
        return lambda record: read(record.get(column))


def _text_of(row: Row, read: RecordReader | None) -> tuple[Any, str | None]:
    """The text of a row, or None and, where the row is not just empty, why not."""
    if row.record is None or read is None:
        return None, f"{row.file}:{row.faults[0].line} {row.faults[0].reason}"
    try:
        text = read(row.record)
    except UnusableCellError as error:
        return None, f"{row.place} {error}"
    return (text if has_text(text) else None), None
