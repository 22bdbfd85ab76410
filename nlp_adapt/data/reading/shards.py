"""The parts of a stream: local files, the files of a split on the Hub, those of an `IterableDataset`.

A shard is read from its beginning, row by row. What the Hub holds is read at one commit, so that a
stream which comes round, or is resumed, finds the same rows.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from nlp_adapt.data.reading.files import RowFile
from nlp_adapt.data.reading.formats import ENDINGS, data_ending, format_of
from nlp_adapt.data.reading.references import HUB_ID
from nlp_adapt.data.reading.rows import Row
from nlp_adapt.errors import DataError, first_line
from nlp_adapt.files import text_hash

_HASHED_ROWS = 100


class Shard(Protocol):
    """A part of a stream that is read from its beginning: a `RowFile`, `HubShard` or `GivenShard`."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def rows(self) -> Iterator[Row]:
        """Every row in order, readable or not."""

    def fingerprint(self) -> str:
        """Something that changes with the content."""


@dataclass(frozen=True)
class HubSplit:
    """A split of a Hub data set at one commit, through `datasets` streaming."""

    path: str
    config: str | None
    split: str

    @property
    def name(self) -> str:
        """The data set and its split."""
        return f"{self.path}/{self.split}"

    @cached_property
    def commit(self) -> str:
        """The commit that `main` stands at when it is first asked for."""
        from huggingface_hub import HfApi

        with _hub_errors(self.name):
            return str(HfApi().dataset_info(self.path).sha)

    @cached_property
    def stream(self) -> Any:
        """The split as an `IterableDataset`."""
        import datasets

        with _hub_errors(self.name):
            return datasets.load_dataset(
                self.path, self.config, split=self.split, revision=self.commit, streaming=True
            )

    def shards(self) -> list["HubShard"]:
        """One shard for each of its files."""
        return [HubShard(self, index) for index in range(self.stream.num_shards)]


@dataclass(frozen=True)
class HubShard:
    """A file of a split on the Hub."""

    source: HubSplit
    index: int

    @property
    def name(self) -> str:
        """The split, with the number of the file where there are several."""
        count = self.source.stream.num_shards
        return self.source.name if count == 1 else f"{self.source.name}[{self.index}]"

    def rows(self) -> Iterator[Row]:
        """Its rows, named "data set/split:number"."""
        stream, name = self.source.stream, self.name
        with _hub_errors(self.source.name):
            part = stream.shard(num_shards=stream.num_shards, index=self.index)
            for number, record in enumerate(part):
                yield Row(f"{name}:{number}", record)

    def fingerprint(self) -> str:
        """Hash of the data set, its commit and the place of the file."""
        parts = (self.source.path, self.source.config, self.source.split, self.source.commit)
        return hashlib.sha256(repr((*parts, self.index)).encode()).hexdigest()


@dataclass(frozen=True)
class GivenShard:
    """A shard of an `IterableDataset` that is given in Python."""

    stream: Any
    index: int

    @property
    def name(self) -> str:
        """The kind of object, with the number of the shard where there are several."""
        kind = type(self.stream).__name__
        return kind if self.stream.num_shards == 1 else f"{kind}[{self.index}]"

    def rows(self) -> Iterator[Row]:
        """Its rows, named "IterableDataset[shard]:number"."""
        part = self.stream.shard(num_shards=self.stream.num_shards, index=self.index)
        for number, record in enumerate(part):
            yield Row(f"{self.name}:{number}", record)

    def fingerprint(self) -> str:
        """Hash of its first rows, since its length is known to nobody."""
        first = [row.record for row in islice(self.rows(), _HASHED_ROWS)]
        return text_hash(json.dumps([self.name, first], default=str))


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Says in one sentence why something on the Hub cannot be streamed."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # client, parser and network have errors that share no class
        from huggingface_hub.errors import RepositoryNotFoundError

        if isinstance(error, RepositoryNotFoundError):
            raise DataError(
                f"{name} is neither a file or folder here nor a dataset on the Hub that you may "
                "read: check the spelling, or log in with `hf auth login` if it is private."
            ) from None
        raise DataError(
            f"the Hub dataset {name} cannot be streamed: {first_line(error)}."
        ) from error


def find_shards(reference: Any, task: str, encoding: str | None = None) -> list[Shard]:
    """The shards that a reference names: files, folders, patterns, a Hub id, an `IterableDataset`."""
    if isinstance(reference, (list, tuple)):
        return [shard for part in reference for shard in find_shards(part, task, encoding)]
    if not isinstance(reference, (str, Path)):
        return list(_given_shards(reference))
    path = Path(str(reference)).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and data_ending(file))
        if not files:
            raise DataError(f"{path} holds no data files ({', '.join(ENDINGS)}, each also .gz).")
    elif "*" in path.name:
        files = sorted(path.parent.glob(path.name))
        if not files:
            raise DataError(f"{path}: no file has such a name.")
    elif path.exists():
        files = [path]
    else:
        return list(hub_split(str(reference)).shards())
    for file in files:
        format_of(file)  # refuses one that says none, before anything is read
    return [RowFile(file, task, encoding) for file in files]


def _given_shards(data: Any) -> list[GivenShard]:
    from datasets import IterableDataset

    if not isinstance(data, IterableDataset):
        raise DataError(
            f"{type(data).__name__} cannot be streamed: give files, a folder, a Hub id, or one split "
            "as an `IterableDataset` of the package datasets; or turn streaming off."
        )
    return [GivenShard(data, index) for index in range(data.num_shards)]


def hub_split(reference: str) -> HubSplit:
    """The split that a Hub reference such as `user/name:config/split` names; default: train."""
    match = HUB_ID.fullmatch(reference)
    if match is None or data_ending(Path(reference)) or reference.startswith((".", "/", "~")):
        raise DataError(f"{reference} does not exist: name files, a folder, a pattern or a Hub id.")
    return HubSplit(match["path"], match["config"] or None, match["split"] or "train")
