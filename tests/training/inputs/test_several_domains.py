"""Runs with several sources and targets: shares, classes, scores of each, resuming, refusals."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, DataError, RunError
from nlp_adapt.reporting.adversary import adversary_health
from nlp_adapt.training.inputs.data import prepare_data
from nlp_adapt.training.inputs.domains import gather_inputs
from nlp_adapt.training.saving.verify import verify_run
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.several_domains import TAGS, domains_of, several_trainer, tag_domain
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for

CLASSIFYING = "sequence-classification"
CONFIG = AdaptationConfig()


def rows_of(trainer, side):
    rows = trainer.data.train[side]
    return np.bincount(rows.domains).tolist()


@pytest.mark.parametrize("task", [CLASSIFYING, TAGS])
def test_each_domain_has_an_index_rows_and_scores_of_its_own(tmp_path, task):
    trainer = several_trainer(tmp_path, task, compare_source_only=True, eval_strategy="epoch")
    results = trainer.train()
    sources, targets = rows_of(trainer, "source"), rows_of(trainer, "target")
    assert len(sources) == 2
    assert targets == [0, 0, 24, 31]
    assert set(trainer.data.train["few_shot"].domains.tolist()) == {2, 3}
    assert [part["name"] for part in results["source"]["domains"]] == ["books", "films"]
    assert results["target"]["name"] == "tweets + posts"
    assert results["target"]["rows"]["train"] == 55
    measure = results["main_metric"]
    for model in ("source_only", "adapted"):
        for side, names in (("source", ["books", "films"]), ("target", ["tweets", "posts"])):
            scores = results[model][side]
            assert list(scores["domains"]) == names
            own = [scores["domains"][name][measure] for name in names]
            assert scores[measure] == pytest.approx(sum(own) / 2)
            assert scores["support"] == sum(d["support"] for d in scores["domains"].values())
    assert set(results["difference"]) == {
        "source", "source/books", "source/films", "target", "target/tweets", "target/posts",
    }  # fmt: skip
    assert results["target_labels"]["rows"] == (8 if task == CLASSIFYING else 4)
    objectives = load_file(tmp_path / "run" / "adaptation" / "objectives.safetensors")
    assert objectives["dann.discriminator.layers.3.bias"].shape == (4,)
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    validated = next(line for line in logged if f"source_validation/{measure}" in line)
    assert f"source_validation/films/{measure}" in validated
    assert verify_run(tmp_path / "run")["complete"]


def test_the_report_and_the_card_name_every_domain_and_the_released_rows(tmp_path):
    trainer = several_trainer(tmp_path, compare_source_only=True)
    results = trainer.train()
    page = str(results)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    for text in (page, card):
        for name in ("books", "films", "tweets", "posts"):
            assert f"\n{name} " in text or f"| {name} |" in text
        assert "mean target" in text
        assert "8 labelled rows of tweets and posts" in text
    assert "without labels" not in card
    assert "8 labelled target rows" in card
    assert "dann + few-shot" in page


def test_the_twin_sees_no_label_of_a_target_and_the_same_source_rows(tmp_path):
    alone = several_trainer(tmp_path / "a", few_shot=None, compare_source_only=True).train()
    helped = several_trainer(tmp_path / "b", few_shot=3, compare_source_only=True).train()
    assert alone["source_only"]["ledger"] == helped["source_only"]["ledger"]
    one, two = (
        load_file(tmp_path / name / "run" / "source_only" / "model" / "model.safetensors")
        for name in "ab"
    )
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
    assert alone["target_labels"] is None
    assert alone["adapted"]["ledger"] != helped["adapted"]["ledger"]


def test_lists_and_mappings_of_one_domain_equal_that_domain(tmp_path):
    expected = trainer_for(tmp_path / "one", max_steps=3).train()
    given = trainer_for(tmp_path / "several", max_steps=3)
    inputs = gather_inputs(given.args, [given.source], {"tweets": given.target})
    given.context = replace(given.context, inputs=inputs)
    found = given.train()
    for key, value in weights(tmp_path / "one").items():
        assert torch.equal(value, weights(tmp_path / "several")[key]), key
    for key in ("source", "target", "source_only", "adapted", "difference"):
        drop = ("seconds",)
        one, two = (
            {k: v for k, v in one[key].items() if k not in drop} for one in (expected, found)
        )
        assert one == two


OPTIONS = {
    "save_strategy": "steps", "save_steps": 2, "max_steps": 5, "discriminator_dropout": 0.3,
    "gradient_accumulation_steps": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("task", "twin", "steps"), [(CLASSIFYING, False, 3), (CLASSIFYING, True, 8), (TAGS, False, 4)]
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, task, twin, steps):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {**OPTIONS, "compare_source_only": twin}
    expected = several_trainer(whole, task, **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, steps)
        with pytest.raises(InterruptedRunError):
            several_trainer(broken, task, **options).train()
    assert verify_run(broken / "run")["exact_resume"]
    results = several_trainer(broken, task, **options, resume=True).train()
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[key]), key
    for key in ("target", "ledger"):
        assert results["adapted"][key] == expected["adapted"][key], key


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": "other"}, "data of the source 2"),
        ({"order": True}, "data of the source 1"),
        ({"few_shot": 3}, "labelled rows of tweets"),
    ],
)
def test_another_domain_is_another_run(tmp_path, monkeypatch, change, said):
    with monkeypatch.context() as patch:
        crash_after(patch, 2)
        with pytest.raises(InterruptedRunError):
            several_trainer(tmp_path, save_strategy="steps", save_steps=2).train()
    again = several_trainer(tmp_path, resume=True, few_shot=change.get("few_shot", 2))
    first, second = again.inputs.sources
    if "sources" in change:
        second = toy_domain("films", 41, rows=37)
    if "order" in change:
        first, second = second, first
    inputs = replace(again.inputs, sources=(first, second))
    again.context = replace(again.context, inputs=inputs)
    with pytest.raises(RunError, match=said):
        again.train()


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (CLASSIFYING, {"lora": True, "method": "cdan"}),
        (TAGS, {"lora": True, "method": "iw_cdan", "domain_words": "balanced"}),
        (CLASSIFYING, {"freeze": "all"}),
        (TAGS, {"freeze": "all", "method": "iw_dann"}),
        (CLASSIFYING, {"method": "adda"}),
        (TAGS, {"method": "wasserstein"}),
        (CLASSIFYING, {"method": "daat"}),
        (TAGS, {"method": "mdd"}),
        (CLASSIFYING, {"method": "fgm"}),
        (TAGS, {"method": "self_training"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
def test_other_options_go_with_several_domains(tmp_path, monkeypatch, task, options):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    results = several_trainer(tmp_path, task, **options).train()
    assert results["adapted"]["steps"] == 3
    assert len(results["adapted"]["target"]["domains"]) == 2
    if "freeze" in options:
        assert list((tmp_path / "cache" / "states").iterdir())


def test_cached_layers_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    options = {"freeze": "all", "max_steps": 3}
    several_trainer(tmp_path / "cached", **options).train()
    several_trainer(tmp_path / "run_again", **options, cache_features=False).train()
    for key, value in weights(tmp_path / "cached").items():
        torch.testing.assert_close(value, weights(tmp_path / "run_again")[key], atol=2e-5, rtol=0)


def test_the_cost_counts_released_rows_by_their_share(tmp_path):
    trainer = several_trainer(tmp_path, few_shot_share=0.4, compare_source_only=True)
    cost = trainer.train()["cost"]
    rows = trainer.data.train
    assert cost["rows"] == {side: len(part) for side, part in rows.items()}
    mean = {side: part.lengths.mean() for side, part in rows.items()}
    adapted = 3 * 5 * (mean["source"] + mean["target"] + 0.4 * mean["few_shot"])
    assert cost["tokens_to_train"] == int(3 * 5 * mean["source"] + adapted)


def test_a_sample_for_label_free_scores_holds_every_target_and_no_label():
    sources, targets = domains_of(CLASSIFYING)
    domains = gather_inputs(CONFIG, sources, targets, 2)
    task = several_trainer(Path("unused")).task
    data = prepare_data(CONFIG, task, domains, tiny_tokenizer(), 32)
    assert data.target_sample is not None
    assert set(data.target_sample.domains.tolist()) == {2, 3}
    assert (data.target_sample.labels < 0).all()
    assert (data.train["target"].labels < 0).all()
    assert (data.train["few_shot"].labels >= 0).all()


def test_a_guess_among_three_domains_is_judged_as_one():
    """A side is half of what a discriminator is asked, each of its domains an equal part of that."""
    guess = math.log(2) + 0.5 * math.log(2)
    for accuracy, entropy, said in (
        (1 / 3, guess, "never did better than chance"),
        (0.5, 0.8, "is alive"),
    ):
        line = {"dann/accuracy": accuracy, "dann/entropy": entropy, "dann/lambda": 1.0}
        lines = [{"step": step, "task": 0.1, **line} for step in range(9)]
        assert said in adversary_health(lines, sources=2)["dann"]["verdict"]


def texts_with(labels, name, names):
    texts = [f"word{i} word{i + 1}" for i in range(len(labels))]
    places = [f"{name}:{i}" for i in range(len(labels))]
    return Domain(name, CLASSIFYING, train=make_dataset(CLASSIFYING, texts, places, labels, names))


def test_labels_are_matched_by_name_over_all_domains():
    first = texts_with([0, 1, 0, 1], "first", ("good", "bad"))
    second = texts_with([0, 1, 2, 2], "second", ("Bad", "mixed", "Good"))
    target = texts_with([0, 0, 1], "target", ("GOOD", "BAD"))
    domains = gather_inputs(CONFIG, [first, second], target)
    trainer = AdaptationTrainer(
        tiny_model("bert", labels=("good", "bad", "mixed")),
        AdaptationConfig(validation_fraction=0.0), [first, second], target, target_few_shot=1, processing_class=tiny_tokenizer(),
    )  # fmt: skip
    assert trainer.task.label_names == ("Bad", "mixed", "Good")
    assert domains.sources[0].label_names == ("good", "bad")
    assert trainer.data.train["source"].labels.tolist() == [2, 0, 2, 0, 0, 1, 2, 2]
    assert sorted(trainer.data.train["few_shot"].labels.tolist()) == [0, 2]


def test_sources_whose_labels_do_not_match_are_refused():
    first = texts_with([0, 1, 0], "books", ("positive", "negative"))
    second = texts_with([0, 1, 0], "films", ("pos", "neg"))
    with pytest.raises(DataError, match=r"films.*books.*do not match.*pos: positive"):
        gather_inputs(CONFIG, [first, second])
    people = tag_domain("books", 30, names=("O", "B-PER", "I-PER"))
    places = tag_domain("films", 30, names=("O", "B-GPE", "I-GPE"))
    with pytest.raises(DataError, match="do not match"):
        gather_inputs(AdaptationConfig(task=TAGS), [people, places])


def test_a_target_with_labels_of_no_source_is_refused():
    sources = [texts_with([0, 1], name, ("good", "bad")) for name in ("books", "films")]
    targets = [texts_with([0, 1], "tweets", ("good", "bad")),
               texts_with([0, 1], "posts", ("good", "mixed"))]  # fmt: skip
    with pytest.raises(DataError, match=r"posts.*lacks: mixed"):
        gather_inputs(CONFIG, sources, targets)


def test_two_domains_of_one_name_are_refused():
    one = texts_with([0, 1], "reviews", ("good", "bad"))
    with pytest.raises(ConfigError, match=r"two domains are called 'reviews'.*sources: \{first"):
        gather_inputs(CONFIG, [one, one])
    named = gather_inputs(CONFIG, {"a": one, "b": one}, [replace(one, name="reviews")])
    assert [domain.name for domain in named.sources] == ["a", "b"]


def test_labelled_target_rows_without_a_task_term_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="objective 'task'"):
        several_trainer(tmp_path, method="logistic_regression")


def test_shallow_baselines_pool_the_sources(tmp_path):
    results = several_trainer(tmp_path, method="shallow_coral", few_shot=None).train()
    assert len(results["adapted"]["source"]["domains"]) == 2
