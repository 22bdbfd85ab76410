"""`nlp-adapt predict` on real files: every row once, in order, also after an interruption."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.prediction_files import Cli, read_csv, texts, write_csv


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
def test_chunks_join_to_what_one_chunk_gives(
    run_cli: Cli, toy_run: Path, tmp_path: Path, suffix: str
) -> None:
    from nlp_adapt.data.reading.files import read_file

    source = write_csv(tmp_path / "in.csv", 23)
    tables = []
    for name, rows in (("whole", 100), ("parts", 4)):
        out = tmp_path / f"{name}{suffix}"
        code, _, err = run_cli("predict", toy_run, source, "--out", out, "--chunk-rows", rows)
        assert code == 0, err
        tables.append(read_file(out, "sequence-classification").columns)
    whole, parts = ({name: list(values) for name, values in t.items()} for t in tables)
    assert [int(value) for value in parts["id"]] == list(range(23))
    assert list(parts) == ["id", "text", "label", "score"]
    assert parts["text"] == texts(23)
    assert parts["label"] == whole["label"]
    differences = [
        abs(float(a) - float(b)) for a, b in zip(parts["score"], whole["score"], strict=True)
    ]
    assert max(differences) < 1e-5
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_interrupted_command_goes_on(
    run_cli: Cli, toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlp_adapt.prediction.predictor import Predictor

    source, out = write_csv(tmp_path / "in.csv", 20), tmp_path / "out.csv"
    words = ("predict", toy_run, source, "--out", out, "--chunk-rows", 4)
    real, seen = Predictor.predict, []

    def predict(self: Predictor, given: list[str]) -> Any:
        if len(seen) == 3:
            seen.clear()
            raise KeyboardInterrupt
        seen.append(len(given))
        return real(self, given)

    monkeypatch.setattr(Predictor, "predict", predict)
    code, _, err = run_cli(*words)
    assert code == 130
    assert "Traceback" not in err
    assert not out.exists()
    code, stdout, err = run_cli(*words, "--json")
    assert code == 0, err
    assert "after 3 finished parts" in err
    assert seen == [4, 4]  # only the two parts that were missing
    assert json.loads(stdout)["rows"] == 20
    assert [int(row["id"]) for row in read_csv(out)] == list(range(20))
    assert sum(json.loads(stdout)["labels"].values()) == 20


def test_a_part_cut_short_is_done_again(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    """The process dies between a part's data and the line that says it is whole."""
    from nlp_adapt.prediction.files.parts import Parts

    source, out = write_csv(tmp_path / "in.csv", 10), tmp_path / "out.csv"
    words = ("predict", toy_run, source, "--out", out, "--chunk-rows", 4)
    parts = Parts(out, tmp_path / "rejected.jsonl")
    original = Parts.join
    try:
        Parts.join = lambda self, merge: None  # type: ignore[method-assign]
        assert run_cli(*words)[0] == 0
    finally:
        Parts.join = original  # type: ignore[method-assign]
    (parts.folder / "000000001.data").write_bytes(b"4,torn")
    (parts.folder / "000000001.done").unlink()
    assert run_cli(*words)[0] == 0
    assert [int(row["id"]) for row in read_csv(out)] == list(range(10))


@pytest.mark.parametrize("change", ["input", "option"])
def test_parts_of_another_command_are_not_used(
    run_cli: Cli, toy_run: Path, tmp_path: Path, change: str
) -> None:
    from nlp_adapt.prediction.files.parts import Parts

    source, out = write_csv(tmp_path / "in.csv", 10), tmp_path / "out.csv"
    words: list[object] = ["predict", toy_run, source, "--out", out, "--chunk-rows", 4]
    original = Parts.join
    try:
        Parts.join = lambda self, merge: None  # type: ignore[method-assign]
        assert run_cli(*words)[0] == 0
    finally:
        Parts.join = original  # type: ignore[method-assign]
    if change == "input":
        write_csv(source, 6)
        os.utime(source, ns=(1, 1))
    else:
        words.append("--all-scores")
    code, _, err = run_cli(*words)
    assert code == 0, err
    assert "Going on" not in err
    rows = read_csv(out)
    assert len(rows) == (6 if change == "input" else 10)
    assert ("score_positive" in rows[0]) == (change == "option")


