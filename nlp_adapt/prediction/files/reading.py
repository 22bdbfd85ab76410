"""The input of `nlp-adapt predict`: a file as it is, a stream as a copy of what came through it."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nlp_adapt.data.reading.formats import data_ending
from nlp_adapt.errors import DataError

_BLOCK = 1024**2


@dataclass(frozen=True)
class Input:
    """Rows to label.

    Attributes:
        path: The file that holds them.
        identity: What they are known by when an interrupted command goes on.
    """

    path: Path
    identity: list[Any]


def is_stream(reference: str) -> bool:
    """Whether the input can be read only once: standard input (-), or a named pipe."""
    path = Path(reference)
    return reference == "-" or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def open_input(reference: str, stream_format: str) -> Iterator[Input]:
    """The input that the user names.

    A stream (standard input, a named pipe) is read to its end into a temporary file first, since
    its columns must be known before its rows, and is known by its content.

    Args:
        reference: A path, or - for standard input.
        stream_format: Format of a stream whose name does not say it.

    Raises:
        DataError: On leaving, with the stream's name instead of the copy's.
    """
    path = Path(reference)
    if not is_stream(reference):
        stat = path.stat() if path.exists() else None
        known = [] if stat is None else [stat.st_size, stat.st_mtime_ns]
        yield Input(path, [str(path.resolve()), *known])
        return
    name = "standard input" if reference == "-" else str(path)
    ending = data_ending(path) or f".{stream_format}"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{'stdin' if reference == '-' else path.name}{ending}"
        with contextlib.ExitStack() as stack:
            stream = sys.stdin.buffer if reference == "-" else stack.enter_context(path.open("rb"))
            digest = _copy(stream, copy)
        try:
            yield Input(copy, [name, digest])
        except DataError as error:
            message = str(error).replace(str(copy), name).replace(copy.name, name)
            raise DataError(message) from None


def _copy(stream: BinaryIO, path: Path) -> str:
    """Copy a stream and return the digest of its content."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while block := stream.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
