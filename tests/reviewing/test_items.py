"""What is asked: units of both tasks, drawn at random, in blind order."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nlp_adapt.prediction.tagged_text import TaggedText, join_words
from nlp_adapt.reviewing.items import NO_ENTITY, Unit, draw, span_units

LABELS = ("negative", "neutral", "positive")


def units(count, differing):
    return [
        Unit(f"text {i}", f"t:{i}", "positive", "negative" if i < differing else "positive")
        for i in range(count)
    ]


def drawn(population, asked=(), *, differing=10, agreeing=5, labels=LABELS, seed=1):
    return draw(
        population, asked, differing=differing, agreeing=agreeing, labels=labels, seed=seed,
        salt="s",
    )  # fmt: skip


def test_as_many_as_asked_are_drawn_and_none_twice():
    population = units(100, 30)
    first = drawn(population)
    assert Counter(item.unit.differ for item in first) == {True: 10, False: 5}
    second = drawn(population, first)
    assert not {item.id for item in first} & {item.id for item in second}
    third = drawn(population, [*first, *second], differing=100, agreeing=0)
    assert len(third) == 10
    assert len({item.unit.text for item in [*first, *second, *third] if item.unit.differ}) == 30


def test_a_draw_in_two_parts_is_the_same_as_one():
    population = units(200, 80)
    first = drawn(population, differing=15, agreeing=0)
    second = drawn(population, first, differing=25, agreeing=0)
    at_once = drawn(population, differing=40, agreeing=0)
    assert {item.id for item in [*first, *second]} == {item.id for item in at_once}
    other = drawn(population, differing=40, agreeing=0, seed=2)
    assert {item.id for item in other} != {item.id for item in at_once}


def test_every_unit_is_drawn_equally_often():
    population = units(40, 20)
    counts = Counter(
        item.unit.text
        for seed in range(600)
        for item in drawn(population, differing=5, agreeing=0, seed=seed)
    )
    assert len(counts) == 20
    assert max(abs(count - 150) for count in counts.values()) < 5 * np.sqrt(600 * 0.25 * 0.75)


def test_neither_place_nor_id_tells_the_models_apart():
    items = drawn(units(3000, 3000), differing=2000, agreeing=0)
    first = np.mean([item.a == item.unit.adapted for item in items])
    assert abs(first - 0.5) < 5 * 0.5 / np.sqrt(2000)
    halves = [int(item.id, 16) % 2 == (item.a == item.unit.adapted) for item in items]
    assert abs(np.mean(halves) - 0.5) < 5 * 0.5 / np.sqrt(2000)


def test_an_item_on_which_both_agree_looks_like_any_other():
    items = drawn(units(300, 0), differing=0, agreeing=200)
    assert all(item.a != item.b for item in items)
    assert {item.a for item in items} == set(LABELS)
    assert 60 < sum(item.a == "positive" for item in items) < 140
    # Differing and agreeing ones are mixed.
    kinds = [item.unit.differ for item in drawn(units(300, 150), differing=20, agreeing=20)]
    assert kinds != sorted(kinds)
    assert kinds != sorted(kinds, reverse=True)


def tagged(words, *tags):
    found = join_words(words.split())
    return TaggedText(found.text, found.spans, list(tags), [1.0] * len(tags))


def test_what_overlaps_is_one_stretch():
    words = "Ann Lee of New York met Bo in Rome"
    ours = tagged(words, "B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "B-PER", "O", "B-LOC")
    theirs = tagged(words, "B-PER", "B-PER", "O", "B-ORG", "O", "O", "O", "O", "B-LOC")
    found = span_units(["t:1"], [ours], [theirs])
    assert [
        (unit.text[unit.start : unit.end], unit.adapted, unit.source_only) for unit in found
    ] == [
        ("Ann Lee", "PER: Ann Lee", "PER: Ann + PER: Lee"),
        ("New York", "LOC: New York", "ORG: New"),
        ("Bo", "PER: Bo", NO_ENTITY),
        ("Rome", "LOC: Rome", "LOC: Rome"),
    ]
    assert [unit.differ for unit in found] == [True, True, True, False]


def test_where_neither_finds_anything_nothing_is_asked():
    empty = tagged("no name here", "O", "O", "O")
    assert span_units(["t:1"], [empty], [empty]) == []
