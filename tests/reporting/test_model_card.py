"""The model card: valid metadata, no way to inject markup, nothing private."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from nlp_adapt.errors import RunError
from nlp_adapt.escaping import escape
from nlp_adapt.recipe import Recipe, dump_recipe
from nlp_adapt.reporting.card import build_card, write_card
from nlp_adapt.reporting.card_metadata import hub_datasets, looks_like_hub_id
from tests.helpers.card_checker import metadata_errors

HOSTILE = "a\n---\nlicense: mit\n# <script>alert(1)</script> | `x` [click](http://evil.example)"


@pytest.fixture
def results() -> dict[str, Any]:
    scores = {
        "accuracy": 0.8123456,
        "macro_f1": 0.79,
        "confusion_matrix": [[40, 10], [8, 42]],
        "support": 100,
    }
    return {
        "task": "sequence-classification",
        "method": "dann",
        "model": "roberta-base",
        "seed": 42,
        "labels": ["negative", "positive"],
        "source": {"name": "films", "rows": {"train": 90, "test": 100}},
        "target": {"name": "tweets", "rows": {"train": 80, "test": 100}},
        "source_only": {"source": scores, "target": scores},
        "adapted": {"source": scores, "target": {**scores, "macro_f1": 0.75}},
        "versions": {"nlp_adapt": "0.1.0", "torch": "2.13.0"},
    }


def test_metadata_is_in_the_hubs_format(results: dict[str, Any]) -> None:
    data = ModelCard(build_card(results, {})).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "roberta-base"
    assert "domain-adaptation" in data.tags
    first = data.eval_results[0]
    assert (first.dataset_name, first.metric_type) == ("tweets (target domain)", "accuracy")
    assert first.metric_value == 0.8123
    assert {result.metric_name for result in data.eval_results} == {"Accuracy", "Macro F1"}


def test_the_card_compares_both_models(results: dict[str, Any]) -> None:
    card = build_card(results, {"method": "dann", "seed": 42})
    assert "| source-only | 81.2 | 79.0 | 81.2 | 79.0 |" in card
    assert "| difference | 0.0 | 0.0 | 0.0 | -4.0 |" in card
    assert "No clear difference" in card
    assert 'pipeline("text-classification"' in card
    assert "**tweets**" in card


def test_the_card_tells_costs_classes_and_papers(results: dict[str, Any]) -> None:
    results["adapted"] |= {"steps": 1200, "seconds": 90.4}
    results["adapted"]["target"]["per_class"] = {
        "po|s": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 1000}
    }
    results["machine"] = {"device": "cpu", "processes": 2}
    card = build_card(results, {"method": "dann", "options": {"dann": {"weight": 0.5}}})
    assert "90 labelled source rows and 80 unlabelled target rows" in card
    assert "1,200 steps in 90 seconds, on cpu with 2 processes" in card
    assert r"| po\|s | 50.0 | 25.0 | 33.3 | 1,000 |" in card
    assert "- dann: Ganin et al. 2016, JMLR 17(59)" in card
    assert "Intended use and limits" in card


def test_the_card_of_a_tagger(results: dict[str, Any]) -> None:
    types = {"PER": {"f1": 0.5, "precision": 0.5, "recall": 0.5, "support": 7}}
    scores = {"f1": 0.61, "precision": 0.7, "recall": 0.54, "per_type": types}
    results |= {
        "task": "token-classification",
        "labels": ["O", "B-PER", "I-PER"],
        "source_only": {"source": scores, "target": scores},
        "adapted": {"source": scores, "target": scores},
    }
    card = build_card(results, {"task": "token-classification"}, adapters=True)
    assert metadata_errors(card) == []
    data = ModelCard(card).data
    assert (data.pipeline_tag, data.library_name) == ("token-classification", "peft")
    assert data.eval_results[0].metric_name == "Span F1"
    assert 'AutoModelForTokenClassification.from_pretrained("roberta-base"' in card
    assert 'aggregation_strategy="first"' in card
    assert "| PER | 7 | 50.0 | 50.0 | 0.0 |" in card
    assert "gives every word one of them" in card


def test_every_objective_of_a_custom_run_is_cited(results: dict[str, Any]) -> None:
    results["method"] = "custom"
    stages = [{"objectives": ["mlm"]}, {"objectives": ["task", "cdan"]}]
    card = build_card(results, {"stages": stages})
    assert "- cdan: Long et al. 2018" in card
    assert "## References" not in build_card(results, {"stages": [{"objectives": ["nothing"]}]})


def test_license_and_language_are_those_of_the_recipe(results: dict[str, Any]) -> None:
    card = build_card(results, {"hub_license": "mit", "hub_language": ["en", "de"]})
    assert metadata_errors(card) == []
    data = ModelCard(card).data
    assert (data.license, data.language) == ("mit", ["en", "de"])
    assert "hub_license" not in card


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("imdb", ["imdb"]),
        ("me/reviews:en/train", ["me/reviews"]),
        ("me/reviews/train", ["me/reviews"]),
        ("imdb, me/reviews", ["imdb", "me/reviews"]),
        ("builtin:snippets/movie", []),
        ("reviews.csv", []),
        ("data/reviews.csv.gz", []),
        ("/home/me/reviews", []),
        ("DataFrame", []),
        ("list", []),
        ("", []),
    ],
)
def test_only_hub_data_sets_are_named_as_such(reference: str, expected: list[str]) -> None:
    assert hub_datasets({"source": {"reference": reference}, "target": None}) == expected


def test_a_local_folder_is_no_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews").mkdir()
    assert hub_datasets({"source": {"reference": "reviews/books"}}) == []


def test_the_recipe_can_be_run_again(results: dict[str, Any], tmp_path: Path) -> None:
    recipe = Recipe(source="films.csv", seed=7, output_dir=str(tmp_path), lambda_max=0.3)
    block = build_card(results, recipe.to_dict()).split("```yaml\n")[1].split("\n```")[0]
    shown = yaml.safe_load(block)
    assert shown == {
        "method": "auto",
        "lambda_max": 0.3,
        "seed": 7,
        "model": "builtin:minilm-l6",
        "source": "films.csv",
    }
    assert Recipe(**shown).seed == 7


@pytest.mark.parametrize("place", ["source", "target", "label", "method"])
def test_names_cannot_inject_markup(results: dict[str, Any], place: str) -> None:
    if place == "label":
        results["labels"] = ["negative", HOSTILE]
    elif place == "method":
        results["method"] = HOSTILE
    else:
        results[place]["name"] = HOSTILE
    text = build_card(results, {"label_map": {HOSTILE: HOSTILE}, "source": "```\n<script>"})
    card = ModelCard(text)
    assert metadata_errors(text) == []
    assert "license" not in card.data.to_dict()
    outside_code = "".join(card.text.split("```")[::2])
    assert "<script>" not in outside_code.split("## Recipe")[0]
    assert "\n# <" not in outside_code
    assert "](http" not in outside_code.split("## Recipe")[0].replace("\\]", "")
    for line in card.text.splitlines():
        if line.startswith("| source-only"):
            assert line.count(" | ") == 4


def test_the_recipe_block_cannot_be_closed_from_inside(results: dict[str, Any]) -> None:
    card = build_card(results, {"source": "x\n```\n<script>\n```"})
    recipe = card.split("## Recipe")[1]
    fence = recipe.strip().split("yaml")[0]
    assert set(fence) == {"`"}
    assert recipe.count(fence) == 2 or len(fence) > 3
    assert recipe.split(fence)[1].count("<script>") == recipe.count("<script>")


def test_nothing_private_is_shown(results: dict[str, Any]) -> None:
    token = "hf_" + "abcdefghijklmnopqrstuvwxyz"
    results["target"]["name"] = token
    results["model"] = "/home/someone/secret/model"
    recipe = {
        "source": ["/home/someone/secret/films.csv", "~/tweets.csv"],
        "output_dir": "/home/someone/runs",
        "hub_model_id": "someone/model",
        "text_column": token,
    }
    card = build_card(results, recipe)
    for private in (token, "/home/someone", "hub_model_id"):
        assert private not in card
    assert "films.csv" in card


def test_local_models_are_no_base_model(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my-model").mkdir()
    for name in ("my-model", "builtin:minilm-l6", "/a/b", "../x", "a/b/c", "./x"):
        assert not looks_like_hub_id(name)
        results["model"] = name
        assert "base_model" not in ModelCard(build_card(results, {})).data.to_dict()
    assert looks_like_hub_id("roberta-base")
    assert looks_like_hub_id("me/my.model_2")


def test_a_run_without_scores(results: dict[str, Any]) -> None:
    results["adapted"] = {"source": None, "target": None}
    results["source_only"] = None
    card = build_card(results, {})
    assert "unknown" in card
    assert ModelCard(card).data.eval_results is None


def with_evidence(results: dict[str, Any], exported: str = "adapted") -> dict[str, Any]:
    """The results of a run whose guard speaks against the adapted model."""
    for model, estimate in (("source_only", 0.75), ("adapted", 0.9812)):
        results[model] = {
            **results[model],
            "label_free": {"estimated_accuracy": estimate, "information_maximisation": 0.25},
            "evidence": {"domain_distance": 1.234},
        }
    results["guard"] = {"verdict": "source-only", "reasons": [f"{HOSTILE} is predicted."]}
    results["exported"] = exported
    return results


def test_the_card_tells_what_is_known_without_labels(results: dict[str, Any]) -> None:
    card = build_card(with_evidence(results), {"method": "dann"})
    assert metadata_errors(card) == []
    assert "| estimated accuracy on the target, % | 75.0 | 98.1 |" in card
    assert "| domain distance of the features (0 to 2) | 1.23 | 1.23 |" in card
    assert "| balanced accuracy on held-out source rows, % | - | - |" in card
    assert "the signs speak for the source-only model, against the adapted one." in card
    assert "<script>" not in card
    assert "- domain distance: Ben-David et al. 2007" in card
    assert "Garg et al. 2022" in card
    assert ModelCard(card).data.eval_results[0].metric_value == 0.8123


def test_the_card_of_a_run_that_fell_back(results: dict[str, Any]) -> None:
    results["source_only"] = {**results["source_only"]}
    results["source_only"]["target"] = {**results["source_only"]["target"], "accuracy": 0.7}
    card = build_card(with_evidence(results, exported="source_only"), {"method": "dann"})
    assert metadata_errors(card) == []
    assert "adapting it to **tweets** with dann was tried" in card
    assert "the adapted one is kept in adapted/model" in card
    assert ModelCard(card).data.eval_results[0].metric_value == 0.7


def test_the_card_tells_what_training_cost(results: dict[str, Any]) -> None:
    results["adapted"] |= {"steps": 10, "seconds": 2.0}
    results["cost"] = {"parameters": 9000, "trained_parameters": 1234, "tokens_to_train": 56789}
    card = build_card(results, {})
    assert "9,000 parameters, of which 1,234 were trained, and about 56,789 tokens read." in card


def test_the_card_of_a_student_does_not_say_that_it_saw_labels(results: dict[str, Any]) -> None:
    card = build_card({**results, "method": "distillation"}, {})
    assert "A teacher's answers were learned, not labels of" in card
    assert "Labels were learned in" not in card
    assert "Labels were learned in" in build_card({**results, "method": "dann"}, {})


def test_a_teachers_place_is_private(results: dict[str, Any]) -> None:
    card = build_card(results, {"method": "distillation", "teacher": "runs/of-a-client"})
    assert "of-a-client" not in card
    assert "given its teacher with --teacher" in card


def test_write_card_reads_the_run(results: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "results.json").write_text(json.dumps(results))
    dump_recipe(Recipe(source="films.csv"), tmp_path / "recipe.yaml")
    path = write_card(tmp_path)
    assert path == tmp_path / "model" / "README.md"
    assert "films.csv" in path.read_text(encoding="utf-8")


def test_write_card_needs_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"results\.json"):
        write_card(tmp_path)


def test_escape_keeps_words_readable() -> None:
    assert escape("films, 2024 (new)") == "films, 2024 (new)"
    assert escape("a\x00b\u202ec") == r"a\\u0000b\\u202ec"
    assert escape("mail me@x.example www.x.example") == "mail me&#64;x.example www&#46;x.example"
    assert escape("*x*_y_") == r"\*x\*\_y\_"
