"""Word-level edits of training rows: deletion, masking, replacement and swaps of words.

Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques", EMNLP. An edit makes a new list of words
and says, for each, which old word it stands for, so that labels can follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from nlp_adapt.augmentation.texts import chosen_words
from nlp_adapt.errors import ConfigError

Word = TypeVar("Word", bound=Hashable)
WORD_EDITS = ("delete", "mask", "replace", "swap")


def word_counts(texts: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each word occurs in a corpus of word lists."""
    return Counter(word for words in texts for word in words)


def common_words(counts: Mapping[Word, int], share: float = 0.5) -> set[Word]:
    """The most frequent words, those that make up `share` of all running words.

    In English prose about 150 words are half of any text: articles, pronouns, prepositions,
    negations. They hold sentences together, so that edits of meaning leave them alone.
    """
    total, seen = sum(counts.values()), 0
    common = set()
    for word in sorted(counts, key=lambda word: (-counts[word], str(word))):
        seen += counts[word]
        if seen > share * total:
            break
        common.add(word)
    return common


class WordEditor:
    """Edits random words of a text.

    Args:
        kind: `delete` words, `mask` them, `replace` them by words of the domain, drawn as often as
            they occur there, or `swap` them with the next word.
        rate: Share of words that are edited.
        counts: Word frequencies of the domain; needed by `replace`.
        mask_token: What `mask` writes.

    Raises:
        ConfigError: If the edit or the rate is unknown or impossible.
    """

    def __init__(
        self,
        kind: str,
        rate: float = 0.15,
        counts: Counter[str] | None = None,
        mask_token: str = "[MASK]",
    ) -> None:
        if kind not in WORD_EDITS:
            raise ConfigError(f"edit is '{kind}', but must be one of {', '.join(WORD_EDITS)}.")
        if not 0.0 <= rate <= 1.0:
            raise ConfigError(f"edit rate is {rate}, but must be between 0 and 1.")
        if kind == "replace" and not counts:
            raise ConfigError("edit 'replace' needs the word counts of a domain with words in it.")
        self.kind = kind
        self.rate = rate
        self.mask_token = mask_token
        self._vocabulary = list(counts or ())
        self._cumulative = np.cumsum(list((counts or Counter()).values()))

    def edit(
        self,
        words: Sequence[str],
        generator: np.random.Generator,
        editable: np.ndarray | None = None,
    ) -> tuple[list[str], list[int]]:
        """An edited copy of a text; at least one word is edited where one may be.

        Args:
            words: The text's words.
            generator: Where the choices come from.
            editable: `[words]` which of them may be edited; default: all.

        Returns:
            The new words, and the position in `words` of the word that each stands for: labels of
            the new words are `[labels[i] for i in positions]`. At least one word is left.
        """
        eligible = np.ones(len(words), dtype=bool) if editable is None else editable.copy()
        if self.kind == "swap":  # a word moves only if the next one may move too
            eligible[:-1] &= eligible[1:]
            eligible[-1:] = False
        chosen = chosen_words(eligible, self.rate, generator)
        positions = list(range(len(words)))
        if self.kind == "delete":
            kept = [position for position in positions if not chosen[position]]
            positions = kept or positions[:1]
        elif self.kind == "swap":
            for position in np.flatnonzero(chosen):
                following = position + 1
                positions[position], positions[following] = (
                    positions[following],
                    positions[position],
                )
        edited = [words[position] for position in positions]
        if self.kind == "mask":
            edited = [self.mask_token if chosen[i] else word for i, word in enumerate(edited)]
        elif self.kind == "replace":
            drawn = self._draw(len(words), generator)
            edited = [drawn[i] if chosen[i] else word for i, word in enumerate(edited)]
        return edited, positions

    def _draw(self, count: int, generator: np.random.Generator) -> list[str]:
        at = generator.random(count) * self._cumulative[-1]
        return [self._vocabulary[i] for i in np.searchsorted(self._cumulative, at, side="right")]
