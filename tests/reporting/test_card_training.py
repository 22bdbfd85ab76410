"""How a card tells of training, its papers and its pictures."""

import importlib.metadata
import re
from email.message import Message

import pytest
from huggingface_hub import ModelCard

from nlp_adapt.methods import METHODS
from nlp_adapt.objectives import OBJECTIVES, about
from nlp_adapt.reporting.card import build_card, write_card
from nlp_adapt.reporting.card_metadata import _MEASURES, bibtex, project_url, references
from nlp_adapt.reporting.card_training import hyperparameter_rows, interval_sentence, log_rows
from tests.helpers.card_checker import metadata_errors
from tests.helpers.report_runs import classifier_results, log_lines, write_run


def test_hyperparameters_are_those_of_the_recipe():
    rows = hyperparameter_rows(classifier_results(), {"learning_rate": 2e-5, "max_steps": -1})
    assert rows == [
        ["hyperparameter", "value"],
        ["learning_rate", "2e-05"],
        ["max_length", "64"],
        ["precision", "fp32"],
    ]
    assert hyperparameter_rows(classifier_results(), {}) == []


def test_the_log_has_a_line_for_each_validation():
    rows = log_rows(classifier_results(), log_lines())
    assert rows[0][:3] == ["step", "epoch", "training loss"]
    assert [row[0] for row in rows[1:]] == ["12", "36"]
    assert rows[-1][3:] == ["80.0", "75.0"]
    many = [
        {"model": "adapted", "stage": 1, "step": step, "label_free": 0.5} for step in range(1, 51)
    ]
    kept = [int(row[0]) for row in log_rows(classifier_results(), many)[1:]]
    assert len(kept) <= 12
    assert kept[-1] == 50
    assert log_rows(classifier_results(), []) == []


def test_intervals_are_told():
    said = interval_sentence(classifier_results())
    assert re.fullmatch(
        r"95 % intervals of macro-F1 on the target: source-only ± 2\.9, dann ± 2\.1 points\.", said
    )
    assert interval_sentence({**classifier_results(), "source_only": None, "adapted": None}) == ""


def cited():
    own = [one.paper for one in OBJECTIVES.values()] + [about(name)[1] for name in METHODS]
    own += [*_MEASURES.values()]
    return {paper for text in own for paper in text.split("; ") if paper}


def test_every_paper_has_its_entry():
    assert sorted(cited() - references().keys()) == []
    text = bibtex(references())
    keys = re.findall(r"^@\w+\{(\S+),$", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(references())
    assert text.count("{") == text.count("}")
    for paper, key in zip(references(), keys, strict=True):
        year = re.search(r"\d{4}", paper)[0]
        assert year in key
        assert f"  year = {{{year}}}" in references()[paper]


def test_a_card_has_it_all():
    recipe = {"method": "dann", "learning_rate": 1e-5, "hub_widget": ["a fine day"]}
    card = build_card(classifier_results(), recipe, lines=log_lines(), pictures={"a.png": "A plot"})
    assert metadata_errors(card) == []
    data = ModelCard(card).data
    assert data.base_model_relation == "finetune"
    assert data.to_dict()["widget"] == [{"text": "a fine day"}]
    for text in (r"| learning\_rate | 1e-05 |", "@article{ganin2016domain,", "![A plot](a.png)"):
        assert text in card
    adapters = ModelCard(build_card(classifier_results(), recipe, adapters=True))
    assert adapters.data.base_model_relation == "adapter"
    local = {**classifier_results(), "model": "/models/mine"}
    assert "base_model" not in build_card(local, recipe).partition("\n---\n")[0]
    assert f"Made with [nlp_adapt]({project_url()}): " in card


@pytest.mark.parametrize("kind", ["Homepage", "Repository"])
def test_a_card_links_to_the_project_that_the_package_names(monkeypatch, kind):
    described = Message()
    described["Project-URL"] = f"{kind}, https://example.org/nlp_adapt"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: described)
    card = build_card(classifier_results(), {"method": "dann"})
    assert "Made with [nlp_adapt](https://example.org/nlp_adapt): " in card


def test_pictures_are_drawn_where_they_can_be(tmp_path):
    pytest.importorskip("matplotlib")
    folder = write_run(tmp_path / "run", classifier_results())
    card = write_card(folder).read_text(encoding="utf-8")
    for name in ("scores.png", "domains.png"):
        assert f"]({name})" in card
        assert (folder / "model" / name).read_bytes()[:4] == b"\x89PNG"
