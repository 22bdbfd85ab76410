"""`nlp-adapt demo`: the page answers as the models do, and a Space holds all that it needs."""

import importlib.util
import os
import subprocess
import sys

import pytest
import yaml
from transformers import pipeline

from nlp_adapt.cli import main
from nlp_adapt.cli.demo import _models
from nlp_adapt.prediction.demo_app import answers, build, load
from tests.helpers.reviewed import reviewable_run, reviewable_tagger

TEXT = "good film in london"


@pytest.fixture
def classifier(tmp_path):
    return reviewable_run(tmp_path)


@pytest.fixture
def tagger(tmp_path):
    return reviewable_tagger(tmp_path)


def test_both_classifiers_answer_with_their_own_probabilities(classifier):
    pipelines = load(_models(classifier))
    assert list(pipelines) == ["Source only", "Adapted"]
    found = answers(pipelines)(TEXT)
    for scores, folder in zip(found, ("source_only/model", "model"), strict=True):
        own = pipeline("text-classification", model=str(classifier / folder), top_k=None)([TEXT])[0]
        assert scores == {one["label"]: one["score"] for one in own}
        assert sum(scores.values()) == pytest.approx(1)
    assert found[0] != found[1]


def test_taggers_mark_the_text_and_list_what_they_marked(tagger):
    text = " ".join((tagger.parent / "tweets.conll").read_text().split()[:12:2])
    found = answers(load(_models(tagger)))(text)
    assert len(found) == 4
    marked = 0
    for highlighted, table in zip(found[::2], found[1::2], strict=True):
        assert highlighted["text"] == text
        spans = highlighted["entities"]
        marked += len(spans)
        assert [text[one["start"] : one["end"]] for one in spans] == [row[0] for row in table]
        assert [one["entity"] for one in spans] == [row[1] for row in table]
        assert all(0 < row[2] <= 1 for row in table)
    assert marked
    assert answers(load(_models(tagger)))(" ")[1] == []


def test_what_the_guard_has_put_aside_is_the_adapted_model(classifier):
    (classifier / "adapted").mkdir()
    (classifier / "model").rename(classifier / "adapted" / "model")
    assert _models(classifier)["Adapted"] == classifier / "adapted" / "model"


@pytest.mark.parametrize("make", [reviewable_run, reviewable_tagger])
def test_the_page_has_an_answer_for_each_model(make, tmp_path):
    pytest.importorskip("gradio")
    pipelines = load(_models(make(tmp_path)))
    page = build(pipelines, "films to tweets")
    (asked,) = page.fns.values()
    assert len(asked.outputs) == (2 if make is reviewable_run else 4)
    for component, value in zip(asked.outputs, asked.fn(TEXT), strict=True):
        component.postprocess(value)


def test_a_space_holds_the_models_and_a_page_of_its_own(classifier, tmp_path, capsys):
    space = tmp_path / "space"
    assert main(["demo", str(classifier), "--out", str(space)]) == 0
    assert "--repo-type space" in capsys.readouterr().out
    _, settings, text = (space / "README.md").read_text().split("---\n")
    settings = yaml.safe_load(settings)
    assert (settings["sdk"], settings["app_file"]) == ("gradio", "app.py")
    assert "nlp-adapt" in text
    assert {line.split("==")[0] for line in (space / "requirements.txt").read_text().split()} == {
        "torch",
        "transformers",
    }
    # Elsewhere, without the package: only its folders and what requirements.txt names.
    code = (
        "import app, pathlib\n"
        "pipelines = app.load({t: pathlib.Path(k) for k, t in app.TITLES.items()})\n"
        f"print(app.answers(pipelines)({TEXT!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(space), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=space, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(answers(load(_models(classifier)))(TEXT))
    assert "nlp_adapt" not in (space / "app.py").read_text()
    assert main(["demo", str(classifier), "--out", str(space)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_adapters_are_refused(classifier, capsys):
    (classifier / "model" / "adapter_config.json").write_text("{}")
    assert main(["demo", str(classifier), "--out", str(classifier / "space")]) == 2
    assert "merge_lora" in capsys.readouterr().err


def test_without_gradio_one_sentence_says_what_to_install(classifier, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name)
    )
    assert main(["demo", str(classifier)]) == 2
    assert 'pip install "nlp-adapt[demo]"' in capsys.readouterr().err
