"""The lines of a text file, within limits, and the format that is one text a line."""

import codecs
import gzip
import io
import math
import shutil
import tempfile
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

# What gives a file away that is no UTF-8, by its first bytes.
_MARKS = {
    b"\xff\xfe": "it is UTF-16, so set encoding to utf-16.",
    b"\xfe\xff": "it is UTF-16, so set encoding to utf-16.",
    b"\x1f\x8b": "it is gzip'd, so add .gz to its name.",
}
_ADVICE = "save the file as UTF-8, or say with encoding what it is, such as cp1252."

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
    """The bytes of a file, unpacked where it is gzip'd, up to what is allowed.

    In a `text` whose lines end in CR alone, as old Macs and some spreadsheets write them, LF takes
    its place.
    """

    def __init__(self, path: Path, text: bool) -> None:
        self._path = path
        self._text = text
        self._file = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._file) if is_gzipped(path) else self._file
        self._allowed = most_unpacked(path) if is_gzipped(path) else math.inf
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(min(len(buffer), BLOCK))
        if not self._seen:
            self._text = self._text and b"\r" in block and b"\n" not in block
        if self._text:
            block = block.replace(b"\r", b"\n")
        self._seen += len(block)
        if self._seen > self._allowed:
            refuse_bomb(self._path, self._allowed)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(path: Path, *, text: bool = False) -> io.BufferedReader:
    """The bytes of a file, unpacked where its name ends in .gz; reading refuses a bomb."""
    return io.BufferedReader(_Unpacked(path, text), BLOCK)


def open_to_seek(path: Path) -> Any:
    """A file to read back and forth: one that is gzip'd is unpacked to disk first."""
    if not is_gzipped(path):
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the file is read
    with open_bytes(path) as stream:
        shutil.copyfileobj(stream, unpacked, BLOCK)
    unpacked.seek(0)
    return unpacked


def codec_of(encoding: str) -> str:
    """Python's own name of an encoding."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise DataError(
            f"encoding is {encoding!r}, which is none: give one such as utf-8, cp1252 or utf-16."
        ) from None
    return codecs.lookup(encoding).name


def read_whole(path: Path, encoding: str) -> str:
    """The text of a file, without a leading BOM."""
    codec = codec_of(encoding)
    with open_bytes(path) as stream:
        try:
            return stream.read().decode(codec).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not {codec.upper()} ({error.reason} at byte {error.start:,}): {_ADVICE}"
            ) from None


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[Line]:
    """Each line of a file, without its ending and without a leading BOM.

    A line that is not in the encoding or holds a NUL says so, and has U+FFFD in place of what
    cannot be read.
    """
    codec = codec_of(encoding)
    wide = codec.startswith(("utf-16", "utf-32"))
    said, codec = codec.upper(), "utf-8" if wide else codec
    for number, raw in enumerate(_wide_lines(path, encoding) if wide else _raw_lines(path), 1):
        if len(raw) > MAX_LINE_BYTES:
            raise DataError(f"{path}:{number} is longer than {MAX_LINE_BYTES:,} bytes.")
        if codec == "utf-8" and raw.startswith(codecs.BOM_UTF8) and number == 1:
            raw = raw[len(codecs.BOM_UTF8) :]
        fault = None
        try:
            line = raw.decode(codec)
        except UnicodeDecodeError as error:
            line = raw.decode(codec, "replace")
            at, advice = error.start, (number == 1 and _MARKS.get(raw[:2])) or _ADVICE
            fault = f"is not {said} (byte 0x{raw[at]:02x} in column {at + 1}): {advice}"
        if "\0" in line:
            line = line.replace("\0", "\ufffd")
            fault = fault or f"holds a NUL character: is it a text file, saved as {said}?"
        yield number, line.rstrip("\n").removesuffix("\r"), fault


def _raw_lines(path: Path) -> Iterator[bytes]:
    with open_bytes(path, text=True) as stream:
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            yield raw


def _wide_lines(path: Path, encoding: str) -> Iterator[bytes]:
    """The lines of a file whose line ends are several bytes, as UTF-8."""
    with io.TextIOWrapper(open_bytes(path), encoding) as stream:
        try:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                yield line.encode()
        except UnicodeError as error:
            raise DataError(f"{path} is not {encoding} ({error}): {_ADVICE}") from None


class Texts(Format):
    """One text a line."""

    endings = (".txt",)

    def rows(self, path: Path) -> Iterator[Row]:
        """A row a line, empty ones too."""
        name = path.name
        lines = read_lines(path, self.encoding)
        return (line_row(name, line, {"text": line[1]}) for line in lines)

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
