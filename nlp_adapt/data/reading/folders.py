"""Folders of data: files whose names tell their split, texts by class, and brat's documents."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.formats import data_ending
from nlp_adapt.data.reading.lines import Texts, read_lines, read_whole
from nlp_adapt.data.reading.rows import Row, Table, table_of
from nlp_adapt.errors import DataError

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    **dict.fromkeys(("unlabeled", "unlabelled", "unsupervised", "unsup"), "unlabelled"),
}
# <prefix>.<split>[-00000-of-00001]: what stands behind the split's name may only number a shard.
_SPLIT_FILE = re.compile(
    rf"(?:(?P<prefix>.+)[._-])?(?P<split>{'|'.join(SPLIT_WORDS)})(?:[._-]?\d+(?:-of-\d+)?)?",
    re.IGNORECASE,
)
_BRAT_ENTITY = re.compile(r"T\S*\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)")


def data_files(folder: Path) -> list[Path]:
    """The files of a folder that may hold rows."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and data_ending(file)
        and not file.name.lower().startswith(("readme", "license", "licence", "."))
    )


def split_files(folder: Path) -> dict[Path, tuple[str, str]]:
    """The files whose names tell their split -> (prefix, split)."""
    found = {}
    for file in data_files(folder):
        stem = file.name[: file.name.lower().rindex(data_ending(file) or "")]
        if match := _SPLIT_FILE.fullmatch(stem):
            found[file] = (match["prefix"] or "", SPLIT_WORDS[match["split"].lower()])
    return found


def documents(folder: Path, encoding: str | None) -> dict[str, list[Table]]:
    """Tables of a folder of documents by split: brat's, or a text a file in a folder of its class.

    Both may stand in folders of their split. There are none where the folder holds other files of
    rows.

    Raises:
        DataError: A document cannot be read; names the file and line.
    """
    encoding = encoding or "utf-8"
    brat = {role: files for role, files in _annotated(folder).items() if files}
    if brat:
        rows = {role: _brat_rows(folder, files, encoding) for role, files in brat.items()}
    else:
        files = _by_class(folder)
        labels = {label for found in files.values() for label, _ in found if label is not None}
        if len(labels) < 2 or any(
            data_ending(file) not in Texts.endings for file in data_files(folder)
        ):
            return {}
        rows = {role: _class_rows(folder, found, encoding) for role, found in files.items()}
    return {
        role: [table_of(found, f"{folder} ({role})", name=f"{folder.name} ({role})")]
        for role, found in rows.items()
    }


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _texts(folder: Path) -> list[Path]:
    """Files that are a text each: x.txt, or a bare number as in the 20 newsgroups."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and (data_ending(file) in Texts.endings or file.name.isdecimal())
    )


def _by_class(folder: Path) -> dict[str, list[tuple[str | None, Path]]]:
    """The texts of each split with the class that their folder names: pos/a.txt, train/pos/a.txt."""
    found: dict[str, list[tuple[str | None, Path]]] = defaultdict(list)
    for child in _folders(folder):
        role = SPLIT_WORDS.get(child.name.lower())
        if role is None or role == "unlabelled":
            name = None if role else child.name
            found[role or "train"] += [(name, file) for file in _texts(child)]
        else:
            for inner, files in _by_class(child).items():
                found["unlabelled" if inner == "unlabelled" else role] += files
    return {role: files for role, files in found.items() if files}


def _class_rows(
    folder: Path, files: Sequence[tuple[str | None, Path]], encoding: str
) -> Iterator[Row]:
    for label, file in files:
        lines = []
        for number, line, fault in read_lines(file, encoding):
            if fault is not None:
                raise DataError(f"{file}:{number} {fault}")
            lines.append(line)
        labels = {} if label is None else {"label": label}
        place = f"{file.relative_to(folder).as_posix()}:1"
        yield Row(place, {"text": "\n".join(lines), **labels})


def _annotated(folder: Path) -> dict[str, list[Path]]:
    """The .txt files of brat's documents by split."""
    if any(folder.glob("*.ann")):
        return {"train": sorted(folder.glob("*.txt"))}
    found: dict[str, list[Path]] = defaultdict(list)
    for child in _folders(folder):
        if (role := SPLIT_WORDS.get(child.name.lower())) and any(child.glob("*.ann")):
            found[role] += sorted(child.glob("*.txt"))
    return found


def _brat_rows(folder: Path, files: Sequence[Path], encoding: str) -> Iterator[Row]:
    """The lines of documents with their entities; one that runs over a line's end keeps lines together."""
    for file in files:
        text = read_whole(file, encoding)
        marks = file.with_suffix(".ann")
        entities = list(_brat_entities(marks, text, encoding)) if marks.exists() else None
        inside = [range(one["start"] + 1, one["end"]) for one in entities or ()]
        ends = [match.end() for match in re.finditer(r"\n|\Z", text)]
        start = 0
        for end in (end for end in ends if not any(end in one for one in inside)):
            if text[start:end].strip():
                place = f"{file.relative_to(folder).as_posix()}:{text.count(chr(10), 0, start) + 1}"
                own = entities and [
                    {**one, "start": one["start"] - start, "end": one["end"] - start}
                    for one in entities
                    if start <= one["start"] < end
                ]
                yield Row(place, {"text": text[start:end], "entities": own})
            start = end


def _brat_entities(marks: Path, text: str, encoding: str) -> Iterator[Mapping[str, Any]]:
    """What an .ann file marks in a text; relations, events and notes are passed over."""
    for number, line in enumerate(read_whole(marks, encoding).splitlines(), start=1):
        if not line.startswith("T"):
            continue
        match = _BRAT_ENTITY.fullmatch(line)
        if match is None:
            raise DataError(
                f"{marks}:{number} is not an entity of brat, such as T1, PER 0 5, Smith."
            )
        pieces = [tuple(map(int, piece.split())) for piece in match[2].split(";")]
        start, end = pieces[0][0], pieces[-1][1]
        if end > len(text) or start >= end:
            raise DataError(f"{marks}:{number} lies outside of its text: mend its start and end.")
        for (_, before), (after, _) in pairwise(pieces):
            if text[before:after].strip():
                raise DataError(
                    f"{marks}:{number} is an entity in pieces, with other words between them, which "
                    "tags cannot say: make it one piece, or take it out."
                )
        yield {"start": start, "end": end, "label": match[1], "text": match[3]}
