"""A text as words that may be edited, and the text again from edited words."""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.names import OUTSIDE

_INNER = frozenset("-'’")


@dataclass(frozen=True)
class WordedText:
    """The words and punctuation marks of a text, as `split_words` splits it, or of a sentence.

    Attributes:
        gaps: `[words + 1]` what stands before each word, and after the last.
        editable: `[words]` whether a word may be edited.
    """

    words: list[str]
    gaps: list[str]
    editable: np.ndarray

    @classmethod
    def of_text(cls, text: str) -> "WordedText":
        """A plain text; punctuation, numbers, URLs, mentions and hashtags are not edited."""
        spans = split_words(text)
        ends = [0, *(end for _, _, end in spans)]
        starts = [*(start for _, start, _ in spans), len(text)]
        gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        return cls.of_words([word for word, _, _ in spans], gaps=gaps)

    @classmethod
    def of_words(
        cls,
        words: Sequence[str],
        protected: Sequence[bool] | None = None,
        gaps: Sequence[str] | None = None,
    ) -> "WordedText":
        """A sentence in words, some `protected` (such as entities); gaps are spaces by default."""
        editable = np.fromiter((is_word(word) for word in words), dtype=bool, count=len(words))
        if protected is not None:
            editable &= ~np.asarray(protected, dtype=bool)
        spaces = ["", *[" "] * (len(words) - 1), ""] if words else [""]
        return cls(list(words), spaces if gaps is None else list(gaps), editable)

    def join(self, words: Sequence[str], positions: Sequence[int]) -> str:
        """The text with new words for those at `positions`; with a word goes what stood before it."""
        slots = positions if len(words) < len(self.words) else range(len(words))
        parts: list[str] = []
        before = -1
        for word, slot in zip(words, slots, strict=True):
            gap = self.gaps[slot]
            if not gap and parts and slot > before + 1 and any(map(str.isalpha, word)):
                gap = next((one for one in self.gaps[before + 1 : slot] if one), "")
            parts += [gap if parts else self.gaps[0], word]
            before = slot
        return "".join([*parts, self.gaps[-1]])


def texts_of(datasets: Sequence[Any]) -> list[WordedText]:
    """The rows of canonical data sets one after the other; where they have tags, entities stay."""
    columns = datasets[0].column_names
    if "tokens" not in columns:
        return [WordedText.of_text(text) for dataset in datasets for text in dataset["text"]]
    sentences = (words for dataset in datasets for words in dataset["tokens"])
    if "labels" not in columns:
        return [WordedText.of_words(words) for words in sentences]
    outside = datasets[0].features["labels"].feature.names.index(OUTSIDE)
    rows = (tags for dataset in datasets for tags in dataset["labels"])
    inside = ([tag != outside for tag in tags] for tags in rows)
    return [WordedText.of_words(*pair) for pair in zip(sentences, inside, strict=True)]


def entity_words(texts: Iterable[WordedText]) -> set[str]:
    """Words in small letters that stand inside an entity somewhere."""
    pairs = (pair for text in texts for pair in zip(text.words, text.editable, strict=True))
    return {word.casefold() for word, editable in pairs if not editable and is_word(word)}


def running_words(texts: Iterable[WordedText], besides: Collection[str] = ()) -> Iterator[str]:
    """All words, without punctuation, numbers and the like, and without `besides` in any case."""
    words = (word for text in texts for word in text.words if is_word(word))
    return (word for word in words if not besides or word.casefold() not in besides)


def is_word(word: str) -> bool:
    """Whether it is letters and their marks, perhaps with hyphens and apostrophes inside."""
    if word.isalpha():
        return True
    return word[:1].isalpha() and all(
        char in _INNER or char.isalpha() or unicodedata.category(char).startswith("M")
        for char in word
    )


def same_case(word: str, model: str) -> str:
    """A word in small letters in capitals or with a capital where `model` is so; others as they are."""
    if not (is_word(word) and word.islower()):
        return word
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
