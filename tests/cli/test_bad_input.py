"""What a user gets wrong: one clear sentence on stderr, a non-zero exit, and no traceback."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]
Refused = Callable[..., None]


@pytest.fixture
def refused(run_cli: Cli) -> Refused:
    """Run a command that must fail, and check its sentence for words."""

    def check(*words: object, says: Sequence[object]) -> None:
        code, out, err = run_cli(*words)
        assert code == 2, err
        assert out == ""
        assert "Traceback" not in err
        message = [line for line in err.splitlines() if line.startswith("nlp-adapt: error: ")]
        assert len(message) == 1, err
        for word in says:
            assert str(word) in message[0]

    return check


@pytest.fixture
def train(train_words: Sequence[object], tmp_path: Path) -> list[object]:
    """A training command that would work; flags that follow win."""
    return [*train_words, "--max-steps", 1, "--output-dir", tmp_path / "run"]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_source(refused: Refused) -> None:
    refused("train", "--target", "x.csv", says=["--source"])


def test_missing_file(refused: Refused, train: list[object], tmp_path: Path) -> None:
    # Each list flag adds to what came before, so these start from scratch.
    refused("train", "--source", tmp_path / "nowhere.csv", says=["nowhere.csv"])


def test_unknown_format(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "data.docx", "x")
    refused("train", "--source", path, says=["data.docx", ".csv"])


def test_unknown_column(refused: Refused, toy_source_csv: Path, tmp_path: Path) -> None:
    words = ("--source", toy_source_csv, "--text-column", "txt", "--output-dir", tmp_path / "r")
    refused("train", *words, says=["txt", "text_column", "text, label"])


def test_columns_that_nothing_recognises(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.csv", "alpha,beta\na,b\n")
    refused("train", "--source", path, "--output-dir", tmp_path / "r", says=["odd.csv", "alpha"])


def test_empty_split(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "empty.csv", "text,label\n")
    refused("train", "--source", path, "--output-dir", tmp_path / "r", says=["empty.csv"])


def test_one_class(
    refused: Refused, toy_target_jsonl: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "one.csv", "text,label\n" + "good film,positive\nfine,positive\n" * 9)
    words = ("--source", path, "--target", toy_target_jsonl, "--model", tiny_model_dir)
    refused("train", *words, "--output-dir", tmp_path / "r", says=["one", "positive"])


def test_label_sets_that_do_not_match(
    refused: Refused, toy_source_csv: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "other.csv", "text,label\n" + "a phone,happy\na train,angry\n" * 9)
    words = ("--source", toy_source_csv, "--target", path, "--model", tiny_model_dir)
    refused("train", *words, "--output-dir", tmp_path / "r", says=["angry", "label_map"])


def test_unknown_method(refused: Refused, train: list[object]) -> None:
    refused(*train, "--method", "dan", says=["'dan'", "did you mean 'dann'"])


def test_unknown_option_of_a_method(refused: Refused, train: list[object]) -> None:
    refused(*train, "--options.dann.wieght", 1, says=["wieght", "did you mean 'weight'"])


def test_unknown_recipe_key(refused: Refused, tmp_path: Path) -> None:
    recipe = write(tmp_path / "recipe.yaml", "learning_rat: 1e-5\n")
    refused("train", "--config", recipe, says=["recipe.yaml", "did you mean 'learning_rate'"])


def test_output_folder_that_cannot_be_written(
    refused: Refused, train: list[object], tmp_path: Path
) -> None:
    blocker = write(tmp_path / "file", "")
    refused(*train, "--output-dir", blocker / "run", says=["file/run", "cannot be written"])


def test_output_folder_that_holds_a_run(
    refused: Refused, train: list[object], toy_run: Path
) -> None:
    before = (toy_run / "results.json").read_bytes()
    refused(*train, "--output-dir", toy_run, says=[toy_run, "overwrite", "resume"])
    assert (toy_run / "results.json").read_bytes() == before


def test_hub_id_without_network(refused: Refused, train: list[object]) -> None:
    refused(*train, "--model", "nobody/no-such-model", says=["nobody/no-such-model"])


def test_model_that_is_not_there(refused: Refused, toy_target_jsonl: Path, tmp_path: Path) -> None:
    words = (tmp_path / "gone", "--data", toy_target_jsonl)
    refused("evaluate", *words, says=["gone"])


def test_evaluate_without_labels(refused: Refused, toy_run: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "raw.txt", "good film\nbad film\n")
    refused("evaluate", toy_run, "--data", path, says=["raw", "no labelled rows"])


def test_evaluate_a_split_that_is_not_there(
    refused: Refused, toy_run: Path, toy_target_jsonl: Path
) -> None:
    words = ("--data", toy_target_jsonl, "--split", "validation")
    refused("evaluate", toy_run, *words, says=["validation", "leave --split out"])


def test_evaluate_labels_that_the_model_lacks(
    refused: Refused, toy_run: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "other.csv", "text,label\na phone,happy\na train,angry\n")
    refused("evaluate", toy_run, "--data", path, says=["angry", "happy", "positive"])


@pytest.mark.parametrize("name", ["out.txt", "out", "out.parquet.gz"])
def test_predict_to_an_unknown_format(
    refused: Refused, toy_target_jsonl: Path, tmp_path: Path, name: str
) -> None:
    words = ("model", toy_target_jsonl, "--out", tmp_path / name)
    refused("predict", *words, says=[name, ".csv"])


def test_predict_into_a_missing_folder(
    refused: Refused, toy_target_jsonl: Path, tmp_path: Path
) -> None:
    words = ("model", toy_target_jsonl, "--out", tmp_path / "no" / "out.csv")
    refused("predict", *words, says=["does not exist"])


def test_predict_onto_its_input(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "text\na\n")
    refused("predict", "model", path, "--out", path, says=["is the input"])
    assert path.read_text() == "text\na\n"


def test_predict_missing_input(refused: Refused, toy_run: Path, tmp_path: Path) -> None:
    words = (toy_run, tmp_path / "gone.csv", "--out", tmp_path / "out.csv")
    refused("predict", *words, says=["gone.csv", "does not exist"])


def test_predict_would_lose_a_column(refused: Refused, toy_run: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "text,label,predicted_label\na,b,c\n")
    words = (toy_run, path, "--out", tmp_path / "out.csv")
    refused("predict", *words, says=["predicted_label"])


def test_predict_line_breaks_to_tsv(refused: Refused, toy_run: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", 'text\n"two\nlines"\n')
    out = write(tmp_path / "out.tsv", "older output")
    words = ("predict", toy_run, path, "--out", out)
    refused(*words, says=["already exists", "--overwrite"])
    refused(*words, "--overwrite", says=["in.csv:2", "write csv"])
    assert out.read_text() == "older output"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.tsv"]


def test_predict_broken_standard_input(
    refused: Refused, toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text,id\na\n")))
    words = (toy_run, "-", "--input-format", "csv", "--out", tmp_path / "out.csv")
    refused("predict", *words, says=["standard input:2", "names 2"])


def test_predict_what_is_no_file(refused: Refused, toy_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    refused("predict", toy_run, "a good film", "--out", out, says=["a good film does not exist"])
    (tmp_path / "texts").mkdir()
    refused("predict", toy_run, tmp_path / "texts", "--out", out, says=["texts is a folder"])


def test_a_flag_for_what_stands_alone(refused: Refused) -> None:
    refused("labels", "--source", "a.csv", "--target", "b.csv", says=["nlp-adapt labels SOURCE"])


def test_resume_without_the_recipe(refused: Refused, toy_run: Path) -> None:
    refused("train", "--resume", "--output_dir", toy_run, says=["recipe.yaml --resume"])
