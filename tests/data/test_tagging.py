"""Tagging schemes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from nlp_adapt.data.label_proposal import propose_label_map
from nlp_adapt.data.tagging import (
    apply_label_map,
    detect_scheme,
    find_ill_formed,
    repair_bio2,
    split_tag,
    to_bio2,
)
from nlp_adapt.errors import DataError

BIO = ["B-PER", "I-PER", "B-PER", "O", "B-geo-loc", "O", "B-LOC", "I-LOC", "I-LOC"]
SAME = {
    "BIO": BIO,
    "IOB1": ["I-PER", "I-PER", "B-PER", "O", "I-geo-loc", "O", "I-LOC", "I-LOC", "I-LOC"],
    "BIOES": ["B-PER", "E-PER", "S-PER", "O", "S-geo-loc", "O", "B-LOC", "I-LOC", "E-LOC"],
    "BILOU": ["B-PER", "L-PER", "U-PER", "O", "U-geo-loc", "O", "B-LOC", "I-LOC", "L-LOC"],
}


@pytest.mark.parametrize("scheme", SAME)
def test_schemes_are_recognised_and_converted(scheme):
    assert detect_scheme([SAME[scheme]]) == scheme
    assert to_bio2(SAME[scheme], scheme) == BIO


@pytest.mark.parametrize("tags", ["PER PER O LOC", "I-PER I-PER O I-LOC"])
def test_io(tags):
    assert detect_scheme([tags.split()]) == "IO"
    assert to_bio2(tags.split(), "IO") == ["B-PER", "I-PER", "O", "B-LOC"]


def test_a_few_slips_do_not_turn_bio_into_iob1():
    assert detect_scheme([BIO, BIO, ["O", "I-PER"]]) == "BIO"


@pytest.mark.parametrize("tags", ["B-PER PER", "S-PER U-PER", "E-PER L-PER", "B-PER S-X L-X"])
def test_mixed_schemes_are_refused(tags):
    with pytest.raises(DataError, match="mixed"):
        detect_scheme([tags.split()])


@pytest.mark.parametrize(
    ("tags", "scheme", "bad"),
    [
        ("O I-PER I-PER", "BIO", [1]),
        ("B-PER I-LOC I-LOC", "BIO", [1]),
        ("B-PER I-PER O", "BIO", []),
        ("B-PER O", "BIOES", [0]),
        ("B-PER I-PER", "BIOES", [1]),
        ("S-PER E-PER", "BIOES", [1]),
        ("B-PER L-PER U-LOC", "BILOU", []),
        ("I-PER", "IOB1", []),
    ],
)
def test_ill_formed_positions(tags, scheme, bad):
    assert find_ill_formed(tags.split(), scheme) == bad


TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]))


@given(TAGS)
def test_repair_leaves_nothing_ill_formed_and_reads_as_the_conll_scorer_does(tags):
    repaired = repair_bio2(tags)
    assert find_ill_formed(repaired) == []
    assert get_entities(repaired) == get_entities(tags)
    assert repair_bio2(repaired) == repaired


@given(TAGS)
def test_conversion_from_bioes_restores_bio2(tags):
    tags = repair_bio2(tags)
    after = [*tags[1:], "O"]
    bioes = []
    for tag, following in zip(tags, after, strict=False):
        prefix, kind = split_tag(tag)
        goes_on = following == f"I-{kind}"
        marks = {"B": "B" if goes_on else "S", "I": "I" if goes_on else "E", "O": "O"}
        bioes.append("O" if prefix == "O" else f"{marks[prefix]}-{kind}")
    assert to_bio2(bioes, "BIOES") == tags
    assert find_ill_formed(bioes, "BIOES") == []


def test_label_map_renames_and_ignores():
    tags = ["B-Person", "I-Person", "B-movie", "O", "B-LOC"]
    mapped = apply_label_map(tags, {"person": "PER", "movie": "ignore"})
    assert mapped == ["B-PER", "I-PER", "O", "O", "B-LOC"]


def test_proposals():
    proposal = propose_label_map(["PER", "LOC", "ORG"], ["person", "geo-loc", "company", "movie"])
    assert proposal == {"person": "PER", "geo-loc": "LOC", "company": "ORG", "movie": "ignore"}
    assert propose_label_map(["negative", "positive"], ["0", "1"]) == {
        "0": "negative",
        "1": "positive",
    }
