"""Labels that need a map, on the command line: proposed, checked, kept with the run, and told."""

import json
from pathlib import Path

import pytest

from nlp_adapt.recipe import load_recipe

STARS = {"<3": "negative", "3": "neutral", ">3": "positive"}


def table(path: Path, column: str, *labels: object, count: int = 60) -> Path:
    lines = [f"film phone word{i % 7},{labels[i % len(labels)]}\n" for i in range(count)]
    path.write_text(f"text,{column}\n" + "".join(lines))
    return path


@pytest.fixture
def files(tmp_path, tiny_model_dir):
    stars = table(tmp_path / "stars.csv", "stars", 1, 2, 3, 4, 5)
    words = table(tmp_path / "words.csv", "label", "negative", "neutral", "positive")
    return {"--source": stars, "--target": words, "--model": tiny_model_dir}


def words_of(options):
    return [word for pair in options.items() for word in pair]


def test_init_proposes_thresholds_that_doctor_takes(run_cli, files, tmp_path):
    out = tmp_path / "recipe.yaml"
    assert run_cli("init", *words_of(files), "--out", out)[0] == 0
    assert load_recipe(out).label_map == STARS
    _, said, _ = run_cli("doctor", "--config", out)
    assert "columns text and stars; 24 negative, 12 neutral, 24 positive" in said
    assert "columns text and label; 20 negative, 20 neutral, 20 positive" in said
    assert "the labels of" not in said


def test_init_leaves_the_map_out_where_no_name_tells(run_cli, files, tmp_path):
    table(files["--target"], "label", "joy", "anger")
    out = tmp_path / "recipe.yaml"
    assert run_cli("init", *words_of(files), "--out", out)[0] == 0
    assert load_recipe(out).label_map == {}
    assert "# label_map: say what these labels of the target mean: anger, joy" in out.read_text()
    code, said, _ = run_cli("labels", files["--source"], files["--target"])
    assert code == 0
    assert "no name tells what they mean" in said


def test_labels_checks_a_map_against_both_domains(run_cli, files):
    sides = (files["--source"], files["--target"])
    assert run_cli("labels", *sides, "--label_map", json.dumps(STARS))[0] == 0
    bad = {**STARS, "neutrl": "ignore"}
    code, _, err = run_cli("labels", *sides, "--label_map", json.dumps(bad))
    assert code == 2
    assert '"neutrl" is no label of either domain' in err
    assert 'did you mean "neutral"?' in err


def test_train_refuses_a_key_that_no_domain_has(run_cli, files, tmp_path):
    bad = json.dumps({**STARS, "neutrl": "ignore"})
    words = [*words_of(files), "--label_map", bad, "--output_dir", tmp_path / "run"]
    code, _, err = run_cli("train", *words)
    assert code == 2
    assert '"neutrl" is no label of any domain' in err
    code, said, _ = run_cli("doctor", *words, "--json")
    assert code == 2
    assert "label-map" in {finding["code"] for finding in json.loads(said)["findings"]}


def test_init_says_that_two_columns_may_be_meant(run_cli, files, tmp_path):
    files["--source"].write_text("text,stars,class\n" + "good,5,a\nbad,1,b\n" * 9)
    code, _, err = run_cli("init", *words_of(files), "--out", tmp_path / "recipe.yaml")
    assert code == 2
    assert "several columns that may be meant: stars, class" in err


def test_a_run_shows_its_classes_and_evaluate_keeps_its_map(run_cli, files, tmp_path):
    run = tmp_path / "run"
    code, out, err = run_cli(
        "train", *words_of(files), "--label_map", json.dumps(STARS), "--output_dir", run,
        "--max_steps", 2, "--precision", "fp32", "--data_doctor", "off", "--method", "source_only",
    )  # fmt: skip
    assert code == 0, err
    assert "source stars: columns text and stars; 24 negative, 12 neutral, 24 positive" in err
    assert "target words: columns text and label; 20 negative" in err
    assert "predicts nothing but" in out
    other = table(tmp_path / "test.csv", "stars", 5, 1, count=8)
    for model in (run, run / "model"):
        code, out, err = run_cli("evaluate", model, "--data", other)
        assert (code, err) == (0, "")
        assert "on test (8 labelled rows)" in out
    code, _, err = run_cli("evaluate", run, "--data", other, "--split", "test")
    assert code == 2
    assert "leave --split out" in err
    code, _, err = run_cli("evaluate", run, "--data", other, "--label_map", "{5: positive}")
    assert code == 2
    assert "not among negative, neutral, positive: 1" in err