@pytest.mark.parametrize(
    ("name", "content", "good", "reasons"),
    [
        (
            "in.csv",
            b'id,text\n1,good film\n2\n3,bad \xff film\n4,a,b,c\n5,"two\nlines"\n6,nul\0\n7,dull\n',
            ["1", "5", "7"],
            {2: "1 field", 3: "not UTF-8", 4: "4 fields", 6: "NUL"},
        ),
        ("in.tsv", b"id\ttext\n1\tgood\n2\n3\tbad\n", ["1", "3"], {2: "1 field"}),
        (
            "in.jsonl",
            b'{"id": "1", "text": "good"}\n{"id": \n[1]\n\n{"id": "4", "text": 5}\n'
            b'{"id": "5", "text": "\xff"}\n{"id": "6", "text": null}\n{"id": "7"}\n',
            ["1", "6", "7"],
            {2: "not valid JSON", 3: "not a JSON object", 5: "holds an int", 6: "not UTF-8"},
        ),
    ],
)
def test_bad_rows_are_set_aside_with_the_reason(
    run_cli: Cli,
    toy_run: Path,
    tmp_path: Path,
    name: str,
    content: bytes,
    good: list[str],
    reasons: dict[int, str],
) -> None:
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "out.csv"
    code, stdout, err = run_cli("predict", toy_run, tmp_path / name, "--out", out)
    assert code == 0, err
    counted = "1 row was" if len(reasons) == 1 else f"{len(reasons)} rows were"
    assert f"{counted} set aside" in stdout
    assert [row["id"] for row in read_csv(out)] == good
    rejected = [
        json.loads(line) for line in (tmp_path / "out.csv.rejected.jsonl").read_text().splitlines()
    ]
    assert len(rejected) == len(reasons)
    for row, reason in zip(rejected, reasons.values(), strict=True):
        assert row["row"].startswith(f"{name}:")
        assert reason in row["reason"]
        assert row["content"]
    (tmp_path / name).write_bytes(b"id,text\n1,good\n" if name.endswith("csv") else content)
    if name.endswith("csv"):  # a clean run afterwards leaves no stale file
        words = ("predict", toy_run, tmp_path / name, "--out", out, "--overwrite")
        assert run_cli(*words)[0] == 0
        assert not (tmp_path / "out.csv.rejected.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.csv", b"text\n", "holds no rows"),
        ("in.csv", b"", "is empty"),
        ("in.csv", b"a,b\n1,2\n", "no column that looks like text"),
        ("in.csv", b'text\n"open\nand on\n', "quotation marks"),
        ("in.csv", b"te\xffxt\n1\n", "not UTF-8"),
        ("in.jsonl", b'{"text": 1}\n{"text": 2}\n', "holds an int where text is expected"),
        ("in.csv", b"text,id\n1\n2\n", "no row that can be read"),
        ("in.csv", b"text,label,predicted_label\na,b,c\n", "predicted_label"),
        ("in.csv.gz", b"no gzip", "is not gzip"),
        ("in.parquet", b"no parquet", "not a readable parquet"),
        ("in.docx", b"x", "unknown format"),
    ],
)
def test_files_that_cannot_be_used(
    run_cli: Cli, toy_run: Path, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, _, err = run_cli("predict", toy_run, tmp_path / name, "--out", tmp_path / "out.csv")
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_all_scores_and_columns_of_every_row(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl.gz"
    records = [{"text": "good film", "x": [1, {"y": None}]}, {"text": "bad \ud800", "z": "é"}]
    with gzip.open(source, "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    out = tmp_path / "out.jsonl"
    assert run_cli("predict", toy_run, source, "--out", out, "--all-scores")[0] == 0
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for record, row in zip(records, written, strict=True):
        assert {key: row[key] for key in record} == record
        assert row["score_negative"] + row["score_positive"] == pytest.approx(1, abs=1e-5)
        assert row["score"] == max(row["score_negative"], row["score_positive"])


def test_parquet_of_mixed_types_says_what_to_do(
    run_cli: Cli, toy_run: Path, tmp_path: Path
) -> None:
    rows = ['{"text": "a", "x": 1}\n'] * 2 + ['{"text": "a", "x": "one"}\n'] * 2
    (tmp_path / "in.jsonl").write_text("".join(rows))
    words = ("predict", toy_run, tmp_path / "in.jsonl", "--chunk-rows", 2)
    code, _, err = run_cli(*words, "--out", tmp_path / "out.parquet")
    assert code == 2
    assert "write jsonl" in err


def test_likeness_tells_domains_and_foreign_text_apart(
    run_cli: Cli, toy_run: Path, toy_source_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    words = ("predict", toy_run, toy_source_csv, "--out", out, "--domain-likeness")
    code, _, err = run_cli(*words)
    assert code == 0, err
    rows = read_csv(out)
    names = ["distance_source", "likeness_source", "distance_target", "likeness_target"]
    assert list(rows[0])[-4:] == [f"predicted_{name}" for name in names]
    own = [float(row["predicted_likeness_source"]) for row in rows]
    assert 0.3 < sum(own) / len(own) < 0.8  # a domain's own texts are spread over its percentiles
    assert all(0 <= value <= 1 for value in own)


def test_likeness_needs_statistics(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    model = toy_run / "source_only" / "model"
    source = write_csv(tmp_path / "in.csv", 2)
    words = ("predict", model, source, "--out", tmp_path / "out.csv", "--domain-likeness")
    code, _, err = run_cli(*words)
    assert code == 2
    assert "domain_statistics.safetensors" in err


def test_standard_output_equals_the_file(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "in.csv", 9), tmp_path / "out.csv"
    words = ("predict", toy_run, source, "--chunk-rows", 4, "--out")
    assert run_cli(*words, out)[0] == 0
    code, stdout, err = run_cli(*words, "-", "--output-format", "csv")
    assert code == 0, err
    assert stdout.encode() == out.read_bytes()
    assert "9 rows written to standard output" in err
    code, stdout, err = run_cli(*words, "-", "--output-format", "conll")
    assert (code, stdout) == (2, "")
    assert "conll is for taggers" in err


def test_a_closed_pipe_ends_quietly(toy_run: Path, run_cli: Cli, tmp_path: Path) -> None:
    import io

    source = write_csv(tmp_path / "in.csv", 9)

    class Closed(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            raise BrokenPipeError

    class Out:
        buffer = Closed()
        write = flush = isatty = lambda *words: None

    class Err(io.StringIO):
        def close(self) -> None:
            self.closed_by_us = True

    from nlp_adapt.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Out())
        patch.setattr(sys, "stderr", err := Err())
        assert main(["predict", str(toy_run), str(source), "--out", "-"]) == 1
    assert err.closed_by_us
    assert "Traceback" not in err.getvalue()


@pytest.mark.parametrize(
    ("option", "says"),
    [("{}/no/aside.jsonl", "does not exist"), ("{}/in.csv", "is the input file")],
)
def test_a_place_for_rejected_rows_that_cannot_be(
    run_cli: Cli, toy_run: Path, tmp_path: Path, option: str, says: str
) -> None:
    source = write_csv(tmp_path / "in.csv", 2)
    for out in (tmp_path / "out.csv", "-"):
        words = ("predict", toy_run, source, "--out", out, "--rejected", option.format(tmp_path))
        code, _, err = run_cli(*words)
        assert code == 2
        assert "--rejected" in err
        assert says in err
        assert len(read_csv(source)) == 2


def test_a_broken_line_to_the_hub_is_one_sentence(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    library = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")

    def broken(*words: Any, **options: Any) -> Any:
        raise library("Server disconnected without sending a response.")

    monkeypatch.setattr("nlp_adapt.prediction.opening.load_predictor", broken)
    source = write_csv(tmp_path / "in.csv", 2)
    code, _, err = run_cli("predict", "me/model", source, "--out", tmp_path / "out.csv")
    assert code == 2
    assert "connection to the Hub broke" in err
    assert "HF_HUB_OFFLINE=1" in err
    assert "Traceback" not in err


def test_one_row_is_counted_as_one(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", 1)
    code, stdout, _ = run_cli("predict", toy_run, source, "--out", tmp_path / "out.csv")
    assert code == 0
    assert stdout.startswith("1 row written to ")
