"""The formats that labelled rows are written in: to add one, write its `Writer` and list it here.

`data.reading.formats` lists those that rows are read from.
"""

import os
from pathlib import Path

from nlp_adapt.data.reading.conll import Conll
from nlp_adapt.data.reading.delimited import Csv, Tsv
from nlp_adapt.data.reading.jsonl import Jsonl
from nlp_adapt.data.reading.parquet import Parquet
from nlp_adapt.errors import RunError
from nlp_adapt.prediction.files.tagged_writers import ConllWriter, PageWriter
from nlp_adapt.prediction.files.writing import (
    CsvWriter,
    JsonlWriter,
    ParquetWriter,
    TsvWriter,
    Writer,
)

WRITERS: dict[str, type[Writer]] = {
    Csv.endings[0]: CsvWriter,
    Tsv.endings[0]: TsvWriter,
    Jsonl.endings[0]: JsonlWriter,
    Parquet.endings[0]: ParquetWriter,
    Conll.endings[0]: ConllWriter,
    ".html": PageWriter,
}
"""Each by the ending of the files that it writes."""

DEFAULT_PIPED = "jsonl"  # of standard output


def endings_for(*, words: bool) -> tuple[str, ...]:
    """The endings that labelled texts, or tagged words, may be written to."""
    return tuple(ending for ending, writer in WRITERS.items() if words or not writer.of_words)


def output_ending(out: Path, *, words: bool) -> str:
    """The ending of `out` that says its format, without .gz."""
    name = out.name.lower()
    for ending in endings_for(words=words):
        plain = name.removesuffix(".gz")
        if plain.endswith(ending) and (plain == name or ending != Parquet.endings[0]):
            return ending
    raise RunError(f"--out {out}: must end in {', '.join(endings_for(words=words))}.")


def check_output(out: Path, source: Path | None, option: str = "--out") -> None:
    """Refuse an output that cannot be written, before any work is done."""
    if source is not None and out.exists() and source.exists() and out.samefile(source):
        raise RunError(f"{option} {out}: is the input file; choose another name.")
    if out.is_dir():
        raise RunError(f"{option} {out}: is a folder; name a file.")
    if not out.parent.is_dir():
        raise RunError(f"{option} {out}: the folder {out.parent} does not exist; make it first.")
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"{option} {out}: the folder {out.parent} cannot be written.")
