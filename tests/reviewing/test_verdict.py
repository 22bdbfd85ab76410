"""What answers say: unbiased, covering, and in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nlp_adapt.reporting.reviewed import review_sentences, verdict_lines
from nlp_adapt.reviewing.items import Unit, draw
from nlp_adapt.reviewing.population import Population
from nlp_adapt.reviewing.state import Review
from nlp_adapt.reviewing.verdict import conclude, labelled_rows
from tests.helpers.reviewed import review_of

LABELS = ("a", "b", "c")


def test_clear_answers_name_the_better_model():
    found = conclude(review_of(32, 2, 6))
    assert found["verdict"] == "adapted"
    assert found["difference"]["estimate"] == pytest.approx(0.2 * 26 / 40)
    assert 0 < found["difference"]["low"] < found["difference"]["estimate"]
    assert (found["wins"], found["neither"], found["losses"]) == (32, 2, 6)
    assert found["more_answers"] == 0
    assert conclude(review_of(6, 2, 32))["verdict"] == "source_only"


def test_even_answers_leave_it_open_and_say_how_many_more():
    found = conclude(review_of(14, 0, 10))
    assert found["verdict"] == "undecided"
    assert found["more_answers"] > 100
    assert "leave it open" in verdict_lines(found)[0]
    even = conclude(review_of(10, 0, 10))
    assert even["more_answers"] is None
    assert any("Neither model leads" in line for line in verdict_lines(even))


def test_neither_counts_as_neither_and_unsure_is_left_out():
    plain, tied = conclude(review_of(20, 0, 10)), conclude(review_of(20, 10, 10))
    assert tied["difference"]["estimate"] < plain["difference"]["estimate"]
    state = review_of(20, 0, 10)
    state.answers[next(iter(state.answers))] = "unsure"
    found = conclude(state)
    assert (found["wins"], found["unsure"]) == (19, 1)
    assert found["difference"]["estimate"] == pytest.approx(0.2 * 9 / 29)
    assert any("1 row without a sure answer" in line for line in verdict_lines(found))


def test_no_answer_yet_is_no_verdict():
    found = conclude(review_of())
    assert found["verdict"] == "undecided"
    assert verdict_lines(found) == ["No answer yet on a row where the models differ."]


def test_accuracy_needs_rows_on_which_both_agree():
    assert conclude(review_of(30, 0, 10))["accuracy"] is None
    found = conclude(review_of(30, 0, 10, agreeing=(9, 1)))["accuracy"]
    assert found["adapted"]["estimate"] == pytest.approx(0.2 * 0.75 + 0.8 * 0.9)
    assert found["source_only"]["estimate"] == pytest.approx(0.2 * 0.25 + 0.8 * 0.9)
    for one in found.values():
        assert one["low"] < one["estimate"] < one["high"]


def test_later_answers_narrow_the_interval_and_keep_the_first_look():
    state = review_of(14, 0, 6)
    first = conclude(state)
    assert len(state.first_look) == 20
    more = review_of(70, 0, 30)
    more.first_look = state.first_look
    found = conclude(more)
    width = [one["difference"]["high"] - one["difference"]["low"] for one in (first, found)]
    assert width[1] < width[0]
    assert found["verdict"] == "adapted"


def world(seed, *, classes=3, count=600):
    """True labels and the answers of two models, of which the first is a little better."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=count)
    answers = []
    for quality in (0.8, 0.7):
        right = random.random(count) < quality
        answers.append(np.where(right, truth, random.integers(classes, size=count)))
    return truth, *answers


def answered(truth, ours, theirs, seed, differing=30, agreeing=15):
    units = [
        Unit(f"text {i}", f"t:{i}", LABELS[one], LABELS[two])
        for i, (one, two) in enumerate(zip(ours, theirs, strict=True))
    ]
    items = draw(
        units, (), differing=differing, agreeing=agreeing, labels=LABELS, seed=seed, salt=""
    )
    population = {
        "name": "t", "texts": len(units), "units": len(units),
        "differing": sum(unit.differ for unit in units), "independent": len(units),
        "predicted": dict(Counter(unit.adapted for unit in units)),
    }  # fmt: skip
    state = Review("m", "sequence-classification", LABELS, seed, population)
    state.items = {item.id: item for item in items}
    true = {f"t:{i}": LABELS[label] for i, label in enumerate(truth)}
    state.take({item.id: f"={true[item.unit.place]}" for item in items})
    return state


