"""Words of two domains: counts, log-odds, bags, and what a tokenizer makes of them."""

import math
from collections import Counter

import pytest

from nlp_adapt.diagnosis.words import (
    PRIOR_WORDS,
    bags,
    pieces,
    sizes_of_texts,
    telling_words,
    unseen_share,
    word_counts,
)
from nlp_adapt.modeling.tokenizers import load_tokenizer


def test_words_are_counted_whatever_their_case():
    assert word_counts(["The film, the FILM!", "don't 2x _"]) == {
        "the": 2, "film": 2, "don't": 1, "2x": 1,
    }  # fmt: skip


def test_telling_words_have_the_z_scores_of_the_paper():
    source, target = Counter(film=30, the=60, plot=10), Counter(phone=25, the=70, film=5)
    found = telling_words(source, target)

    def z(word):
        total = source[word] + target[word]
        prior = PRIOR_WORDS * total / 200
        odds = [
            math.log((side[word] + prior) / (100 + PRIOR_WORDS - side[word] - prior))
            for side in (source, target)
        ]
        variance = sum(1 / (side[word] + prior) for side in (source, target))
        return (odds[1] - odds[0]) / math.sqrt(variance)

    for side, words in (("source", ["film", "plot"]), ("target", ["phone", "the"])):
        assert [entry["word"] for entry in found[side]] == words
        for entry in found[side]:
            assert entry["z"] == pytest.approx(z(entry["word"]), abs=0.051)
    assert found["target"][0]["target_per_million"] == 250_000


def test_a_domain_without_words_has_none_that_tell():
    assert telling_words(Counter(), Counter(a=1)) == {"source": [], "target": []}
    assert unseen_share(Counter(), Counter(a=1)) is None


def test_unseen_words_count_as_often_as_they_occur():
    assert unseen_share(Counter(a=3, b=1), Counter(b=7)) == 0.75


@pytest.fixture
def tokenizer(tiny_model_dir):
    return load_tokenizer(str(tiny_model_dir), words=True)


def test_unknown_words_are_those_that_the_tokenizer_lacks(tokenizer):
    found = pieces(["film film жук"], tokenizer)
    assert found["unknown"] == pytest.approx(1 / 3)
    assert (found["split"], found["pieces"]) == (0.0, 1.0)
    assert pieces(["", "12 34"], tokenizer)["pieces"] == 0.0


def test_split_words_are_named_the_most_frequent_first(tokenizer):
    found = pieces(["film qed qed xyz"], tokenizer)
    assert found["split"] == 0.75
    assert found["pieces"] == 2.5
    assert found["often_split"] == ["qed", "xyz"]


def test_bags_hold_the_most_frequent_words_of_both_sides():
    ours, theirs = bags([["a a b"], ["a c", "d"]], most=1)
    assert ours.tolist() == [[1.0]]
    assert theirs.tolist() == [[1.0], [0.0]]
    assert sizes_of_texts([]).shape == (0, 2)
