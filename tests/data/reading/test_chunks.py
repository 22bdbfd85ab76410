"""Reading rows in chunks: the same rows as reading whole, in constant memory."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.data.reading.files import RowFile, read_file
from nlp_adapt.errors import DataError

TASK = "sequence-classification"
ROWS = [
    {"id": "1", "text": 'a "quoted", text'},
    {"id": "2", "text": ""},
    {"id": "3", "text": "über 👍"},
    {"id": "4", "text": "last"},
]


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    if suffix.startswith(".parquet"):
        from datasets import Dataset

        Dataset.from_list(ROWS).to_parquet(path)
        if suffix.endswith(".gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
        return path
    opened = gzip.open(path, "wt", newline="") if suffix.endswith(".gz") else path.open("w")  # noqa: SIM115
    with opened as file:
        if ".csv" in suffix:
            writer = csv.DictWriter(file, ["id", "text"], delimiter=";" if "eu" in suffix else ",")
            writer.writeheader()
            writer.writerows(ROWS)
        elif ".tsv" in suffix:
            file.write("id\ttext\n" + "".join(f"{r['id']}\t{r['text']}\n" for r in ROWS))
        elif suffix == ".json":
            json.dump(ROWS, file)
        elif suffix == ".txt":
            file.writelines(f"{row['text']}\n" for row in ROWS)
        else:
            file.writelines(json.dumps(row) + "\n" for row in ROWS)
    return path


@pytest.mark.parametrize(
    "suffix",
    [
        *(".csv", ".eu.csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".json", ".txt"),
        *(".parquet", ".parquet.gz"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_are_the_rows_of_the_whole(tmp_path: Path, suffix: str, size: int) -> None:
    rows = RowFile(written(tmp_path, suffix), TASK)
    whole = read_file(rows.path, TASK)
    chunks = list(rows.chunks(size))
    assert all(len(chunk) <= size for chunk in chunks)
    assert rows.columns() == list(whole.columns)
    assert [row.place for chunk in chunks for row in chunk] == list(whole.rows)
    records = [row.record for chunk in chunks for row in chunk]
    for name, values in whole.columns.items():
        assert [record[name] for record in records] == list(values)


def test_an_array_is_read_whatever_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('[{"text": "a"},\n {"text": "b"}]')
    rows = list(RowFile(path, TASK).rows())
    assert [(row.place, row.record) for row in rows] == [
        ("in.jsonl:1", {"text": "a"}),
        ("in.jsonl:2", {"text": "b"}),
    ]
    assert read_file(path, TASK).columns == {"text": ["a", "b"]}


def test_a_broken_line_between_sentences_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "in.conll"
    path.write_bytes(b"a O\n\n-DOCSTART- \xff\n\nb O\n")
    rows = list(RowFile(path, "token-classification").rows())
    assert [row.place for row in rows] == ["in.conll:1", "in.conll:3", "in.conll:5"]
    assert [row.record is None for row in rows] == [False, True, False]
    assert rows[1].reason.startswith("it is not UTF-8")


def test_a_column_that_comes_late_in_jsonl_is_known(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "late": 1}\n')
    assert RowFile(path, TASK).columns() == ["text", "late"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
def test_memory_stays_constant(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    line: Any = {".csv": "x" * 2000, ".txt": "x" * 2000, ".jsonl": json.dumps({"text": "x" * 2000})}
    with path.open("w") as file:
        file.write("text\n" if suffix == ".csv" else "")
        file.writelines(line[suffix] + "\n" for _ in range(8000))
    rows = RowFile(path, TASK)
    tracemalloc.start()
    try:
        count = sum(len(chunk) for chunk in rows.chunks(50))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 8000
    assert peak < path.stat().st_size / 3


@pytest.mark.parametrize(
    ("name", "says"), [("missing.csv", "does not exist"), ("in.docx", "does not exist")]
)
def test_files_that_are_not_there(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        list(RowFile(tmp_path / name, TASK).chunks(2))