def test_estimates_are_unbiased_and_intervals_cover():
    truth, ours, theirs = world(1)
    right = {"adapted": (ours == truth).mean(), "source_only": (theirs == truth).mean()}
    gain = right["adapted"] - right["source_only"]
    found = [conclude(answered(truth, ours, theirs, seed), 0.8) for seed in range(300)]
    estimates = np.array([one["difference"]["estimate"] for one in found])
    assert abs(estimates.mean() - gain) < 4 * estimates.std() / np.sqrt(len(found))
    covers = [one["difference"]["low"] <= gain <= one["difference"]["high"] for one in found]
    assert np.mean(covers) >= 0.8
    for model, accuracy in right.items():
        own = [one["accuracy"][model] for one in found]
        estimates = np.array([one["estimate"] for one in own])
        assert abs(estimates.mean() - accuracy) < 4 * estimates.std() / np.sqrt(len(found))
        assert np.mean([one["low"] <= accuracy <= one["high"] for one in own]) >= 0.8
    shares = np.array([[one["class_shares"][label] for label in LABELS] for one in found])
    expected = np.bincount(truth) / len(truth)
    spread = shares.std(0) / np.sqrt(len(found))
    assert (abs(shares.mean(0) - expected) < 4 * spread + 0.002).all()


def test_no_class_shares_while_an_answer_leaves_the_class_open():
    state = review_of(20, 2, 10, labels=("positive", "negative", "neutral"))
    found = conclude(state)
    assert found["class_shares"] is None
    assert any("2 answers of both wrong" in line for line in verdict_lines(found))
    state.answers = {k: "=neutral" if v == "neither" else v for k, v in state.answers.items()}
    found = conclude(state)
    assert found["class_shares"]["neutral"] == pytest.approx(0.2 * 2 / 32, abs=1e-3)
    assert conclude(review_of(20, 2, 10))["class_shares"] is not None  # of two, none is left open


def test_rows_that_were_unsure_at_the_first_look_are_none_of_it():
    state = review_of(10)
    state.answers, state.first_look = {}, ()
    names = list(state.items)
    state.take(dict.fromkeys(names[:6], "=positive") | dict.fromkeys(names[6:], "unsure"))
    state.take(dict.fromkeys(names[6:], "=positive"))
    assert state.first_look == tuple(names[:6])


def stretches(texts, a_text, alike, seed, asked=40):
    """A tagger's review: stretches of one text are won together, but for a share drawn alone."""
    random = np.random.default_rng(seed)
    units = [
        Unit(f"text {text}", f"t:{text}", "PER: x", "no entity", number, number + 1)
        for text in range(texts)
        for number in range(a_text)
    ]
    together, alone = random.integers(2, size=texts), random.integers(2, size=len(units))
    kept = random.random(len(units)) < alike
    items = draw(units, (), differing=asked, agreeing=0, labels=(), seed=seed, salt="")
    population = Population("t", "token-classification", ("PER",), 10 * texts, units).to_dict()
    state = Review("m", "token-classification", ("PER",), seed, population)
    state.items = {item.id: item for item in items}
    index = {(unit.place, unit.start): number for number, unit in enumerate(units)}
    answers = {}
    for item in items:
        number = index[item.unit.place, item.unit.start]
        won = together[number // a_text] if kept[number] else alone[number]
        answers[item.id] = "=PER: x" if won else "=no entity"
    state.take(answers)
    return state


@pytest.mark.parametrize(("texts", "a_text", "alike"), [(20, 4, 1.0), (15, 8, 0.8), (80, 1, 1.0)])
def test_stretches_of_one_text_are_no_independent_answers(texts, a_text, alike):
    """Where neither model is better in the domain, at most one review in twenty names one."""
    found = [conclude(stretches(texts, a_text, alike, seed)) for seed in range(400)]
    assert np.mean([one["verdict"] != "undecided" for one in found]) <= 0.05


def test_the_share_of_disagreement_counts_texts_that_hold_a_stretch():
    found = conclude(stretches(20, 4, 1.0, 1))
    alone = conclude(stretches(80, 1, 1.0, 1))
    assert found["disagreement"]["low"] < alone["disagreement"]["low"] < 1


def test_labels_that_answers_tell_can_be_trained_on():
    state = review_of(2, 1, 1)
    assert [row["label"] for row in labelled_rows(state)] == ["positive", "positive", "negative"]
    assert all(set(row) == {"text", "label"} for row in labelled_rows(state))


def test_what_was_exported_is_said():
    found = {**conclude(review_of(6, 0, 34)), "exported": "source_only"}
    said = review_sentences({"review": found})
    assert said[0].startswith("By 40 answers, the source-only model is better on tweets")
    assert said[-1] == "So the exported model is the source-only model."
    assert review_sentences({}) == []
