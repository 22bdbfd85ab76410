"""Words to pieces and back: every word once, on its first piece, whatever the words are."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nlp_adapt.data.batches.encoded import budget_batches
from nlp_adapt.data.batches.words import (
    encode_texts,
    encode_words,
    plan_windows,
    scatter_to_words,
    special_tokens,
    split_into_pieces,
)
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import IGNORED_LABEL


def _wordpiece() -> Tokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'@#"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    words += ["the", "paris", "##ing"]
    backend = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return backend


def _byte_level() -> Tokenizer:
    alphabet = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=True
    )
    return backend


def _unigram() -> Tokenizer:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "ing", *"abcdefghijklmnopqrstuvwxyz"]
    backend = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], unk_id=3))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    return backend


KINDS = {"wordpiece": _wordpiece, "byte-level": _byte_level, "unigram": _unigram}
SPECIALS = {"wordpiece": ([2], [3]), "byte-level": ([0], [2]), "unigram": ([], [2])}


@functools.cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=KINDS[kind]())


def pieces_of(kind: str, word: str) -> list[int]:
    """A word's pieces, asked for one word at a time."""
    return tokenizer_of(kind)([word], is_split_into_words=True, add_special_tokens=False)[
        "input_ids"
    ]


STRANGE = [
    "",
    " ",
    "\u200b",
    "\x00",
    "\u200d",
    "\ufeff",
    "\ufffd",
    "é",
    "日本",
    "👍🏽",
    "[SEP]",
    "</s>",
]
WORDS = st.one_of(
    st.sampled_from(["the", "Paris", "running", "@user", "x" * 150, "ab" * 40, *STRANGE]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
SENTENCES = st.lists(st.lists(WORDS, max_size=25), max_size=5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None)
@given(sentences=SENTENCES, room=st.integers(1, 40))
@example(sentences=[], room=1)
@example(sentences=[[]], room=1)
@example(sentences=[["\u200b"], [], ["the", "", "Paris"]], room=2)
@example(sentences=[["the"] * 30], room=1)
@example(sentences=[["the", "ab" * 40, "the"]], room=3)
def test_every_word_is_read_once_at_its_first_piece(
    kind: str, sentences: list[list[str]], room: int
) -> None:
    before, after = SPECIALS[kind]
    words = [word for sentence in sentences for word in sentence]
    labels = np.arange(len(words))
    max_length = room + len(before) + len(after)

    rows = encode_words(sentences, tokenizer_of(kind), max_length, labels)

    pieces = [pieces_of(kind, word) for word in words]
    assert sorted(rows.words) == [number for number, own in enumerate(pieces) if own]
    assert rows.total_words == len(words)
    assert rows.labels.tolist() == rows.words.tolist()  # labels travel with their words
    for row in range(len(rows)):
        ids = rows.ids[rows.offsets[row] : rows.offsets[row + 1]].tolist()
        units = slice(rows.unit_offsets[row], rows.unit_offsets[row + 1])
        assert len(ids) <= max_length
        assert ids[: len(before)] == before
        assert ids[len(ids) - len(after) :] == after
        assert units.stop > units.start
        for word, position in zip(rows.words[units], rows.positions[units], strict=True):
            assert len(before) <= position < len(ids) - len(after)
            seen = ids[position : len(ids) - len(after)][: len(pieces[word])]
            assert seen == pieces[word][: len(seen)]
    assert scatter_to_words(rows.words, rows, -1).tolist() == [
        number if own else -1 for number, own in enumerate(pieces)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_found(kind: str) -> None:
    assert special_tokens(tokenizer_of(kind)) == SPECIALS[kind]


@pytest.mark.parametrize("kind", ["wordpiece", "byte-level"])
def test_whole_sentences_are_encoded_as_the_tokenizer_does(kind: str) -> None:
    sentences = [["the", "Paris", "running"], ["@user", "says", "..."]]
    rows = encode_words(sentences, tokenizer_of(kind), 64)
    expected = tokenizer_of(kind)(sentences, is_split_into_words=True)["input_ids"]
    assert [
        rows.ids[start:stop].tolist()
        for start, stop in zip(rows.offsets, rows.offsets[1:], strict=False)
    ] == expected
    assert set(rows.labels) == {IGNORED_LABEL}


def test_byte_level_words_carry_the_space_before_them() -> None:
    space = tokenizer_of("byte-level").convert_tokens_to_ids("Ġ")
    rows = encode_words([["Paris", "is"]], tokenizer_of("byte-level"), 64)
    assert rows.ids[rows.positions].tolist() == [space, space]


def test_vanished_words_have_no_unit_and_shift_nothing() -> None:
    rows = encode_words(
        [["the", "\u200b", "paris"], ["\x00", ""], ["the"]],
        tokenizer_of("wordpiece"),
        16,
        np.array([0, 1, 2, 3, 4, 5]),
    )
    assert rows.words.tolist() == [0, 2, 5]
    assert rows.labels.tolist() == [0, 2, 5]
    assert len(rows) == 2  # nothing of the second sentence is left to read


@given(lengths=st.lists(st.integers(0, 200), max_size=6), room=st.integers(1, 50))
def test_windows_cover_their_sentence_and_overlap_by_a_quarter(
    lengths: list[int], room: int
) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))])
    starts, stops, first_windows = plan_windows(offsets, room)
    for sentence, length in enumerate(lengths):
        own = slice(first_windows[sentence], first_windows[sentence + 1])
        begin, end = starts[own], stops[own]
        assert begin[0] == offsets[sentence]
        assert end[-1] == offsets[sentence + 1]
        assert (end - begin).max() == min(length, room)
        assert (end[:-1] - begin[1:] >= int(room * 0.25)).all()
        assert len(begin) == 1 or length > room


