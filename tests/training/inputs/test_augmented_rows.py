"""Copies in a run's folder: they come back as they were, or count as missing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.errors import RunError
from nlp_adapt.training.inputs.augmented import read_rows, write_rows

ROWS: list[dict[str, Any]] = [
    {"source": 0, "text": "a\u2028b ü\r\n \ud83d", "row": "x:1, copy 1", "label": "positive"},
    {"source": 1, "text": "a film", "row": "y:1, copy 2", "label": "negative"},
    {"source": 1, "tokens": ["a\u2028", "b"], "row": "z:1", "labels": ["O", "B-LOC"]},
]


def test_kept_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "augmented.jsonl"
    write_rows(path, "key", ROWS, {"edit": "mask"})
    assert read_rows(path, "key") == (ROWS, {"edit": "mask"})
    assert read_rows(path, "other key") is None
    assert read_rows(tmp_path / "nowhere", "key") is None
    lines = path.read_bytes().split(b"\n")
    assert json.loads(lines[2]) == ROWS[1]
    assert [file.name for file in tmp_path.iterdir()] == ["augmented.jsonl"]
    write_rows(path, "key", [], {})
    assert read_rows(path, "key") == ([], {})


@pytest.mark.parametrize("damage", ["flip", "truncate", "header", "empty", "bytes"])
def test_damaged_rows_count_as_missing(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "augmented.jsonl"
    write_rows(path, "key", ROWS, {})
    content = path.read_bytes()
    path.write_bytes(
        {
            "flip": content.replace(b"film", b"fiml", 1),
            "truncate": content[:-40],
            "header": b"{}\n" + content,
            "empty": b"",
            "bytes": content.replace(b"film", b"\xff\xff", 1),
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert read_rows(path, "key") is None
    assert "augmented.jsonl: damaged" in caplog.text


def test_rows_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"augmented\.jsonl: cannot be written"):
        write_rows(tmp_path / "file" / "augmented.jsonl", "key", ROWS, {})
