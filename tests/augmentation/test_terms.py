"""Terms of two domains, and swapping one domain's for the other's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.stats
import torch

from nlp_adapt.augmentation.edits import Choice
from nlp_adapt.augmentation.terms import (
    TermSwap,
    domain_terms,
    substitute_weights,
    surprise,
    word_vectors,
)
from nlp_adapt.errors import ConfigError
from tests.helpers.tiny_batches import VOCABULARY, make_tokenizer
from tests.helpers.word_grids import WORD, grid, tokens_as_words

SOURCE = {"film": 80, "plot": 60, "battery": 50, "good": 100, "the": 300}
TARGET = {"phone": 80, "screen": 60, "good": 100, "the": 300}


def embeddings() -> torch.Tensor:
    """`film` is like `phone`, and `plot` like `screen`; nothing is like `battery`."""
    matrix = torch.zeros(len(VOCABULARY), 4)
    places = {"film": (1.0, 0.0), "phone": (0.9, 0.1), "plot": (0.0, 1.0), "screen": (0.1, 0.9)}
    for word, place in places.items():
        matrix[WORD[word], :2] = torch.tensor(place)
    matrix[WORD["battery"]] = torch.tensor([0.0, 0.0, 0.0, -1.0])
    return matrix


def swap_of(
    source: Mapping[str, int] = SOURCE,
    target: Mapping[str, int] = TARGET,
    ids: Mapping[str, int] = WORD,
    fold_case: bool = False,
) -> TermSwap:
    return TermSwap(source, target, ids, make_tokenizer(), embeddings(), fold_case)


def test_surprise_is_the_likelihood_ratio_and_prefers_evidence_to_chance() -> None:
    words = ("film", "phone", "plot", "good")
    counts = np.array([[50.0, 0.0, 1.0, 100.0], [0.0, 60.0, 0.0, 100.0]])
    scores = dict(zip(words, surprise(counts), strict=True))
    for number, word in enumerate(words):
        seen = counts[:, number]
        table = [[seen[0], 151 - seen[0]], [seen[1], 160 - seen[1]]]
        expected = scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert scores[word] ** 2 == pytest.approx(expected.statistic)
    assert scores["film"] > scores["plot"] > 0
    np.testing.assert_allclose(surprise(counts[::-1]), surprise(counts))


def test_terms_are_the_words_of_one_domain_alone() -> None:
    source, target = {"film": 50, "plot": 1, "good": 100}, {"phone": 60, "good": 100}
    assert domain_terms(source, target) == (["film"], ["phone"])
    assert domain_terms(target, source) == (["phone"], ["film"])
    with pytest.raises(ConfigError, match="one of them has none"):
        domain_terms({}, target)


def test_function_words_and_rare_words_are_no_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"the": 6000, "film": 30, "odd": 2, "rest": 3968}
    target = {"the": 4000, "phone": 30, "rest": 5970}
    scores = surprise(np.array([[6000.0, 4000.0], [4000.0, 6000.0]]))
    assert scores[0] > 10  # sure, but not three times as frequent
    assert domain_terms(source, target) == (["film"], ["phone"])
    assert domain_terms({**source, "its": 300}, {**target, "its": 30}) == (["film"], ["phone"])
    monkeypatch.setattr("nlp_adapt.augmentation.terms.LEAST_RATIO", 1.0)
    assert domain_terms(source, target) == (["film"], ["phone"])  # nor rare there


def test_word_vectors_are_means_of_pieces_seen_from_the_mean() -> None:
    matrix = embeddings().numpy()
    vectors = word_vectors(["film", "films"], make_tokenizer(), matrix)
    pieces = matrix[[WORD["film"], WORD["##s"]]].mean(0) - matrix.mean(0)
    np.testing.assert_allclose(vectors[1], pieces / np.linalg.norm(pieces), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_substitutes_too_unlike_a_term_have_no_weight() -> None:
    weights = substitute_weights(np.array([[0.9, 0.8, 0.1], [0.2, 0.1, 0.0]]))
    np.testing.assert_allclose(weights[0], [math.e / (1 + math.e), 1 / (1 + math.e), 0], rtol=1e-6)
    assert weights[1].tolist() == [0, 0, 0]


def test_terms_become_the_nearest_of_the_other_domain() -> None:
    before = grid(*["the film was good plot battery"] * 300)
    after = swap_of()(before, Choice(1.0)).ids
    assert torch.equal(after[:, [0, 2, 3]], before.ids[:, [0, 2, 3]])
    for place, word in ((1, "phone"), (4, "screen")):
        assert (after[:, place] == WORD[word]).float().mean() > 0.9
    assert (after[:, 5] == WORD["battery"]).all()  # nothing is like it
    half = swap_of()(before, Choice(0.5)).ids[:, 1]
    assert (half != WORD["film"]).float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_a_term_that_nothing_is_like_does_not_count_as_the_one_edited() -> None:
    before = grid(*["battery film"] * 50)
    after = swap_of()(before, Choice(0.01, at_least_one=True)).ids
    assert (after[:, 1] != WORD["film"]).all()


def test_substitutes_are_drawn_by_their_weights() -> None:
    swap = swap_of()
    swap.weights[:-1] = torch.tensor([0.75, 0.25])
    after = swap(grid(*["film"] * 4000), Choice(1.0)).ids
    first, second = (int((after == swap.table[0, column]).sum()) for column in (0, 1))
    assert first / second == pytest.approx(3.0, rel=0.1)


def test_capitals_may_be_folded() -> None:
    ids = {word: number for number, word in enumerate(["film", "Film", "FILM", "phone", "screen"])}
    for fold_case in (True, False):
        target = {"phone": 80, "screen": 60}
        swap = swap_of({"film": 80}, target, ids, fold_case)
        assert (swap.term >= 0).tolist()[:5] == [True, fold_case, fold_case, False, False]


def test_a_term_with_further_pieces_is_another_word() -> None:
    after = swap_of()(tokens_as_words("film ##s film"), Choice(1.0)).ids[0].tolist()
    assert after[1:3] == [WORD["film"], WORD["##s"]]
    assert after[3] in (WORD["phone"], WORD["screen"])


def test_corpora_without_terms_leave_everything() -> None:
    before = grid("the film")
    assert swap_of(SOURCE, SOURCE)(before, Choice(1.0, at_least_one=True)) is before
    assert swap_of(SOURCE, Counter(the=300))(before, Choice(1.0)) is before
