"""From recipe to predictions on a toy domain, through the command line alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.reporting.table import comparison_rows, layout

Cli = Callable[..., tuple[int, str, str]]


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def test_a_run_leaves_what_is_promised(toy_run: Path) -> None:
    results = results_of(toy_run)
    for path in ("model/config.json", "model/README.md", "source_only/model/config.json"):
        assert (toy_run / path).is_file()
    assert list((toy_run / "adaptation").glob("*.safetensors"))
    assert results["method"] == "dann"
    assert results["source"]["name"] == "reviews"
    for model in ("source_only", "adapted"):
        assert results[model]["steps"] == 4
        for domain in ("source", "target"):
            matrix = results[model][domain]["confusion_matrix"]
            assert sum(map(sum, matrix)) == results[domain]["rows"]["test"]
    assert results["target"]["rows"]["test"] == 80
    lines = (toy_run / "log.jsonl").read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert len(lines) >= 8


def test_the_model_opens_without_nlp_adapt(toy_run: Path, toy_target_jsonl: Path) -> None:
    script = (
        "import sys, json, transformers\n"
        "classify = transformers.pipeline('text-classification', model=sys.argv[1], device='cpu')\n"
        "print(json.dumps(classify(sys.argv[2])[0]))\n"
        "assert 'nlp_adapt' not in sys.modules\n"
    )
    text = json.loads(toy_target_jsonl.read_text().splitlines()[0])["text"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(toy_run / "model"), text],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)

    from nlp_adapt.prediction.opening import load_predictor

    ours = load_predictor(toy_run).predict([text])[0]
    assert answer["label"] == ours["label"]
    assert answer["score"] == pytest.approx(ours["score"], abs=1e-5)


def test_training_prints_the_table_of_its_results(
    run_cli: Cli, train_words: Sequence[object], tmp_path: Path
) -> None:
    code, out, err = run_cli(*train_words, "--max-steps", 1, "--output-dir", tmp_path / "run")
    assert code == 0, err
    results = results_of(tmp_path / "run")
    assert layout(comparison_rows(results)) in out
    assert str(tmp_path / "run" / "report.html") in out
    assert "Traceback" not in err
    for noise in ("Some weights", "Warning", "Loading weights"):
        assert noise not in err


def test_json_is_the_only_thing_on_stdout(
    run_cli: Cli, train_words: Sequence[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    code, out, err = run_cli(
        *train_words, "--max-steps", 1, "--no-compare-source-only", "--output-dir", run, "--json"
    )
    assert code == 0, err
    assert json.loads(out) == results_of(run)
    assert json.loads(out)["source_only"] is None


def test_evaluate_repeats_the_numbers_of_the_run(
    run_cli: Cli, toy_run: Path, toy_target_jsonl: Path
) -> None:
    words = ("--data", toy_target_jsonl, "--json")
    code, out, _ = run_cli("evaluate", toy_run, *words)
    report = json.loads(out)
    assert code == 0
    assert (report["rows"], report["split"]) == (80, "train")
    results = results_of(toy_run)
    assert report["metrics"] == results[results["exported"]]["target"]
    assert {"auc", "oracle"} <= {*report["metrics"]}
    _, out, _ = run_cli("evaluate", toy_run / "source_only" / "model", *words)
    assert json.loads(out)["metrics"] == results["source_only"]["target"]


def test_evaluate_for_people(run_cli: Cli, toy_run: Path, toy_target_jsonl: Path) -> None:
    code, out, _ = run_cli("evaluate", toy_run, "--data", toy_target_jsonl)
    accuracy = results_of(toy_run)["adapted"]["target"]["accuracy"]
    assert code == 0
    assert "(80 labelled rows)" in out
    assert f"{100 * accuracy:.1f}" in out
    assert "positive" in out
    assert "AUC" in out
    assert "macro-F1 at the best threshold" in out


def test_predict_keeps_columns_and_rows(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    rows = [["id", "text", "note"], ["1", "good film", 'a "b", c'], ["2", "  ", ""]]
    rows += [["3", "", "x"], ["4", "bad\nfilm", "ü"]]
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    out_file = tmp_path / "out.csv"
    code, out, err = run_cli("predict", toy_run, tmp_path / "in.csv", "--out", out_file, "--json")
    assert code == 0, err
    with out_file.open(newline="", encoding="utf-8") as file:
        written = list(csv.reader(file))
    assert written[0] == [*rows[0], "label", "score"]
    assert [row[:3] for row in written] == rows
    assert [bool(row[3]) for row in written[1:]] == [True, False, False, True]
    summary = json.loads(out)
    assert summary["rows"] == 4
    assert summary["without_text"] == 2
    assert sum(summary["labels"].values()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
def test_predict_writes_every_format(
    run_cli: Cli, toy_run: Path, toy_target_jsonl: Path, tmp_path: Path, suffix: str
) -> None:
    from nlp_adapt.data.reading.files import read_file

    out_file = tmp_path / f"out{suffix}"
    code, out, err = run_cli("predict", toy_run, toy_target_jsonl, "--out", out_file)
    assert code == 0, err
    assert "80 rows" in out
    given = read_file(toy_target_jsonl, "sequence-classification").columns
    written = read_file(out_file, "sequence-classification").columns
    assert list(written) == ["text", "label", "predicted_label", "predicted_score"]
    assert list(written["text"]) == list(given["text"])
    assert list(written["label"]) == list(given["label"])
    assert set(written["predicted_label"]) <= {"negative", "positive"}
    if suffix == ".csv.gz":
        assert gzip.decompress(out_file.read_bytes()).startswith(b"text,label,")


def test_predict_reads_standard_input(
    run_cli: Cli, toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"good film\n\nbad phone\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    code, _, err = run_cli("predict", toy_run, "-", "--out", tmp_path / "out.jsonl")
    assert code == 0, err
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["text"] for record in records] == ["good film", "", "bad phone"]
    assert records[1]["label"] is None
    assert 0.5 <= records[0]["score"] <= 1


def test_predict_from_parquet_keeps_types(run_cli: Cli, toy_run: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    rows = {"text": ["good", None], "when": [1, 2], "label": ["a", "b"]}
    Dataset.from_dict(rows).to_parquet(tmp_path / "in.parquet")
    out_file = tmp_path / "out.parquet"
    code, _, err = run_cli("predict", toy_run, tmp_path / "in.parquet", "--out", out_file)
    assert code == 0, err
    written = Dataset.from_parquet(str(out_file), cache_dir=str(tmp_path / "cache"))
    assert written["when"][:] == [1, 2]
    assert written["label"][:] == ["a", "b"]
    assert written["predicted_label"][1] is None
