"""Texts as words and back again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_adapt.augmentation.texts import (
    WordedText,
    entity_words,
    is_word,
    running_words,
    same_case,
    texts_of,
)
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION


@given(st.text())
def test_the_own_words_give_the_own_text(text: str) -> None:
    worded = WordedText.of_text(text)
    assert worded.join(worded.words, range(len(worded.words))) == text


def test_what_may_be_edited_in_a_text() -> None:
    text = "Bob's @handle saw 3 well-known films, see http://x.org/a #fun!"
    worded = WordedText.of_text(text)
    chosen = [w for w, editable in zip(worded.words, worded.editable, strict=True) if editable]
    assert chosen == ["Bob", "saw", "well-known", "films", "see"]
    assert is_word("हिन्दी")
    assert not is_word("")
    assert not is_word("'s")


@pytest.mark.parametrize(
    ("text", "gone", "expected"),
    [
        ("a good film.", [1], "a film."),
        ("good, or bad", [0], ", or bad"),
        ("one two three", [0, 1], "three"),
        ("one two.", [1], "one."),
        (" met Bob's friend ", [1], " met 's friend "),
        ("good\n\nbad film", [1], "good film"),
    ],
)
def test_deleted_words_take_the_space_before_them(
    text: str, gone: list[int], expected: str
) -> None:
    worded = WordedText.of_text(text)
    kept = [place for place in range(len(worded.words)) if place not in gone]
    assert worded.join([worded.words[place] for place in kept], kept) == expected


def test_words_do_not_run_together_when_one_between_them_goes() -> None:
    worded = WordedText(["met", "the", "man"], ["", " ", "", ""], np.ones(3, dtype=bool))
    assert worded.join(["met", "man"], [0, 2]) == "met man"


def test_protected_words_and_spaces_of_a_sentence() -> None:
    worded = WordedText.of_words(["in", "New", "York", "."], [False, True, True, False])
    assert worded.editable.tolist() == [True, False, False, False]
    assert worded.join(worded.words, range(4)) == "in New York ."
    assert WordedText.of_words([]).join([], []) == ""


def test_capitals_are_kept() -> None:
    cases = {"film": "phone", "Film": "Phone", "FILM": "PHONE", "A": "Phone"}
    assert {model: same_case("phone", model) for model in cases} == cases
    for word in ("Paris", "<mask>", "iPhone"):
        assert same_case(word, "FILM") == word


def test_rows_of_several_data_sets_and_their_entities() -> None:
    tags = ("O", "B-LOC")
    parts = [
        make_dataset(TOKEN_CLASSIFICATION, [["in", "Paris", "3"]], ["a"], [[0, 1, 1]], tags),
        make_dataset(TOKEN_CLASSIFICATION, [["paris", "is"]], ["b"], [[0, 0]], tags),
    ]
    texts = texts_of(parts)
    assert [text.editable.tolist() for text in texts] == [[True, False, False], [True, True]]
    assert entity_words(texts) == {"paris"}
    assert list(running_words(texts)) == ["in", "Paris", "paris", "is"]
    assert list(running_words(texts, {"paris"})) == ["in", "is"]
    bare = texts_of([make_dataset(TOKEN_CLASSIFICATION, [["in", "Paris"]], ["a"])])
    assert bare[0].editable.all()
    assert entity_words(bare) == set()
    plain = texts_of([make_dataset(SEQUENCE_CLASSIFICATION, ["The Berlin 3 @x"], ["a"])])
    assert list(running_words(plain)) == ["The", "Berlin"]
    assert entity_words(plain) == set()
