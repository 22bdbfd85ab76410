"""The recommendation: each rule speaks where it should, and the first that settles a method wins."""

from dataclasses import replace

import pytest

from nlp_adapt.diagnosis.rules import RULES, Facts, recommend

PLAIN = Facts(words=False, model="some/encoder", source_rows=6_400, target_rows=5_000, distance=1.2)
ALWAYS = {"adapt", "budget", "shares", "review"}


def rules(facts):
    return {one["rule"] for one in recommend(facts)["says"]}


def test_of_plain_domains_auto_is_recommended():
    found = recommend(PLAIN)
    assert rules(PLAIN) == ALWAYS
    assert (found["adapt"], found["method"], found["epochs"], found["labels"]) == (
        True,
        "auto",
        3,
        50,
    )
    assert "at least 600 steps" in found["says"][1]["advice"]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("same-texts", {"shared": 0.5}),
        ("close", {"distance": 0.29}),
        ("little-text", {"target_rows": 99}),
    ],
)
def test_where_nothing_is_to_be_gained_it_says_so(rule, changes):
    found = recommend(replace(PLAIN, **changes))
    said = [one["rule"] for one in found["says"]]
    assert said[0] == rule
    assert not {"adapt", "review"} & set(said)
    assert found["says"][0]["advice"].startswith("Do not adapt")
    assert (found["adapt"], found["method"]) == (False, "source_only")


@pytest.mark.parametrize(
    ("rule", "changes", "other"),
    [
        ("few-labels", {"source_rows": 499}, {"source_rows": 500}),
        ("encoder", {"model": "builtin:minilm-l6"}, {"model": "builtin:mpnet-base"}),
        ("aligning", {"shift": 0.1}, {"shift": 0.09, "disagreement": 0.09}),
        ("aligning", {"disagreement": 0.1}, {}),
        ("length", {"length_distance": 0.6}, {"length_distance": 0.59}),
        ("cut", {"cut": 0.1}, {"cut": 0.09}),
        ("pieces", {"split": 0.3, "split_source": 0.19}, {"split": 0.3, "split_source": 0.21}),
        ("new-entities", {"words": True, "unseen": 0.5, "unseen_source": 0.4}, {"unseen": 0.49}),
        ("leakage", {"leaked": 1}, {"leaked": 0}),
    ],
)
def test_a_rule_speaks_where_its_condition_holds(rule, changes, other):
    assert rule in rules(replace(PLAIN, **changes))
    assert rule not in rules(replace(PLAIN, **other))


def test_words_are_told_nothing_about_class_shares():
    said = rules(replace(PLAIN, words=True, model="builtin:minilm-l6"))
    assert not {"shares", "encoder"} & said


def test_small_sources_train_longer():
    assert recommend(replace(PLAIN, source_rows=640))["epochs"] == 10
    assert recommend(replace(PLAIN, source_rows=1))["epochs"] == 20


def test_every_rule_names_what_backs_it():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(rule.basis and rule.when for rule in RULES)
