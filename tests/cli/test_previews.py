"""What a run would do, told without doing it; and labels for what stands on the command line."""

import json

import pytest

from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.stages import StagedTraining


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*_):
        raise AssertionError("trained")

    monkeypatch.setattr(StagedTraining, "run", refuse)


def files(folder):
    return set(folder.rglob("*"))


def test_a_dry_run_tells_rows_steps_and_cost_and_writes_nothing(
    no_training, run_cli, train_words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = (*train_words, "--output-dir", tmp_path / "run", "--dry-run")
    code, out, _ = run_cli(*words)
    assert code == 0
    assert "adapted: task + dann 4 steps" in out
    assert "source_only: task 4 steps" in out
    assert "of memory" in out
    assert "  max_steps: 4" in out
    assert "  seed:" not in out
    assert files(tmp_path) == set()
    found = json.loads(run_cli(*words, "--json")[1])
    assert found["models"]["adapted"] == [{"objectives": ["task", "dann"], "steps": 4}]
    assert found["cost"]["parameters"] > 1000
    assert found["recipe"]["seed"] == 42
    assert files(tmp_path) == set()


def test_a_dry_run_with_edited_rows_keeps_none(no_training, run_cli, train_words, tmp_path):
    words = (*train_words, "--output-dir", tmp_path / "run", "--dry-run", "--augment", "delete")
    assert run_cli(*words)[0] == 0
    assert files(tmp_path) == set()


def test_a_dry_run_refuses_what_a_run_would(run_cli, train_words, tmp_path, toy_run):
    code, _, err = run_cli(*train_words, "--output-dir", toy_run, "--dry-run")
    assert code == 2
    assert str(toy_run) in err


def test_the_printed_config_is_a_recipe_that_says_the_same(run_cli, tmp_path):
    words = ("train", "--config", "sentiment/dann", "--seed", 7, "--options.dann.weight", 0.5)
    code, out, err = run_cli(*words, "--print-config")
    assert (code, err) == (0, "")
    printed = tmp_path / "printed.yaml"
    printed.write_text(out)
    recipe = load_recipe("sentiment/dann", {"seed": 7, "options.dann.weight": 0.5})
    assert load_recipe(printed) == recipe
    assert json.loads(run_cli(*words, "--print-config", "--json")[1]) == recipe.to_dict()


def test_texts_of_the_command_line_are_labelled(run_cli, toy_run):
    words = ("predict", toy_run, "--text", "good great", "bad awful", "--precision", "fp32")
    code, out, _ = run_cli(*words)
    assert code == 0
    first, second = out.splitlines()
    assert first.endswith("  good great")
    assert second.split()[0] in ("negative", "positive")
    answers = json.loads(run_cli(*words, "--json")[1])
    assert [one["text"] for one in answers] == ["good great", "bad awful"]
    assert {"label", "score", "scores"} <= answers[0].keys()
    assert run_cli(*words, "--all-scores")[1].count("\n") == 6


def test_a_text_that_a_terminal_could_not_decode_is_labelled(run_cli, toy_run):
    code, out, err = run_cli("predict", toy_run, "--text", "caf\udce9 good", "--device", "cpu")
    assert (code, err) == (0, "")
    assert "caf\ufffd good" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "a", "--out", "x.csv"], "leave out --out"),
        ([], "name a file to label"),
        (["in.csv"], "name the file to write: --out FILE"),
    ],
)
def test_texts_or_a_file(words, said, run_cli, toy_run):
    code, _, err = run_cli("predict", toy_run, *words)
    assert code == 2
    assert said in err


def test_predictions_are_not_replaced_without_a_word(run_cli, toy_run, tmp_path):
    source, out = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text("good great\n")
    words = ("predict", toy_run, source, "--out", out, "--precision", "fp32")
    assert run_cli(*words)[0] == 0
    written = out.read_text()
    source.write_text("bad awful\n")
    code, _, err = run_cli(*words)
    assert code == 2
    assert "already exists; set --overwrite" in err
    assert out.read_text() == written
    assert run_cli(*words, "--overwrite")[0] == 0
    assert out.read_text() != written
