"""Edited rows in a file of JSON lines: a header that vouches for them, then one row a line."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.data.domain import make_dataset
from nlp_adapt.errors import RunError
from nlp_adapt.files import sync
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION

FORMAT = 1
LOGGER = logging.getLogger("nlp_adapt")


def write_rows(path: Path, key: str, datasets: Sequence[Any], report: dict[str, Any]) -> None:
    """Write labelled rows of several sources, so that the file is either the old or the new one.

    Args:
        path: The file.
        key: What the rows depend on, as a hash.
        datasets: The rows of each source, in canonical columns.
        report: Kept in the header.

    Raises:
        RunError: If it cannot be written.
    """
    lines = [
        json.dumps({"source": index, **row}, ensure_ascii=False)
        for index, dataset in enumerate(datasets)
        for row in _named_rows(dataset)
    ]
    body = "".join(f"{line}\n" for line in lines)
    header = {"format": FORMAT, "key": key, "sha256": _sha256(body), "report": report}
    staged = path.with_name(f".{path.name}.staged")
    try:
        text = f"{json.dumps(header)}\n{body}"
        staged.write_text(text, encoding="utf-8", errors="surrogatepass", newline="\n")
        sync(staged)
        os.replace(staged, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror or error}).") from error


def read_rows(
    path: Path, key: str, originals: Sequence[Any]
) -> tuple[list[Any], dict[str, Any]] | None:
    """The rows that `write_rows` wrote for the same key, and the report; None where there are none.

    Args:
        path: The file; one that is damaged counts as missing, with a warning.
        key: What the rows depend on, as a hash.
        originals: Data sets of the same sources, for the names of their labels.
    """
    if not path.is_file():
        return None
    try:
        first, _, body = path.read_text("utf-8", "surrogatepass").partition("\n")
        header = json.loads(first)
        if header["format"] != FORMAT or header["key"] != key:
            return None
        if header["sha256"] != _sha256(body):
            raise ValueError("its checksum differs")
        rows = [json.loads(line) for line in body.split("\n") if line]
        datasets = [
            _dataset([row for row in rows if row["source"] == index], original)
            for index, original in enumerate(originals)
        ]
        return datasets, dict(header["report"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        LOGGER.warning("%s: damaged (%s), so the rows are made anew.", path, error)
        return None


def _named_rows(dataset: Any) -> list[dict[str, Any]]:
    """Rows with the names of their labels, for people."""
    names = _label_names(dataset)
    if "tokens" in dataset.column_names:
        return [{**row, "labels": [names[index] for index in row["labels"]]} for row in dataset]
    return [{**row, "label": names[row["label"]]} for row in dataset]


def _dataset(rows: list[dict[str, Any]], original: Any) -> Any:
    names = _label_names(original)
    index = {name: number for number, name in enumerate(names)}
    places = [row["row"] for row in rows]
    if "tokens" in original.column_names:
        labels = [[index[name] for name in row["labels"]] for row in rows]
        texts = [row["tokens"] for row in rows]
        return make_dataset(TOKEN_CLASSIFICATION, texts, places, labels, names)
    given = [index[row["label"]] for row in rows]
    return make_dataset(
        SEQUENCE_CLASSIFICATION, [row["text"] for row in rows], places, given, names
    )


def _label_names(dataset: Any) -> list[str]:
    feature = dataset.features["labels" if "tokens" in dataset.column_names else "label"]
    return list(getattr(feature, "feature", feature).names)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
