"""Edits of token ids and of words: lengths, labels and domain terms."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
import torch

from nlp_adapt.augmentation.domain_terms import (
    DomainTermSwapper,
    domain_terms,
    substitute_weights,
    surprise,
    word_vectors,
)
from nlp_adapt.augmentation.token_edits import TOKEN_EDITS, TokenEditor
from nlp_adapt.augmentation.word_edits import (
    WORD_EDITS,
    WordEditor,
    common_words,
    word_counts,
)
from nlp_adapt.errors import ConfigError
from tests.helpers.tiny_batches import VOCABULARY, make_batch, make_tokenizer


@pytest.mark.parametrize("kind", TOKEN_EDITS)
def test_token_edits_keep_shape_specials_padding_and_units(kind):
    torch.manual_seed(0)
    batch = make_batch(token_level=True, source=40, target=40)
    kept = {name: value.clone() for name, value in batch.items() if torch.is_tensor(value)}
    edited = TokenEditor(make_tokenizer(), kind, 0.5)(batch)
    for name, value in kept.items():
        assert torch.equal(batch[name], value)  # the batch itself is left alone
        if name not in ("input_ids", "attention_mask"):
            assert edited[name] is batch[name]
    ids, mask = batch["input_ids"], batch["attention_mask"]
    new, new_mask = edited["input_ids"], edited["attention_mask"]
    special = (ids <= 4) & (ids != 1)
    assert torch.equal(new[special], ids[special])
    assert torch.equal(new_mask[special], mask[special])
    changed = (new != ids) | (new_mask != mask)
    assert 0.2 < changed.sum() / (~special).sum() < 0.8
    if kind == "mask":
        assert (new[changed] == 4).all()
    elif kind == "delete":
        assert torch.equal(new, ids)
        assert ((new_mask * ~special).sum(1) > 0).all()
    elif kind == "replace":
        assert (new[changed] > 4).all()
    else:
        assert torch.equal(new.sort(1).values, ids.sort(1).values)


def test_the_pieces_of_a_word_are_edited_together():
    index = {token: i for i, token in enumerate(VOCABULARY)}
    row = [index[t] for t in ("[CLS]", "good", "##ness", "film", "##s", "fine", "##ly", "[SEP]")]
    ids = torch.tensor([row]).repeat(200, 1)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    torch.manual_seed(0)
    masked = TokenEditor(make_tokenizer(), "mask", 0.5)(batch)["input_ids"] == 4
    for first in (1, 3, 5):
        assert torch.equal(masked[:, first], masked[:, first + 1])
    swapped = TokenEditor(make_tokenizer(), "swap", 1.0)(batch)["input_ids"]
    orders = Counter(tuple(line.tolist()) for line in swapped)
    assert len(orders) > 2
    pairs = {tuple(row[first : first + 2]) for first in (1, 3, 5)}
    for line in orders:
        assert {line[first : first + 2] for first in (1, 3, 5)} == pairs
        assert (line[0], line[-1]) == (row[0], row[-1])


def test_token_edit_at_rate_zero_is_the_identity_and_empty_rows_survive():
    batch = make_batch()
    only_specials = {
        "input_ids": torch.tensor([[2, 3, 0]]),
        "attention_mask": torch.tensor([[1, 1, 0]]),
    }
    for kind in TOKEN_EDITS:
        edited = TokenEditor(make_tokenizer(), kind, 0.0)(batch)
        assert torch.equal(edited["input_ids"], batch["input_ids"])
        edited = TokenEditor(make_tokenizer(), kind, 1.0)(only_specials)
        assert torch.equal(edited["input_ids"], only_specials["input_ids"])
        assert torch.equal(edited["attention_mask"], only_specials["attention_mask"])


def test_bad_edits_say_what_to_do():
    with pytest.raises(ConfigError, match="must be one of mask"):
        TokenEditor(make_tokenizer(), "translate")
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        TokenEditor(tokenizer, "mask")
    with pytest.raises(ConfigError, match="must be one of delete"):
        WordEditor("translate")
    with pytest.raises(ConfigError, match="word counts"):
        WordEditor("replace")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        WordEditor("delete", rate=1.5)


@pytest.mark.parametrize("kind", WORD_EDITS)
def test_word_edits_say_which_word_each_stands_for(kind):
    generator = np.random.default_rng(0)
    counts = word_counts([["phone", "phone", "screen"]])
    editor = WordEditor(kind, 0.4, counts)
    words = [f"w{number}" for number in range(30)]
    edited, positions = editor.edit(words, generator)
    assert len(edited) == len(positions)
    assert edited != words
    stands_for = [words[position] for position in positions]
    if kind in ("delete", "swap"):
        assert edited == stands_for
        assert (len(edited) < 30) if kind == "delete" else (sorted(positions) == list(range(30)))
    else:
        assert positions == list(range(30))
        new = {word for word, old in zip(edited, words, strict=True) if word != old}
        assert new == ({"[MASK]"} if kind == "mask" else {"phone", "screen"})
    assert editor.edit([], generator) == ([], [])
    everything, _ = WordEditor(kind, 1.0, counts).edit(["one"], generator)
    assert len(everything) == 1


def test_replacements_follow_the_domains_frequencies():
    editor = WordEditor("replace", 1.0, Counter({"phone": 3, "screen": 1}))
    edited, _ = editor.edit(["x"] * 4000, np.random.default_rng(0))
    assert edited.count("phone") / 4000 == pytest.approx(0.75, abs=0.03)


def test_at_least_one_word_of_a_short_text_is_edited_but_never_a_protected_one():
    counts = Counter({"phone": 1})
    words = ["good", "film", "Rome", "."]
    editable = np.array([True, True, False, False])
    for kind in WORD_EDITS:
        generator = np.random.default_rng(0)
        editor = WordEditor(kind, 0.01, counts)
        for _ in range(50):
            edited, positions = editor.edit(words, generator, editable)
            assert edited != words
            assert edited[-2:] == ["Rome", "."]
            assert [positions.index(fixed) - len(positions) for fixed in (2, 3)] == [-2, -1]
        nothing = np.zeros(4, dtype=bool)
        assert editor.edit(words, generator, nothing) == (words, [0, 1, 2, 3])
        assert WordEditor(kind, 0.0, counts).edit(words, generator)[0] == words


def test_swaps_need_two_neighbours_that_may_move():
    words = ["a", "Rome", "b", "c"]
    editable = np.array([True, False, True, True])
    for seed in range(20):
        edited, _ = WordEditor("swap", 0.9).edit(words, np.random.default_rng(seed), editable)
        assert edited == ["a", "Rome", "c", "b"]


def test_substitutes_are_drawn_by_their_weights_and_written_alike():
    generator = np.random.default_rng(0)
    half = DomainTermSwapper({"film": [("phone", 0.75), ("screen", 0.25)]}, rate=0.5)
    texts = [half.swap(["Film", "x", "FILM", "film"], generator) for _ in range(1000)]
    first, last = (Counter(text[place] for text in texts) for place in (0, 3))
    assert set(first) == {"Film", "Phone", "Screen"}
    assert {text[2] for text in texts} == {"FILM", "PHONE", "SCREEN"}
    assert last["phone"] / last["screen"] == pytest.approx(3.0, rel=0.3)
    # Half of the terms, and one of three at least.
    assert first["Film"] / 1000 == pytest.approx(0.5 - 0.5**3 / 3, abs=0.05)
    assert all(text[:1] + text[2:] != ["Film", "FILM", "film"] for text in texts)
    only = half.swap(["film", "film"], generator, np.array([False, True]))
    assert only[0] == "film" != only[1]
    strict = DomainTermSwapper({"film": [("phone", 1.0)]}, rate=1.0, fold_case=False)
    assert strict.swap(["Film", "film"], generator) == ["Film", "phone"]


def test_substitutes_too_unlike_a_term_have_no_weight():
    weights = substitute_weights(np.array([[0.9, 0.8, 0.1], [0.2, 0.1, 0.0]]))
    np.testing.assert_allclose(weights[0], [math.e / (1 + math.e), 1 / (1 + math.e), 0], rtol=1e-6)
    assert weights[1].tolist() == [0, 0, 0]


def test_common_words_make_up_half_of_a_text():
    counts = Counter({"the": 50, "of": 30, "film": 15, "plot": 5})
    assert common_words(counts) == {"the"}
    assert common_words(counts, 0.8) == {"the", "of"}
    assert common_words(counts, 0.0) == set()
    assert common_words(Counter()) == set()


def test_surprise_is_the_likelihood_ratio_and_prefers_evidence_to_chance():
    source = {"film": 50, "plot": 1, "good": 100}
    target = {"phone": 60, "good": 100}
    scores = surprise(source, target)
    for word in ("film", "phone", "plot", "good"):
        seen = source.get(word, 0), target.get(word, 0)
        table = [[seen[0], 151 - seen[0]], [seen[1], 160 - seen[1]]]
        expected = scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert scores[word] ** 2 == pytest.approx(expected.statistic)
    assert scores["film"] > scores["plot"] > 0 > scores["phone"]
    assert surprise(target, source)["film"] == pytest.approx(-scores["film"])
    assert domain_terms(source, target) == (["film"], ["phone"])
    with pytest.raises(ConfigError, match="one of them has none"):
        surprise({}, target)


def test_function_words_and_rare_words_are_no_terms():
    source = {"the": 6000, "film": 30, "odd": 2, "rest": 3968}
    target = {"the": 4000, "phone": 30, "rest": 5970}
    scores = surprise(source, target)
    assert scores["the"] > 10  # sure, but not three times as frequent
    assert domain_terms(source, target) == (["film"], ["phone"])
    assert domain_terms(source, target, least_ratio=1.0) == (["film"], ["phone"])  # nor rare there
    assert domain_terms({**source, "its": 300}, {**target, "its": 30}) == (["film"], ["phone"])


def test_source_terms_become_their_nearest_target_terms():
    tokenizer = make_tokenizer()
    embeddings = np.zeros((len(VOCABULARY), 4), dtype=np.float32)
    index = {token: i for i, token in enumerate(VOCABULARY)}
    places = {"film": (1, 0), "phone": (0.9, 0.1), "plot": (0, 1), "screen": (0.1, 0.9)}
    for word, place in places.items():
        embeddings[index[word], :2] = place
    vectors = word_vectors(["film", "films"], tokenizer, embeddings)
    assert vectors.shape == (2, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    source = Counter({"film": 80, "plot": 60, "good": 100, "the": 300})
    target = Counter({"phone": 80, "screen": 60, "good": 100, "the": 300})
    swapper = DomainTermSwapper.from_corpora(
        source, target, tokenizer, embeddings, candidates=1, rate=1.0
    )
    words = ["the", "film", "was", "good", "the", "plot"]
    generator = np.random.default_rng(0)
    assert swapper.swap(words, generator) == ["the", "phone", "was", "good", "the", "screen"]
    assert words == ["the", "film", "was", "good", "the", "plot"]
    none = DomainTermSwapper.from_corpora(source, source, tokenizer, embeddings)
    assert none.swap(words, generator) == words
    with pytest.raises(ConfigError, match="rate"):
        DomainTermSwapper({}, rate=-1.0)
