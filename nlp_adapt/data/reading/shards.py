"""The parts of a stream: local files, and the files of a split on the Hub.

A shard is read from its beginning, row by row, and says of each row where it stands. What the Hub
holds is read at one commit, so that a stream which comes round, or is resumed, finds the same rows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from nlp_adapt.data.reading.chunks import Row, RowFile
from nlp_adapt.data.reading.files import SUFFIXES, data_suffix
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

    def rows(self) -> Iterator[Row]:
        """Every row in order: where it stands, and its columns or why it cannot be read.

        Raises:
            DataError: The shard cannot be read on.
        """

    def fingerprint(self) -> str:
        """Something that changes with the content."""


@dataclass(frozen=True)
class FileShard:
    """A local file: csv, tsv, jsonl, parquet, txt or CoNLL columns, each also gzip'd."""

    path: Path
    task: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def rows(self) -> Iterator[Row]:
        """Its rows, named "file:line"."""
        return RowFile(self.path, self.task).rows()

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

    def shards(self) -> list[HubShard]:
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
                yield f"{name}:{number}", record, None

    def fingerprint(self) -> str:
        """Hash of the data set, its commit and the place of the file."""
        parts = (self.source.path, self.source.config, self.source.split, self.source.commit)
        return hashlib.sha256(repr((*parts, self.index)).encode()).hexdigest()


class _hub_errors:  # noqa: N801 - reads as a statement
    """Says in one sentence why something on the Hub cannot be streamed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (GeneratorExit, DataError)) or not isinstance(error, Exception):
            return
        from huggingface_hub.errors import RepositoryNotFoundError

        if isinstance(error, RepositoryNotFoundError):
            raise DataError(
                f"{self.name} is neither a file or folder here nor a dataset on the Hub that you "
                "may read: check the spelling, or log in with `hf auth login` if it is private."
            ) from None
        # Client, parser and network each have errors of their own, which share no class.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"the Hub dataset {self.name} cannot be streamed: {reason}.") from error


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
        return list(hub_split(str(reference)).shards())
    for file in files:
        if data_suffix(file) is None:
            raise DataError(f"{file} has an unknown format: use one of {', '.join(SUFFIXES)}.")
    return [FileShard(file, task) for file in files]


def hub_split(reference: str) -> HubSplit:
    """The split that a Hub reference such as `user/name:config/split` names; default: train.

    Raises:
        DataError: If it looks like a file instead.
    """
    match = _HUB.fullmatch(reference)
    if match is None or data_suffix(Path(reference)) or reference.startswith((".", "/", "~")):
        raise DataError(f"{reference} does not exist: name files, a folder, a pattern or a Hub id.")
    return HubSplit(match["path"], match["config"], match["split"] or "train")
