"""Words that mark a domain, and swapping the source's for the target's.

Terms are found by the likelihood ratio of their two frequencies (Dunning 1993, "Accurate Methods for
the Statistics of Surprise and Coincidence", Computational Linguistics 19(1)), which is right about
rare words too; their counterparts by embedding similarity.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from nlp_adapt.augmentation.texts import chosen_words, same_case
from nlp_adapt.errors import ConfigError

LEAST_SCORE = 3.0
LEAST_RATIO = 3.0
LEAST_COUNT = 3
RARE = 1 / 2000
CANDIDATES = 5
LEAST_SIMILARITY = 0.3
TEMPERATURE = 0.1
Word = TypeVar("Word", bound=Hashable)


def surprise(source: Mapping[Word, int], target: Mapping[Word, int]) -> dict[Word, float]:
    """How surely each word is more frequent in the source (positive) or the target (negative).

    Args:
        source: Word counts of the source; words may be strings or token ids.
        target: Word counts of the target.

    Returns:
        For each word of either corpus the root of its likelihood-ratio statistic with a sign, which
        is about a z-score.

    Raises:
        ConfigError: If a corpus has no words.
    """
    sizes = sum(source.values()), sum(target.values())
    if not all(sizes):
        raise ConfigError("domain terms need words in both domains; one of them has none.")
    total = sum(sizes)
    scores = {}
    for word in {**source, **target}:
        seen = source.get(word, 0), target.get(word, 0)
        statistic = 0.0
        for count, size in zip(seen, sizes, strict=True):
            share = sum(seen) / total
            for found, expected in ((count, size * share), (size - count, size * (1.0 - share))):
                if found:
                    statistic += 2.0 * found * math.log(found / expected)
        sign = 1.0 if seen[0] * sizes[1] > seen[1] * sizes[0] else -1.0
        scores[word] = sign * math.sqrt(max(statistic, 0.0))
    return scores


def domain_terms(
    source: Mapping[Word, int],
    target: Mapping[Word, int],
    least_score: float = LEAST_SCORE,
    least_ratio: float = LEAST_RATIO,
    least_count: int = LEAST_COUNT,
) -> tuple[list[Word], list[Word]]:
    """Words that mark the source and words that mark the target, surest first.

    Args:
        source: Word counts of the source.
        target: Word counts of the target.
        least_score: Least score of `surprise`.
        least_ratio: How many times as frequent a word must be as in the other domain. It must also
            be rare there, fewer than one word in 2,000: the frequencies of function words differ
            surely in any two large corpora, but they mark none.
        least_count: Least occurrences in the word's own domain.
    """
    scores = surprise(source, target)

    def terms(own: Mapping[Word, int], other: Mapping[Word, int], sign: float) -> list[Word]:
        sizes = sum(own.values()), sum(other.values())
        found = [
            word
            for word, count in own.items()
            if sign * scores[word] >= least_score
            and count >= least_count
            and count * sizes[1] >= least_ratio * (other.get(word, 0) + 1) * sizes[0]
            and other.get(word, 0) <= max(1.0, RARE * sizes[1])
        ]
        return sorted(found, key=lambda word: (-sign * scores[word], str(word)))

    return terms(source, target, 1.0), terms(target, source, -1.0)


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
    vectors = [embeddings[ids].mean(0) if len(ids) else embeddings.mean(0) for ids in pieces]
    return directions(np.stack(vectors), embeddings)


def directions(vectors: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Vectors `[words, size]` seen from the mean of the embeddings, with length 1.

    Args:
        vectors: `[words, size]` embeddings of words.
        embeddings: `[vocabulary, size]` all embeddings.
    """
    centred = vectors - embeddings.mean(0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(norms, 1e-12)).astype(np.float32)


def nearest(ours: np.ndarray, theirs: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of our words the most similar of theirs: columns and cosines, best first.

    Args:
        ours: `[words, size]` directions.
        theirs: `[others, size]` directions.
        most: How many of theirs, at most.
    """
    similarity = ours @ theirs.T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
    return best, np.take_along_axis(similarity, best, axis=1)


def substitute_weights(similarities: np.ndarray) -> np.ndarray:
    """Probabilities of the substitutes, `softmax(similarity / temperature)` over the last axis.

    Those below the least similarity have none; where all are, every weight is 0.
    """
    scores = similarities / TEMPERATURE
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = np.where(similarities >= LEAST_SIMILARITY, weights, 0.0)
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-12)


class DomainTermSwapper:
    """Replaces source terms by similar target terms; one word for one, so labels stay aligned.

    Args:
        substitutes: For each source term, target terms and the probability of each.
        rate: Share of the source terms in a text that are replaced.
        fold_case: Whether `Film` and `FILM` are the term `film`; the substitute is then written
            alike. Otherwise words must be written as the terms are.

    Raises:
        ConfigError: If the rate is out of range.
    """

    def __init__(
        self,
        substitutes: Mapping[str, Sequence[tuple[str, float]]],
        rate: float = 0.15,
        fold_case: bool = True,
    ) -> None:
        if not 0.0 <= rate <= 1.0:
            raise ConfigError(f"rate of term swaps is {rate}, but must be between 0 and 1.")
        self.substitutes = {word: list(found) for word, found in substitutes.items() if found}
        self.rate = rate
        self.fold_case = fold_case

    @classmethod
    def from_corpora(
        cls,
        source: Mapping[str, int],
        target: Mapping[str, int],
        tokenizer: Any,
        embeddings: np.ndarray,
        *,
        rate: float = 0.15,
        fold_case: bool = True,
        candidates: int = CANDIDATES,
    ) -> DomainTermSwapper:
        """Find terms in the word counts of both domains, and substitutes by embedding similarity.

        Args:
            source: Word counts of the source, case-folded with `fold_case`.
            target: Word counts of the target, likewise.
            tokenizer: The encoder's tokenizer.
            embeddings: `[vocabulary, size]` its input embedding matrix.
            rate: Share of the source terms in a text that are replaced.
            fold_case: See the class.
            candidates: Most substitutes of a term.
        """
        ours, theirs = domain_terms(source, target)
        if not ours or not theirs:
            return cls({}, rate, fold_case)
        best, similarities = nearest(
            word_vectors(ours, tokenizer, embeddings),
            word_vectors(theirs, tokenizer, embeddings),
            candidates,
        )
        weights = substitute_weights(similarities)
        found = {
            word: [
                (theirs[column], float(weight))
                for column, weight in zip(best[row], weights[row], strict=True)
                if weight > 0.0
            ]
            for row, word in enumerate(ours)
        }
        return cls(found, rate, fold_case)

    def swap(
        self,
        words: Sequence[str],
        generator: np.random.Generator,
        editable: np.ndarray | None = None,
    ) -> list[str]:
        """A copy of `words` in which source terms are replaced, at least one where there is one.

        Args:
            words: The words of a text.
            generator: Where the choices come from.
            editable: `[words]` which of them may be replaced; default: all.
        """
        keys = [word.casefold() if self.fold_case else word for word in words]
        terms = np.fromiter((key in self.substitutes for key in keys), dtype=bool, count=len(keys))
        if editable is not None:
            terms &= editable
        swapped = list(words)
        for position in np.flatnonzero(chosen_words(terms, self.rate, generator)).tolist():
            found = self.substitutes[keys[position]]
            weights = np.array([weight for _, weight in found])
            new = found[generator.choice(len(found), p=weights / weights.sum())][0]
            swapped[position] = same_case(new, words[position]) if self.fold_case else new
        return swapped
