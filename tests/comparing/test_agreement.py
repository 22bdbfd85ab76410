"""Methods held against each other by what they say of the target."""

import json

import pytest

from nlp_adapt.comparing.agreement import agreements
from nlp_adapt.comparing.ranking import rank, ranking_sentences
from nlp_adapt.comparing.training import Trained, plan, train_all
from nlp_adapt.recipe import Recipe
from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.ranked import results

ANSWERS = {"source_only": [0, 0, 1, 1], "auto": [0, 0, 1, 0], "dann": [1, 1, 1, 0]}


@pytest.fixture
def told(tmp_path):
    """Three methods with two seeds, of which dann stands apart and is the surest."""

    def method(name, score):
        folders = {seed: str(tmp_path / name / f"seed{seed}") for seed in (1, 2)}
        for folder in folders.values():
            run = RunFolder(folder)
            run.adaptation.mkdir(parents=True)
            run.write_plots("adapted", {"answers": ANSWERS[name]})
        return Trained(name, {seed: results(score, 0.7) for seed in folders}, folders)

    return [method("source_only", 0.6), method("auto", 0.7), method("dann", 0.9)]


def test_each_is_held_against_every_other(told):
    found = agreements(told)
    assert found["source_only"] == {1: pytest.approx(0.5), 2: pytest.approx(0.5)}
    assert found["auto"][1] == pytest.approx((0.75 + 0.5) / 2)
    assert found["dann"][1] == pytest.approx((0.25 + 0.5) / 2)


def test_it_ranks_three_methods_and_a_named_score_overrides_it(told):
    found = rank(told)
    assert found["selector"] == "agreement"
    assert [one["method"] for one in found["methods"]] == ["auto", "source_only", "dann"]
    assert "says of the target what another method says" in ranking_sentences(found)[0]
    named = rank(told, "label_free")
    assert [one["method"] for one in named["methods"]] == ["dann", "auto", "source_only"]
    assert "another method says" not in ranking_sentences(named)[0]


def test_two_methods_agree_alike_and_are_ranked_otherwise(told):
    assert agreements(told[:2]) == {"source_only": {}, "auto": {}}
    assert rank(told[:2])["selector"] == "label_free"


@pytest.mark.parametrize("harm", ["missing", "damaged", "older", "strange", "shorter"])
def test_without_the_answers_of_a_run_the_label_free_score_ranks(told, harm):
    run = RunFolder(told[1].folders[2])
    path = run.plots("adapted")
    if harm == "missing":
        path.unlink()
    elif harm == "damaged":
        path.write_text("{")
    else:
        said = {"older": {}, "strange": {"answers": "0011"}, "shorter": {"answers": [0]}}[harm]
        run.write_plots("adapted", said)
    assert rank(told)["selector"] == "label_free"


def test_a_run_tells_its_answers(tiny_model_dir, toy_source_csv, toy_target_jsonl, tmp_path):
    recipe = Recipe(
        model=str(tiny_model_dir), source=str(toy_source_csv), target=str(toy_target_jsonl),
        max_steps=2, per_device_train_batch_size=4, max_length=16, precision="fp32",
        disable_tqdm=True,
    )  # fmt: skip
    trained = train_all(plan(recipe, ["source_only", "auto", "mcc"], 1, str(tmp_path)), print)
    assert rank(trained)["selector"] == "agreement"
    said = [
        json.loads(RunFolder(one.folders[42]).plots("adapted").read_text())["answers"]
        for one in trained
    ]
    assert len({len(own) for own in said}) == 1
    assert all(set(own) <= {0, 1} for own in said)
