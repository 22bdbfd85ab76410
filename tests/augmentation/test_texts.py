"""Texts as words and back again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_adapt.augmentation.texts import WordedText, chosen_words, is_word, same_case
from nlp_adapt.augmentation.word_edits import WORD_EDITS, WordEditor, word_counts


@given(st.text())
def test_the_own_words_give_the_own_text(text: str) -> None:
    worded = WordedText.of_text(text)
    assert worded.join(worded.words, range(len(worded.words))) == text


@given(
    st.text(alphabet="ab ,.'\n#7é-", max_size=30), st.sampled_from(WORD_EDITS), st.integers(0, 9)
)
def test_edits_leave_all_that_is_not_a_word(text: str, kind: str, seed: int) -> None:
    worded = WordedText.of_text(text)
    editor = WordEditor(kind, 0.5, word_counts([["new"]]))
    words, positions = editor.edit(worded.words, np.random.default_rng(seed), worded.editable)
    joined = worded.join(words, positions)
    assert bool(joined.strip()) == bool(text.strip())
    fixed = [w for w, editable in zip(worded.words, worded.editable, strict=True) if not editable]
    left = [words[i] for i, old in enumerate(positions) if not worded.editable[old]]
    assert left == fixed
    assert joined.count(",") == text.count(",")


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


def test_choices_follow_the_rate() -> None:
    generator = np.random.default_rng(0)
    editable = np.arange(4000) % 2 == 0
    chosen = chosen_words(editable, 0.3, generator)
    assert not chosen[~editable].any()
    assert chosen.sum() / 2000 == pytest.approx(0.3, abs=0.03)
    assert chosen_words(editable[:2], 1e-9, generator).tolist() == [True, False]
    assert not chosen_words(editable, 0.0, generator).any()
    assert not chosen_words(np.zeros(5, dtype=bool), 1.0, generator).any()
