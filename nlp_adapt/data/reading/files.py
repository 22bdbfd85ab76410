"""Reading a file of rows, so that every error can name the file and the line.

Formats: csv, tsv, jsonl (also a .json array), parquet, txt, and CoNLL columns, each also gzip'd.
The readers are the standard library's, because they report where a file is broken; only parquet
needs pyarrow. A tsv holds one row a line without quoting, as its specification has it; a field
that is quoted as a whole is unwrapped.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.conll import looks_like_conll, read_conll
from nlp_adapt.data.reading.quarantine import BadLines
from nlp_adapt.data.reading.tables import Table, table_from_items, table_from_records
from nlp_adapt.errors import DataError
from nlp_adapt.names import TOKEN_CLASSIFICATION

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".conll", ".bio", ".iob")

# A gzip'd or parquet file may unpack to at most this many bytes, and, past a harmless size, to at most this
# many times its own size: text shrinks 3 to 15 times, a decompression bomb 1000 times.
MAX_UNPACKED_BYTES = 4 * 1024**3
MAX_GZIP_RATIO = 100
HARMLESS_BYTES = 32 * 1024**2
MAX_LINE_BYTES = 64 * 1024**2
_BLOCK = 1024**2
PARQUET_ROWS = 1024


def data_suffix(path: Path) -> str | None:
    """The format's suffix without .gz, or None where the format is unknown."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_file(path: Path, task: str, quarantine: int = 0) -> Table:
    """Read one data file.

    Args:
        path: The file.
        task: "token-classification" lets a .txt file hold CoNLL columns.
        quarantine: How many unreadable lines may be set aside, with the rows they are part of; 0
            refuses the file at the first.

    Raises:
        DataError: The file is missing, of an unknown format, or broken; names file and line.
    """
    suffix = data_suffix(path)
    if suffix is None:
        raise DataError(
            f"{path} has an unknown format: use one of {', '.join(SUFFIXES)}, each also with .gz."
        )
    try:
        bad = BadLines(path, quarantine)
        table = bad.drop_rows(_READERS[suffix](path, task, bad))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DataError(f"{path} is a damaged or incomplete gzip file: fetch it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not len(table):
        raise DataError(f"{path} holds no rows.")
    return table


class _CappedReader(io.RawIOBase):
    """The bytes of a file, unpacked where it is gzip'd, refusing to unpack past the caps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        gzipped = path.name.lower().endswith(".gz")
        self._file = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._file) if gzipped else self._file
        self._allowed = math.inf
        if gzipped:
            by_ratio = max(HARMLESS_BYTES, MAX_GZIP_RATIO * path.stat().st_size)
            self._allowed = min(MAX_UNPACKED_BYTES, by_ratio)
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(min(len(buffer), _BLOCK))
        self._seen += len(block)
        if self._seen > self._allowed:
            raise DataError(_bomb(self._path, self._allowed))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def read_lines(path: Path, bad: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """Yield each line's number and text, without its line ending and without a leading BOM.

    Args:
        path: The file.
        bad: Takes the lines that are not UTF-8 or hold a NUL character; where it does not refuse
            them, they are yielded with U+FFFD in place of what cannot be read. None refuses.

    Raises:
        DataError: A line is refused, or one is absurdly long.
    """
    bad = bad or BadLines(path)
    with io.BufferedReader(_CappedReader(path), _BLOCK) as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise DataError(f"{path}:{number} is longer than {MAX_LINE_BYTES:,} bytes.")
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                line = raw.decode(encoding)
            except UnicodeDecodeError as error:
                bad.add(
                    number,
                    f"{path}:{number} is not UTF-8 (byte 0x{raw[error.start]:02x} in column "
                    f"{error.start + 1}): save the file as UTF-8.",
                )
                line = raw.decode(encoding, "replace")
            if "\0" in line:
                bad.add(
                    number,
                    f"{path}:{number} holds a NUL character: is it a text file, saved as UTF-8?",
                )
                line = line.replace("\0", "\ufffd")
            yield number, line.rstrip("\n").removesuffix("\r")


def _read_all(path: Path) -> bytes:
    with io.BufferedReader(_CappedReader(path), _BLOCK) as stream:
        return stream.read()


def _read_csv(path: Path, task: str, bad: BadLines) -> Table:
    csv.field_size_limit(MAX_LINE_BYTES)
    delimiter = ","
    first = next((line for _, line in read_lines(path, bad)), "")
    if "," not in first and ";" in first:  # what spreadsheets write in much of Europe
        delimiter = ";"
    reader = csv.reader(
        (line + "\n" for _, line in read_lines(path, bad)), delimiter=delimiter, strict=True
    )
    numbered: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for fields in reader:
            if fields:
                numbered.append((start, fields))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{start} is not valid csv ({error}): check its quotation marks."
        ) from None
    return _table_with_header(path, numbered, bad)


def _read_tsv(path: Path, task: str, bad: BadLines) -> Table:
    numbered = [
        (number, [_unquote(field) for field in line.split("\t")])
        for number, line in read_lines(path, bad)
        if line
    ]
    return _table_with_header(path, numbered, bad)


def _unquote(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] + field[-1] != '""' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def _table_with_header(path: Path, numbered: list[tuple[int, list[str]]], bad: BadLines) -> Table:
    if not numbered:
        raise DataError(f"{path} is empty.")
    bad.refuse(numbered[0][0])
    header = [name.strip() for name in numbered[0][1]]
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1 names a column twice: {', '.join(header)}.")
    for number, fields in numbered[1:]:
        if len(fields) != len(header):
            bad.add(
                number,
                f"{path}:{number} has {len(fields)} fields where the header names "
                f"{len(header)}: put quotation marks around a text that holds the separator.",
            )
            fields += [""] * (len(header) - len(fields))
    columns = {name: [fields[i] for _, fields in numbered[1:]] for i, name in enumerate(header)}
    return Table(columns, [f"{path.name}:{number}" for number, _ in numbered[1:]], str(path))


def _read_json(path: Path, task: str, bad: BadLines) -> Table:
    first = next((line for _, line in read_lines(path, bad) if line.strip()), "")
    if first.lstrip().startswith("["):
        return _read_json_array(path)
    records, rows = [], []
    for number, line in read_lines(path, bad):
        if not line.strip():
            continue
        records.append(_parse_record(line, path, number, bad))
        rows.append(f"{path.name}:{number}")
    return table_from_records(records, rows, str(path))


def _parse_record(line: str, path: Path, number: int, bad: BadLines) -> dict[str, Any]:
    reason = f'{path}:{number} is not a JSON object such as {{"text": "..."}}.'
    try:
        record = _parse_json(line, f"{path}:{number}")
    except DataError as error:
        record, reason = None, str(error)
    if isinstance(record, dict):
        return record
    bad.add(number, reason)
    return {}


def _read_json_array(path: Path) -> Table:
    try:
        items = _parse_json(_read_all(path).decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save the file as UTF-8.") from None
    if not isinstance(items, list):
        raise DataError(f"{path} must hold one JSON array of rows.")
    return table_from_items(items, [f"{path.name}:{i + 1}" for i in range(len(items))], str(path))


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not valid JSON ({error}).") from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply.") from None


def _read_parquet(path: Path, task: str, bad: BadLines) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(
            io.BytesIO(_read_all(path)) if path.name.lower().endswith(".gz") else path
        )
        arrow = _unpack_parquet(file, path)
    except pyarrow.ArrowException as error:
        raise DataError(
            f"{path} is not a readable parquet file ({str(error).splitlines()[0]})."
        ) from None
    # A file written by `datasets` carries its class names in the schema.
    from datasets import Dataset

    dataset = Dataset(_with_known_types(arrow))
    rows = [f"{path.name}:{i + 1}" for i in range(len(dataset))]
    columns = {name: dataset[name] for name in dataset.column_names}
    return Table(columns, rows, str(path), dataset.features)


def _with_known_types(arrow: Any) -> Any:
    """The columns that `datasets` has a type for: a mapping, say, holds neither text nor labels."""
    import pyarrow
    from datasets import Features

    unknown = []
    for column in arrow.schema:
        try:
            Features.from_arrow_schema(pyarrow.schema([column]))
        except ValueError:
            unknown.append(column.name)
    return arrow.drop_columns(unknown).replace_schema_metadata(None) if unknown else arrow


def _unpack_parquet(file: Any, path: Path) -> Any:
    """All rows of a parquet file. Its own account of their size is not to be trusted."""
    import pyarrow

    allowed = min(MAX_UNPACKED_BYTES, max(HARMLESS_BYTES, MAX_GZIP_RATIO * path.stat().st_size))
    batches, seen = [], 0
    for batch in file.iter_batches(batch_size=PARQUET_ROWS):
        seen += batch.nbytes
        if seen > allowed:
            raise DataError(_bomb(path, allowed))
        batches.append(batch)
    return pyarrow.Table.from_batches(batches, file.schema_arrow).combine_chunks()


def _bomb(path: Path, allowed: float) -> str:
    return (
        f"{path} unpacks to more than {int(allowed):,} bytes, which looks like a decompression "
        "bomb: unpack it yourself if you trust it."
    )


def _read_txt(path: Path, task: str, bad: BadLines) -> Table:
    if task == TOKEN_CLASSIFICATION and looks_like_conll(read_lines(path, bad)):
        return _read_conll(path, task, bad)
    numbered = list(read_lines(path, bad))
    rows = [f"{path.name}:{number}" for number, _ in numbered]
    return Table({"text": [line for _, line in numbered]}, rows, str(path))


def _read_conll(path: Path, task: str, bad: BadLines) -> Table:
    return read_conll(path, read_lines(path, bad), bad)


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_txt,
    ".conll": _read_conll,
    ".bio": _read_conll,
    ".iob": _read_conll,
}
