"""Probes on features: distances of planted domains, class shares, neighbours, unseen entities."""

from dataclasses import replace

import numpy as np
import pytest

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.diagnosis.entities import found_surfaces, type_of_tag, unseen
from nlp_adapt.diagnosis.neighbours import nearest_and_farthest
from nlp_adapt.diagnosis.probes import ClassProbe, class_shares, distances

RNG = np.random.default_rng(0)


def test_each_distance_sees_what_it_reads_alone():
    texts = [["a b c"] * 60, ["b c a"] * 60]
    near = [RNG.normal(size=(60, 4)) for _ in range(2)]
    found = distances(texts, [near[0], near[1] + 9], seed=0)
    assert found["encoder"] == 2.0
    assert found["words"] == found["length"] == 0.0
    longer = distances([texts[0], ["a b c b c a"] * 60], near, seed=0)
    assert longer["length"] == 2.0
    assert longer["words"] == 0.0
    others = distances([texts[0], ["a b d"] * 60], near, seed=0)
    assert others["words"] == 2.0
    assert distances([["a"] * 5] * 2, [near[0][:5]] * 2, seed=0)["encoder"] is None


def planted(count, share, width=6):
    """Features of two classes that a line tells apart, the second with this share."""
    labels = (np.arange(count) < share * count).astype(int)
    return RNG.normal(size=(count, width)) + 4.0 * labels[:, None], labels


def test_shares_are_found_where_the_classes_keep_their_texts():
    source, labels = planted(200, 0.5)
    target, _ = planted(200, 0.8)
    probe = ClassProbe.fit(source[::2], labels[::2], 3)
    held_out = probe.logits(source[1::2])
    found = class_shares(held_out, labels[1::2], probe.logits(target), ("no", "yes", "never"))
    for key in ("predicted", "em", "bbse"):
        assert found["shares"][key]["yes"] == pytest.approx(0.8, abs=0.03)
        assert found["shares"][key]["never"] < 0.01
    assert found["shift"] == pytest.approx(0.3, abs=0.05)
    assert found["disagreement"] < 0.05
    assert found["right_on_source"] > 0.95


def test_too_few_units_or_a_single_class_say_nothing():
    source, labels = planted(10, 0.5)
    assert ClassProbe.fit(source, labels * 0, 2) is None
    assert class_shares(np.zeros((5, 2)), labels[:5], np.zeros((50, 2)), ("a", "b")) is None


def test_neighbours_leave_out_what_both_domains_hold():
    source, target = np.eye(4)[[0, 1]], np.eye(4)[[0, 0, 3, 2, 2]]
    texts = ["Same  Text", "like the source", "far", "far too", "FAR too"]
    found = nearest_and_farthest(["same text", "other"], texts, source, target, most=1)
    (near,), (far,) = found["nearest"], found["farthest"]
    assert near == {"text": "like the source", "similarity": 0.5, "source": "same text"}
    assert far["similarity"] == 0.0
    long = nearest_and_farthest(["a"], ["b " * 200, "c"], np.eye(2)[[0]], np.eye(2))
    assert len(long["nearest"][0]["text"]) == 160


def test_stretches_of_one_type_are_one_entity():
    types, place = type_of_tag(("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))
    assert types == ("O", "LOC", "PER")
    assert place.tolist() == [0, 2, 2, 1, 1]
    words = [["Ann", "Lee", "saw", "Rome"], ["Bob"]]
    rows = replace(pack_rows([[1, 2, 3, 4], [5]]), words=np.arange(5), total_words=5)
    found = found_surfaces(words, rows, np.array([2, 2, 0, 1, 2]))
    assert found == ["ann lee", "rome", "bob"]
    said = unseen({"rome"}, ["rome"] * 20, ["rome"] * 5 + ["bob"] * 15)
    assert said == {"target": 0.75, "source": 0.0, "stretches": 20, "often": ["bob"]}
    assert unseen({"rome"}, ["rome"], ["bob"] * 30) is None