def test_a_word_belongs_to_the_window_that_shows_most_of_its_surroundings() -> None:
    # 16 one-piece words in windows of 8: 0-7, 4-11 and 8-15. Word 5 has 2 words after it in the
    # first (which begins the sentence) and 1 before it in the second; word 6 has 1 and 2.
    rows = encode_words([["a"] * 16], tokenizer_of("wordpiece"), 10)
    owned = np.split(rows.words, rows.unit_offsets[1:-1])
    assert [words.tolist() for words in owned] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
        [10, 11, 12, 13, 14, 15],
    ]
    assert rows.positions.tolist() == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4, 5, 6, 7, 8]


def test_a_word_of_several_pieces_belongs_where_it_is_whole() -> None:
    # The same windows; word 5 is pieces 5 to 7, which end the first one.
    rows = encode_words([["a"] * 5 + ["abc"] + ["a"] * 8], tokenizer_of("wordpiece"), 10)
    assert rows.words[rows.unit_offsets[1]] == 5


def test_a_word_longer_than_a_window_is_read_at_its_first_piece() -> None:
    tokenizer = tokenizer_of("byte-level")
    rows = encode_words([["a", "b" * 50, "c"]], tokenizer, 10)
    assert sorted(rows.words) == [0, 1, 2]
    flat = split_into_pieces([["a", "b" * 50, "c"]], tokenizer)
    firsts = np.searchsorted(flat.words, rows.words)
    row_of = np.repeat(np.arange(len(rows)), rows.unit_counts)
    read = rows.ids[rows.offsets[row_of] + rows.positions]
    assert read.tolist() == flat.ids[firsts].tolist()


def test_windows_without_a_word_to_read_are_dropped() -> None:
    rows = encode_words([["b" * 500]], tokenizer_of("byte-level"), 10)
    assert len(rows) == 1


def test_the_first_word_of_each_row_carries_the_label_of_its_text() -> None:
    rows = encode_texts(
        ["a b.", "a " * 16, "\u200b", "c"], tokenizer_of("wordpiece"), 10, [5, 6, 7, 8]
    )
    labels = np.split(rows.labels, rows.unit_offsets[1:-1])
    assert [own[0] for own in labels] == [5, 6, 6, 6, 8]
    assert all((own[1:] == IGNORED_LABEL).all() for own in labels)


def test_collated_positions_point_at_first_pieces() -> None:
    tokenizer = tokenizer_of("byte-level")
    sentences = [["ab", "c"], ["d"], ["a"] * 30, ["", "ef", "gh", "i"]]
    rows = encode_words(sentences, tokenizer, 16)
    flat = split_into_pieces(sentences, tokenizer)
    for chosen, batch in budget_batches(rows, tokens=64, most_rows=3, pad_id=1):
        assert (batch["attention_mask"].sum(1).numpy() == rows.lengths[chosen]).all()
        units = [np.arange(rows.unit_offsets[i], rows.unit_offsets[i + 1]) for i in chosen]
        assert (np.concatenate(units) == rows.units_of(chosen)).all()
        words = rows.words[np.concatenate(units)]
        read = batch["input_ids"].reshape(-1)[batch["unit_positions"]]
        assert read.tolist() == flat.ids[np.searchsorted(flat.words, words)].tolist()
        assert batch["attention_mask"].reshape(-1)[batch["unit_positions"]].all()


def test_too_short_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_length is 2.*set it to 3 or more"):
        encode_words([["a"]], tokenizer_of("wordpiece"), 2)
