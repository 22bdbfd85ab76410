"""The notebooks run, and their cells show what is stored in them."""

import pytest

from tests.helpers.scripts import scripts_on_path
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, conll

NAMES = ("text_classifier", "tagger")


@pytest.fixture
def notebooks(monkeypatch):
    with scripts_on_path(monkeypatch):
        import notebooks

        yield notebooks


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_run_in_turn_on_a_toy(
    name, notebooks, tiny_model_dir, toy_source_csv, toy_target_jsonl, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "news.conll").write_text(conll(SOURCE_WORDS))
    (tmp_path / "tweets.conll").write_text(conll(TARGET_WORDS))
    stand_ins = {
        "builtin:minilm-l6": tiny_model_dir,
        "builtin:snippets/movie": toy_source_csv,
        "builtin:snippets/tweets": toy_target_jsonl,
        "builtin:ner/news": tmp_path / "news.conll",
        "builtin:ner/tweets": tmp_path / "tweets.conll",
    }

    def change(text):
        for builtin, path in stand_ins.items():
            text = text.replace(f'"{builtin}"', repr(str(path)))
        return text.replace("freeze=2", "freeze=1")  # the toy has two layers

    notebook = notebooks.read(notebooks.FOLDER / f"{name}.ipynb")
    shown = list(notebooks.run(notebook, change))
    stored = [cell["outputs"] for cell in notebooks.code_cells(notebook)]
    assert kinds(shown) == kinds(stored)
    assert not any("builtin:" in change("".join(one["source"])) for one in notebook["cells"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_cells_run_on_the_data_that_they_name(name, notebooks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = notebooks.read(notebooks.FOLDER / f"{name}.ipynb")
    stored = [cell["outputs"] for cell in notebooks.code_cells(notebook)]
    shown = list(notebooks.run(notebook))
    assert kinds(shown) == kinds(stored)
    assert shown[0] == stored[0]  # rows of the data, the same on every machine


def kinds(shown):
    return [[one["output_type"] for one in outputs] for outputs in shown]
