"""Words that mark a domain, and swapping the source's for the target's.

Terms are found by the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi & Quinn
2008, "Fightin' Words", Political Analysis 16(4)); their counterparts by embedding similarity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_adapt.errors import ConfigError


def log_odds(
    source: Mapping[str, int], target: Mapping[str, int], prior: float = 500.0
) -> dict[str, float]:
    """How strongly each word marks the source (positive) or the target (negative), as z-scores.

    Args:
        source: Word counts of the source.
        target: Word counts of the target.
        prior: Strength of the Dirichlet prior, in words; it has the frequencies of both corpora
            together and keeps rare words from scoring high by chance.

    Returns:
        For each word of either corpus, the difference of its log-odds over its standard error.
    """
    both = Counter(source) + Counter(target)
    total = sum(both.values())
    sizes = sum(source.values()), sum(target.values())
    if not all(sizes):
        raise ConfigError("domain terms need words in both domains; one of them has none.")
    scores = {}
    for word, count in both.items():
        pseudo = prior * count / total
        sides = [(side.get(word, 0) + pseudo, size + prior)
                 for side, size in zip((source, target), sizes, strict=True)]  # fmt: skip
        odds = [math.log(seen) - math.log(max(size - seen, 1e-12)) for seen, size in sides]
        variance = sum(1.0 / seen for seen, _ in sides)
        scores[word] = (odds[0] - odds[1]) / math.sqrt(variance)
    return scores


def domain_terms(
    source: Mapping[str, int],
    target: Mapping[str, int],
    least_score: float = 3.0,
    least_count: int = 3,
    prior: float = 500.0,
) -> tuple[list[str], list[str]]:
    """Words that mark the source and words that mark the target, strongest first.

    Args:
        source: Word counts of the source.
        target: Word counts of the target.
        least_score: Least z-score.
        least_count: Least occurrences in the word's own domain.
        prior: Strength of the Dirichlet prior, in words.
    """
    scores = log_odds(source, target, prior)
    ranked = sorted(scores, key=lambda word: (-scores[word], word))
    of_source = [
        word
        for word in ranked
        if scores[word] >= least_score and source.get(word, 0) >= least_count
    ]
    of_target = [
        word
        for word in reversed(ranked)
        if scores[word] <= -least_score and target.get(word, 0) >= least_count
    ]
    return of_source, of_target


def word_vectors(words: Sequence[str], tokenizer: Any, embeddings: np.ndarray) -> np.ndarray:
    """`[words, size]` mean of the input embeddings of each word's pieces, centred, of length 1.

    Args:
        words: The words.
        tokenizer: The encoder's tokenizer.
        embeddings: `[vocabulary, size]` its input embedding matrix.
    """
    if not words:
        return np.zeros((0, embeddings.shape[1]), dtype=np.float32)
    pieces = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    centre = embeddings.mean(0)
    vectors = np.stack(
        [embeddings[ids].mean(0) - centre if len(ids) else np.zeros_like(centre) for ids in pieces]
    )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


class DomainTermSwapper:
    """Replaces source terms by similar target terms; one word for one, so labels stay aligned.

    Args:
        substitutes: For each source term, target terms and their similarities, best first.
        rate: Share of the source terms in a text that are replaced.
        temperature: Substitutes are drawn with probability softmax(similarity / temperature).
    """

    def __init__(
        self,
        substitutes: Mapping[str, Sequence[tuple[str, float]]],
        rate: float = 0.5,
        temperature: float = 0.1,
    ) -> None:
        if not 0.0 <= rate <= 1.0:
            raise ConfigError(f"rate of term swaps is {rate}, but must be between 0 and 1.")
        if not temperature > 0.0:
            raise ConfigError(f"temperature of term swaps is {temperature}, but must be above 0.")
        self.substitutes = {word: list(found) for word, found in substitutes.items() if found}
        self.rate = rate
        self._weights = {}
        for word, found in self.substitutes.items():
            scores = np.array([similarity for _, similarity in found]) / temperature
            weights = np.exp(scores - scores.max())
            self._weights[word] = weights / weights.sum()

    @classmethod
    def from_corpora(
        cls,
        source: Mapping[str, int],
        target: Mapping[str, int],
        tokenizer: Any,
        embeddings: np.ndarray,
        candidates: int = 5,
        least_similarity: float = 0.3,
        rate: float = 0.5,
    ) -> DomainTermSwapper:
        """Find terms in the word counts of both domains, and substitutes by embedding similarity.

        Args:
            source: Word counts of the source.
            target: Word counts of the target.
            tokenizer: The encoder's tokenizer.
            embeddings: `[vocabulary, size]` its input embedding matrix.
            candidates: Most substitutes of a term.
            least_similarity: Least cosine of a substitute.
            rate: Share of the source terms in a text that are replaced.
        """
        ours, theirs = domain_terms(source, target)
        if not ours or not theirs:
            return cls({}, rate)
        similarity = word_vectors(ours, tokenizer, embeddings) @ (
            word_vectors(theirs, tokenizer, embeddings).T
        )
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :candidates]
        found = {
            word: [
                (theirs[column], float(similarity[row, column]))
                for column in best[row]
                if similarity[row, column] >= least_similarity
            ]
            for row, word in enumerate(ours)
        }
        return cls(found, rate)

    def swap(self, words: Sequence[str], generator: np.random.Generator) -> list[str]:
        """A copy of `words` in which source terms are replaced."""
        swapped = list(words)
        for position, word in enumerate(words):
            if word in self.substitutes and generator.random() < self.rate:
                found = self.substitutes[word]
                swapped[position] = found[generator.choice(len(found), p=self._weights[word])][0]
        return swapped
