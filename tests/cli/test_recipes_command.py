"""Recipes by name: found from anywhere, listed, printed, copied."""

import json
from pathlib import Path

import pytest

from nlp_adapt.errors import ConfigError
from nlp_adapt.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).parents[2]
AUTO = ROOT / "recipes" / "sentiment" / "auto.yaml"


def test_a_recipe_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("sentiment/auto", {"seed": 3}) == load_recipe(AUTO, {"seed": 3})


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ner").mkdir()
    (tmp_path / "ner" / "auto").write_text("seed: 77\n")
    assert load_recipe("ner/auto").seed == 77


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sentiment/dan", "did you mean 'sentiment/dann'"),
        ("recipes/sentiment/dann.yaml", "sentiment/dann is the recipe that comes with nlp-adapt"),
        ("mine.yaml", "mine.yaml: cannot be read"),
        ("accelerate/fsdp2", "accelerate/fsdp2"),
    ],
)
def test_what_is_no_recipe_is_answered_with_one(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        load_recipe(given)


def test_all_are_listed_with_what_they_are_for(run_cli):
    code, out, _ = run_cli("recipes", "--json")
    listed = json.loads(out)
    assert code == 0
    assert set(shipped_recipes()) < listed.keys()
    assert listed["sentiment/cmd"].startswith(
        "Central moment discrepancy (Zellinger et al. 2017): "
    )
    assert all(len(said) > 10 and said.endswith(".") for said in listed.values())
    _, out, _ = run_cli("recipes")
    assert [line.split()[0] for line in out.splitlines()] == list(listed)


def test_one_is_printed_as_it_is(run_cli):
    assert run_cli("recipes", "sentiment/auto") == (0, AUTO.read_text(), "")


def test_one_is_copied_but_never_over_a_file(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_cli("recipes", "sentiment/auto", "--copy")[0] == 0
    assert Path("auto.yaml").read_text() == AUTO.read_text()
    code, _, err = run_cli("recipes", "ner/auto", "--copy")
    assert code == 2
    assert "auto.yaml: already exists" in err
    assert run_cli("recipes", "ner/auto", "--copy", "own.yaml")[0] == 0
    assert run_cli("recipes", "ner/auto", "--copy", "--overwrite")[0] == 0
    assert Path("auto.yaml").read_text() == Path("own.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sentiment/dan"], "did you mean 'sentiment/dann'"),
        (["--copy"], "--copy needs a recipe"),
        (["ner/auto", "--copy", "no/such/folder.yaml"], "--copy no/such/folder.yaml: the folder"),
    ],
)
def test_mistakes_are_one_sentence(run_cli, words, said):
    code, _, err = run_cli("recipes", *words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
