"""Edits of token ids and of words: lengths, labels, infill and domain terms."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.augmentation.domain_terms import (
    DomainTermSwapper,
    domain_terms,
    log_odds,
    word_vectors,
)
from nlp_adapt.augmentation.infill import Infiller
from nlp_adapt.augmentation.token_edits import TOKEN_EDITS, TokenEditor
from nlp_adapt.augmentation.word_edits import WORD_EDITS, WordEditor, word_counts
from nlp_adapt.errors import ConfigError
from tests.objectives.tiny import SIZES, VOCABULARY, make_batch, make_tokenizer


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


def test_log_odds_equals_the_formula_and_prefers_evidence_to_chance():
    source = {"film": 50, "plot": 1, "good": 100}
    target = {"phone": 60, "good": 100}
    scores = log_odds(source, target, prior=20.0)
    total = sum(source.values()) + sum(target.values())
    pseudo = 20.0 * 50 / total
    ours, theirs = 50 + pseudo, 0 + pseudo
    difference = math.log(ours / (151 + 20 - ours)) - math.log(theirs / (160 + 20 - theirs))
    assert scores["film"] == pytest.approx(difference / math.sqrt(1 / ours + 1 / theirs))
    assert scores["film"] > scores["plot"] > 0 > scores["phone"]
    assert abs(scores["good"]) < 1.5
    assert log_odds(target, source, prior=20.0)["film"] == pytest.approx(-scores["film"])
    assert domain_terms(source, target, least_score=1.5) == (["film"], ["phone"])
    with pytest.raises(ConfigError, match="one of them has none"):
        log_odds({}, target)


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
    half = DomainTermSwapper({"film": [("phone", 0.5), ("screen", 0.4)]}, rate=0.5)
    seen = Counter(half.swap(["film"], generator)[0] for _ in range(2000))
    assert seen["film"] / 2000 == pytest.approx(0.5, abs=0.05)
    assert seen["phone"] / seen["screen"] == pytest.approx(math.exp(1.0), rel=0.3)
    with pytest.raises(ConfigError, match="rate"):
        DomainTermSwapper({}, rate=-1.0)


def masked_lm() -> transformers.PreTrainedModel:
    """A masked LM that, by its output bias alone, always expects the word `phone` or `screen`."""
    config = transformers.BertConfig(vocab_size=len(VOCABULARY), **SIZES)
    model = transformers.BertForMaskedLM(config)
    with torch.no_grad():
        model.get_output_embeddings().bias.zero_()
        for word in ("phone", "screen", "##s", "[UNK]"):
            model.get_output_embeddings().bias[VOCABULARY.index(word)] = 30.0
    return model


def test_infill_rewrites_single_token_words_and_keeps_every_position():
    infiller = Infiller(masked_lm(), make_tokenizer(), rate=1.0, top_k=2)
    texts = [["the", "films", "was", "unseen"], [], ["good"]]
    filled = infiller.fill(texts, torch.Generator().manual_seed(0))
    assert [len(words) for words in filled] == [4, 0, 1]
    assert filled[0][1] == "films"  # two pieces: left as it is
    assert {filled[0][0], filled[0][2], filled[2][0]} <= {"phone", "screen"}
    assert texts == [["the", "films", "was", "unseen"], [], ["good"]]
    again = infiller.fill(texts, torch.Generator().manual_seed(0))
    assert again == filled
    assert Infiller(masked_lm(), make_tokenizer(), rate=0.0).fill(texts) == texts
    assert infiller.fill([[]]) == [[]]


def test_infill_needs_a_mask_token_and_sane_options():
    tokenizer = make_tokenizer()
    with pytest.raises(ConfigError, match="top_k"):
        Infiller(masked_lm(), tokenizer, top_k=0)
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="mask token"):
        Infiller(masked_lm(), tokenizer)
