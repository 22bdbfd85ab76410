"""What a run did not learn is said, and nothing that the numbers beside it contradict."""

import copy
import json

import numpy as np
import pytest

from nlp_adapt.metrics import span_metrics
from nlp_adapt.reporting.comparison import conclusions
from nlp_adapt.reporting.results import read_log, what_was_not_learnt
from nlp_adapt.training.log import remarks_on_log
from tests.helpers.results import run
from tests.helpers.trainers import trainer_for

FINE, ONE_CLASS = [[400, 100], [100, 400]], [[0, 500], [0, 500]]
TAGGED = {"task": "token-classification", "labels": ["O", "B-PER", "I-PER"]}


def spans(found):
    true = [["B-PER", "O"]] * 20
    guesses = true if found else [["O", "O"]] * 20
    return span_metrics(true, guesses, tokens=[["Ann", "ran"]] * 20, model_types=["PER"])


def tagger(twin, adapted, source=True):
    results = copy.deepcopy(run(FINE, FINE)) | TAGGED
    results["source_only"] = {"source": spans(source), "target": spans(twin)}
    results["adapted"] = {"source": spans(True), "target": spans(adapted)}
    return results


def test_a_model_that_learnt_is_left_alone():
    assert what_was_not_learnt(run(FINE, FINE)) == []
    assert what_was_not_learnt(tagger(True, True)) == []
    assert what_was_not_learnt(run([[0, 500], [0, 0]], FINE)) == []  # all rows are of one class


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (run(ONE_CLASS, FINE), "The source-only model predicts nothing but positive in the test rows of tweets."),
        (run(FINE, ONE_CLASS), "The adapted model predicts nothing but positive in the test rows of tweets."),
        (tagger(False, True), "The source-only model finds no entity in the test rows of tweets."),
        (tagger(True, False), "The adapted model finds no entity in the test rows of tweets."),
    ],
)  # fmt: skip
def test_one_answer_for_everything_is_said(results, said):
    assert what_was_not_learnt(results) == [said]
    assert said in conclusions(results)


def test_one_answer_in_both_domains_is_said_once():
    results = run(FINE, ONE_CLASS)
    results["adapted"]["source"] = results["adapted"]["target"]
    assert what_was_not_learnt(results) == [
        "The adapted model predicts nothing but positive in the test rows of films and the test rows "
        "of tweets."
    ]


def test_a_twin_that_learnt_nothing_is_no_yardstick():
    said = conclusions(tagger(False, True, source=False))
    assert any("nothing to compare with" in one for one in said)
    assert not any("loses" in one for one in said)
    worse = conclusions(run(ONE_CLASS, [[0, 500], [500, 0]]))
    assert worse[0].endswith(": try another method.")


def test_several_domains_are_told_apart():
    results = copy.deepcopy(run(FINE, FINE))
    fine, bad = results["adapted"]["target"], run(FINE, ONE_CLASS)["adapted"]["target"]
    results["adapted"]["target"] = {**fine, "domains": {"books": fine, "songs": bad}}
    (said,) = what_was_not_learnt(results)
    assert said.endswith("in the test rows of songs.")


def test_a_target_without_labels_is_judged_by_what_is_predicted():
    results = run(FINE, FINE)
    results["adapted"] |= {"target": None, "evidence": {"predicted": {"bad": 0.0, "good": 1.0}}}
    assert what_was_not_learnt(results) == [
        "The adapted model predicts nothing but good in the text of tweets."
    ]


def test_no_loss_of_quality_is_told_in_numbers():
    said = conclusions(run([[450, 50], [50, 450]], FINE))[1]
    assert (
        said
        == "The source-only model scores no lower on tweets (90.0 macro-F1) than on films (90.0)."
    )


def lines(tmp_path, values, **other):
    path = tmp_path / "log.jsonl"
    rows = [{"model": "adapted", "step": i, **value, **other} for i, value in enumerate(values)]
    rows.append({"model": "source_only", "task": 9.0})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return remarks_on_log(read_log(tmp_path, "adapted"))


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([0.7, 0.4, 0.2], False),
        ([0.7, 0.69, 0.72], False),
        ([0.05, 0.02, 0.08], False),  # a small loss goes up and down
        ([0.7, 1.4, 3.0], True),
        ([0.7, 0.3, 0.9, 2.0, 2.1, 2.2], True),
    ],
)
def test_a_loss_that_grows_is_said(tmp_path, losses, diverged):
    said = lines(tmp_path, [{"task": loss} for loss in losses])
    assert bool(said) == diverged
    if said:
        assert f"rose from 0.70 to {np.mean(losses[-max(1, len(losses) // 3) :]):.2f}" in said[0]


def test_steps_whose_loss_is_not_finite_are_counted(tmp_path):
    (said,) = lines(tmp_path, [{"skipped": True, "non_finite": ["task"]}])
    assert "not finite in 1 step:" in said


def test_labels_that_never_counted_are_said(tmp_path):
    (said,) = lines(tmp_path, [{"self_training/weight": 0.0}] * 3)
    assert "taught nothing" in said
    assert lines(tmp_path, [{"self_training/weight": weight} for weight in (0.0, 0.0, 0.1)]) == []


def test_a_run_says_so_itself(tmp_path):
    trainer = trainer_for(
        tmp_path, method="self_training", compare_source_only=False, max_steps=6,
        options={"self_training": {"weighting": "fixed", "confidence": 1.0}},
    )  # fmt: skip
    results = trainer.train()
    assert any("taught nothing" in one for one in results["adapted"]["remarks"])
    assert any("The adapted model: self_training gave" in one for one in conclusions(results))
