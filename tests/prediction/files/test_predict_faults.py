"""`nlp-adapt predict` where parts, files and cells are not what they seem."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nlp_adapt.prediction.files.parts import Parts
from tests.helpers.prediction_files import Cli, read_csv, write_csv


@pytest.fixture
def unjoined(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Inside, a command stops before its parts are joined."""

    def stop(self: Parts, merge: Any) -> None:
        raise KeyboardInterrupt

    return lambda patch: patch.setattr(Parts, "join", stop)


def test_parts_read_in_another_format_are_not_used(
    run_cli: Cli, toy_run: Path, tmp_path: Path, unjoined: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give() -> None:
        content = "id,text\n" + "".join(f"{i},good film {i}\n" for i in range(5))
        stream = SimpleNamespace(buffer=io.BytesIO(content.encode()))
        monkeypatch.setattr(sys, "stdin", stream)

    out = tmp_path / "out.csv"
    words = ("predict", toy_run, "-", "--out", out, "--chunk-rows", 2)
    give()
    with monkeypatch.context() as patch:
        unjoined(patch)
        assert run_cli(*words)[0] == 130
    give()
    code, _, err = run_cli(*words, "--input-format", "csv")
    assert code == 0, err
    assert "Going on" not in err
    assert [row["id"] for row in read_csv(out)] == [*"01234"]


def test_parts_of_a_model_with_other_names_are_not_used(
    run_cli: Cli, toy_run: Path, tmp_path: Path, unjoined: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = tmp_path / "model", tmp_path / "out.csv"
    shutil.copytree(toy_run / "model", model)
    words = ("predict", model, write_csv(tmp_path / "in.csv", 6), "--out", out, "--chunk-rows", 2)
    with monkeypatch.context() as patch:
        unjoined(patch)
        assert run_cli(*words)[0] == 130
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {"0": "NEG", "1": "POS"}
    config["label2id"] = {"NEG": 0, "POS": 1}
    (model / "config.json").write_text(json.dumps(config))
    assert run_cli(*words)[0] == 0
    assert {row["label"] for row in read_csv(out)} <= {"NEG", "POS"}


def test_an_interrupted_clean_up_loses_no_row(
    run_cli: Cli, toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_csv(tmp_path / "in.csv", 6), tmp_path / "out.csv"
    words = ("predict", toy_run, source, "--out", out, "--chunk-rows", 2)

    def interrupted(folder: Path, **options: Any) -> None:
        for path in sorted(Path(folder).glob("*.data"))[:1]:
            path.unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nlp_adapt.prediction.files.parts.shutil.rmtree", interrupted)
        assert run_cli(*words)[0] == 130
    assert len(read_csv(out)) == 6
    assert run_cli(*words)[0] == 0
    assert [row["id"] for row in read_csv(out)] == [*"012345"]


def test_a_part_without_its_rows_is_not_done(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.csv", tmp_path / "aside.jsonl")
    parts.open({})
    parts.write(0, b"row\n", [], {"rows": 1})
    assert parts.done() == {0}
    (parts.folder / "000000000.data").unlink()
    assert not parts.done()


@pytest.mark.parametrize("bad", [0, 1])
def test_a_device_for_rejected_rows_stays_a_device(
    run_cli: Cli, toy_run: Path, tmp_path: Path, bad: int
) -> None:
    aside = tmp_path / "aside"
    os.mkfifo(aside)
    reader = os.open(aside, os.O_RDONLY | os.O_NONBLOCK)
    try:
        source = tmp_path / "in.jsonl"
        source.write_text('{"text": "good"}\n' + '{"text": \n' * bad)
        words = ("predict", toy_run, source, "--out", tmp_path / "out.csv", "--rejected", aside)
        code, _, err = run_cli(*words)
        assert code == 0, err
        assert stat.S_ISFIFO(aside.stat().st_mode)
        assert os.read(reader, 10_000).count(b"\n") == bad
    finally:
        os.close(reader)


def test_rejected_rows_and_output_cannot_share_a_file(
    run_cli: Cli, toy_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    source = write_csv(tmp_path / "in.csv", 2)
    code, _, err = run_cli("predict", toy_run, source, "--out", out, "--rejected", out)
    assert code == 2
    assert "name the same file" in err


@pytest.mark.parametrize("column", ["text", "te\rxt"])
def test_a_carriage_return_alone_does_not_end_a_row(
    run_cli: Cli, toy_run: Path, tmp_path: Path, column: str
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text("".join(json.dumps({column: f"good\rfilm {i}"}) + "\n" for i in range(3)))
    code, _, err = run_cli("predict", toy_run, source, "--out", out, "--text-column", column)
    assert code == 0, err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row[column] for row in rows] == [f"good\rfilm {i}" for i in range(3)]
    again = tmp_path / "again.csv"
    assert run_cli("predict", toy_run, out, "--out", again, "--text-column", column)[0] == 0


def test_a_column_of_mappings_is_no_obstacle(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    kind = pyarrow.map_(pyarrow.string(), pyarrow.int64())
    tags = pyarrow.array([[("a", 1)], []], type=kind)
    table = pyarrow.table({"text": ["good film", "bad film"], "tags": tags})
    source = tmp_path / "in.parquet"
    parquet.write_table(table, source)
    for suffix in ("csv", "jsonl"):
        code, _, err = run_cli("predict", toy_run, source, "--out", tmp_path / f"out.{suffix}")
        assert code == 0, err
    assert len(read_csv(tmp_path / "out.csv")) == 2
    code, _, err = run_cli("predict", toy_run, source, "--out", tmp_path / "out.parquet")
    assert code == 2
    assert "write jsonl" in err

    from nlp_adapt.data.loading import load_domain

    labelled = table.drop_columns(["tags"]).append_column("label", pyarrow.array(["a", "b"]))
    parquet.write_table(labelled.append_column("tags", tags), tmp_path / "rows.parquet")
    domain = load_domain(str(tmp_path / "rows.parquet"), test_fraction=0.0)
    assert list(domain.train["text"]) == ["good film", "bad film"]


def test_half_a_surrogate_pair_is_replaced_in_parquet(
    run_cli: Cli, toy_run: Path, tmp_path: Path
) -> None:
    from pyarrow import parquet

    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_text('{"text": "good \\ud83d film"}\n')
    code, _, err = run_cli("predict", toy_run, source, "--out", out)
    assert code == 0, err
    assert parquet.read_table(out)["text"].to_pylist() == ["good \ufffd film"]


def test_numbers_that_parquet_cannot_join_are_one_sentence(
    run_cli: Cli, toy_run: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"text": "a", "n": {2**60 + 1}}}\n' + '{"text": "b", "n": 1.5}\n')
    words = ("predict", toy_run, source, "--chunk-rows", 1, "--out", tmp_path / "out.parquet")
    code, _, err = run_cli(*words)
    assert code == 2
    assert "write jsonl" in err


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("device", ["cuda:9", "foo"])
def test_a_device_that_is_not_there_is_one_sentence(
    run_cli: Cli, toy_run: Path, toy_source_csv: Path, tmp_path: Path, command: str, device: str
) -> None:
    words: tuple[object, ...] = ("evaluate", toy_run, "--data", toy_source_csv)
    if command == "predict":
        words = ("predict", toy_run, toy_source_csv, "--out", tmp_path / "out.csv")
    code, _, err = run_cli(*words, "--device", device)
    assert code == 2
    assert f"device '{device}' cannot be used here" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["source_only", "source_only/model", "elsewhere"])
def test_likeness_never_reads_the_statistics_of_another_model(
    run_cli: Cli, toy_run: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    shutil.copytree(run / "model", run / "elsewhere")
    words = ("predict", run / name, write_csv(tmp_path / "in.csv", 2), "--domain-likeness")
    code, _, err = run_cli(*words, "--out", tmp_path / "out.csv")
    assert code == 2
    assert "has no adaptation/domain_statistics.safetensors" in err
    words = ("predict", run / "model", tmp_path / "in.csv", "--domain-likeness")
    assert run_cli(*words, "--out", tmp_path / "out.csv")[0] == 0
