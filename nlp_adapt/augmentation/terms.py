"""Words that mark a domain, and swapping them for similar ones of another domain.

Terms are found by the likelihood ratio of their two frequencies, which holds for rare words too
(Dunning 1993, "Accurate Methods for the Statistics of Surprise and Coincidence", Computational
Linguistics 19(1)); their counterparts by embedding similarity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.augmentation.edits import Choice, Words
from nlp_adapt.errors import ConfigError

LEAST_SCORE = 3.0
LEAST_RATIO = 3.0
LEAST_COUNT = 3
RARE = 1 / 2000
CANDIDATES = 5
LEAST_SIMILARITY = 0.3
TEMPERATURE = 0.1


class TermSwap(nn.Module):
    """Terms of one domain become similar terms of the other.

    The table is part of the state dict: it rests on embeddings that training moves.

    Args:
        own: Word counts of the domain whose text is edited.
        other: Word counts of the other domain.
        ids: Each word's id in a grid, in both domains.
        embeddings: `[vocabulary, size]` input embeddings.
        fold_case: Whether `Film` and `FILM` are the term `film`; counts are then case-folded.
    """

    term: Tensor  # [ids] row of the table; -1, a last row without weights, for what is no term
    table: Tensor  # [terms + 1, candidates] ids that a term may become
    weights: Tensor  # [terms + 1, candidates] probability of each; a term without any stays

    def __init__(
        self,
        own: Mapping[str, int],
        other: Mapping[str, int],
        ids: Mapping[str, int],
        tokenizer: Any,
        embeddings: Tensor,
        fold_case: bool = False,
    ) -> None:
        super().__init__()
        mine, theirs = domain_terms(own, other)
        row = {word: number for number, word in enumerate(mine if theirs else ())}
        term = torch.full((max(len(ids), len(embeddings)),), -1)
        for word, index in ids.items():
            term[index] = row.get(word.casefold() if fold_case else word, -1)
        best, weights = np.zeros((0, 1), dtype=np.int64), np.zeros((0, 1))
        if row:
            matrix = embeddings.detach().float().cpu().numpy()
            ours, others = (word_vectors(terms, tokenizer, matrix) for terms in (mine, theirs))
            best = np.argsort(-(ours @ others.T), axis=1, kind="stable")[:, :CANDIDATES]
            weights = substitute_weights(np.take_along_axis(ours @ others.T, best, axis=1))
            best = np.array([ids[word] for word in theirs])[best]
        self.register_buffer("term", term, persistent=False)
        self.register_buffer("table", F.pad(torch.from_numpy(best), (0, 0, 0, 1)))
        self.register_buffer("weights", F.pad(torch.from_numpy(weights).float(), (0, 0, 0, 1)))

    def forward(self, words: Words, choice: Choice) -> Words:
        """The grid with terms of the other domain."""
        terms = self.term[words.ids]
        swappable = (self.weights.sum(1) > 0.0)[terms]
        chosen = choice.among(words, words.single & swappable)
        found = terms[chosen]
        if len(found) == 0:
            return words
        drawn = torch.multinomial(self.weights[found], 1, generator=choice.generator)
        new = self.table[found].gather(1, drawn)
        return replace(words, ids=words.ids.masked_scatter(chosen, new))


def domain_terms(own: Mapping[str, int], other: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Words that mark a domain and words that mark the other, surest first, from their word counts.

    A term scores at least 3, occurs at least 3 times, is at least 3 times as frequent as in the
    other domain, and rarer there than one word in 2,000: function words, whose frequencies differ
    in any two large corpora, mark no domain.
    """
    words = [*{**own, **other}]
    counts = np.array([[one.get(word, 0) for word in words] for one in (own, other)], dtype=float)
    sizes = counts.sum(1)
    if not sizes.all():
        raise ConfigError("domain terms need words in both domains; one of them has none.")
    scores = surprise(counts)
    found = []
    for mine, theirs in ((0, 1), (1, 0)):
        terms = (
            (scores >= LEAST_SCORE)
            & (counts[mine] >= LEAST_COUNT)
            & (counts[mine] * sizes[theirs] >= LEAST_RATIO * (counts[theirs] + 1) * sizes[mine])
            & (counts[theirs] <= max(1.0, RARE * sizes[theirs]))
        )
        ordered = sorted((-scores[index], words[index]) for index in np.flatnonzero(terms))
        found.append([word for _, word in ordered])
    return found[0], found[1]


def surprise(counts: np.ndarray) -> np.ndarray:
    """`[words]` how surely frequencies differ between two domains, from counts `[2, words]`.

    About a z-score: the root of the likelihood-ratio statistic.
    """
    sizes = counts.sum(1, keepdims=True)
    share = counts.sum(0) / sizes.sum()
    statistic = np.zeros(counts.shape[1])
    for seen, expected in ((counts, sizes * share), (sizes - counts, sizes * (1.0 - share))):
        ratio = np.divide(seen, expected, out=np.ones_like(seen), where=seen > 0)
        statistic += 2.0 * (seen * np.log(ratio)).sum(0)
    return np.sqrt(np.maximum(statistic, 0.0))


def word_vectors(words: Sequence[str], tokenizer: Any, embeddings: np.ndarray) -> np.ndarray:
    """`[words, size]` mean of the input embeddings of each word's pieces, centred, of length 1."""
    pieces = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    centre = embeddings.mean(0)
    vectors = np.stack([embeddings[ids].mean(0) - centre if ids else 0 * centre for ids in pieces])
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def substitute_weights(similarities: np.ndarray) -> np.ndarray:
    """`softmax(similarity / temperature)` over the last axis; 0 below the least similarity."""
    scores = similarities / TEMPERATURE
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = np.where(similarities >= LEAST_SIMILARITY, weights, 0.0)
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-12)
