"""The lines of a text file, within limits, and the format that is one text a line."""

import gzip
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.rows import Fault, Format, Row
from nlp_adapt.errors import DataError

# A gzip'd or parquet file may unpack to at most this many bytes, and, past a harmless size, to at
# most this many times its own: text shrinks 3 to 15 times, a decompression bomb 1000 times.
MAX_UNPACKED_BYTES = 4 * 1024**3
MAX_RATIO = 100
HARMLESS_BYTES = 32 * 1024**2
MAX_LINE_BYTES = 64 * 1024**2
BLOCK = 1024**2

Line = tuple[int, str, str | None]
"""Its number, its text, and what is wrong with it, if anything is."""


def is_gzipped(path: Path) -> bool:
    """Whether the name ends in .gz."""
    return path.name.lower().endswith(".gz")


def most_unpacked(path: Path) -> int:
    """How many bytes a packed file may unpack to."""
    return min(MAX_UNPACKED_BYTES, max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size))


def refuse_bomb(path: Path, allowed: float) -> None:
    """Raise for a file that unpacks to more than is allowed."""
    raise DataError(
        f"{path} unpacks to more than {int(allowed):,} bytes, which looks like a decompression "
        "bomb: unpack it yourself, or divide it into several files, if you trust it."
    )


class _Unpacked(io.RawIOBase):
    """The bytes of a file, unpacked where it is gzip'd, up to what is allowed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._file) if is_gzipped(path) else self._file
        self._allowed = most_unpacked(path) if is_gzipped(path) else math.inf
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(min(len(buffer), BLOCK))
        self._seen += len(block)
        if self._seen > self._allowed:
            refuse_bomb(self._path, self._allowed)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(path: Path) -> io.BufferedReader:
    """The bytes of a file, unpacked where its name ends in .gz; reading refuses a bomb."""
    return io.BufferedReader(_Unpacked(path), BLOCK)


def read_lines(path: Path) -> Iterator[Line]:
    """Each line of a file, without its ending and without a leading BOM.

    A line that is not UTF-8 or holds a NUL says so, and has U+FFFD in place of what cannot be read.
    """
    with open_bytes(path) as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise DataError(f"{path}:{number} is longer than {MAX_LINE_BYTES:,} bytes.")
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            fault = None
            try:
                line = raw.decode(encoding)
            except UnicodeDecodeError as error:
                line = raw.decode(encoding, "replace")
                fault = (
                    f"is not UTF-8 (byte 0x{raw[error.start]:02x} in column {error.start + 1}): "
                    "save the file as UTF-8."
                )
            if "\0" in line:
                line = line.replace("\0", "\ufffd")
                fault = fault or "holds a NUL character: is it a text file, saved as UTF-8?"
            yield number, line.rstrip("\n").removesuffix("\r"), fault


class Texts(Format):
    """One text a line."""

    endings = (".txt",)

    def rows(self, path: Path) -> Iterator[Row]:
        """A row a line, empty ones too."""
        name = path.name
        return (line_row(name, line, {"text": line[1]}) for line in read_lines(path))

    def columns(self, path: Path) -> list[str]:
        """`text`."""
        return ["text"]


def line_row(file: str, line: Line, record: Any, reason: str | None = None) -> Row:
    """The row that a line holds, unless the line or what it holds cannot be read."""
    number, text, fault = line
    if reason := fault or reason:
        return Row(f"{file}:{number}", None, (Fault(number, reason),), text)
    return Row(f"{file}:{number}", record)


def filled(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines that hold more than white space."""
    return (line for line in lines if line[1].strip())
