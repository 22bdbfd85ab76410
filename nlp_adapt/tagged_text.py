"""New text with predicted tags: one tag for each word, and the entities that they spell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from nlp_adapt.data.conll import split_words
from nlp_adapt.data.tagging import OUTSIDE, split_tag
from nlp_adapt.data.words import encode_words


class Entity(NamedTuple):
    """A stretch of a text that names something.

    Attributes:
        type: What it names, such as `PER`.
        start: Where it begins in the text, in characters.
        end: Where it ends, the end excluded.
        first_word: Index of its first word.
        end_word: Index of the word after its last.
        score: Mean probability of its tags.
    """

    type: str
    start: int
    end: int
    first_word: int
    end_word: int
    score: float


@dataclass(frozen=True)
class TaggedText:
    """A text, its words and their tags.

    Attributes:
        text: The text as it was given; words that came without a text are joined by spaces.
        spans: Where each word begins and ends in the text, in characters.
        tags: The BIO2 tag of each word, always well-formed.
        scores: The probability of each tag.
    """

    text: str
    spans: list[tuple[int, int]]
    tags: list[str]
    scores: list[float]

    @property
    def words(self) -> list[str]:
        """The words."""
        return [self.text[start:end] for start, end in self.spans]

    @property
    def entities(self) -> list[Entity]:
        """The entities, from left to right."""
        return [self._entity(first, end) for first, end in self._runs()]

    def to_dict(self) -> dict[str, Any]:
        """`text`, `tokens`, `tags` and `entities`, JSON-ready.

        An entity has `type`, `text`, `score`, and `start` and `end`, which count the characters
        (code points) of `text`, the end excluded.
        """
        entities = [
            {
                "type": entity.type,
                "text": self.text[entity.start : entity.end],
                "start": entity.start,
                "end": entity.end,
                "score": round(entity.score, 6),
            }
            for entity in self.entities
        ]
        return {"text": self.text, "tokens": self.words, "tags": self.tags, "entities": entities}

    def _runs(self) -> Iterator[tuple[int, int]]:
        first = None
        for index, tag in enumerate([*self.tags, OUTSIDE]):
            if first is not None and not tag.startswith("I-"):
                yield first, index
                first = None
            if tag.startswith("B-"):
                first = index

    def _entity(self, first: int, end: int) -> Entity:
        return Entity(
            type=split_tag(self.tags[first])[1],
            start=self.spans[first][0],
            end=self.spans[end - 1][1],
            first_word=first,
            end_word=end,
            score=sum(self.scores[first:end]) / (end - first),
        )


def tag_texts(predictor: Any, texts: Sequence[str]) -> list[TaggedText]:
    """Split plain texts into words (see `data.conll.split_words`) and tag them.

    Args:
        predictor: An `inference.Predictor` for token classification.
        texts: Plain texts; they may be empty.
    """
    split = [split_words(text) for text in texts]
    tagged = _tag(predictor, [[word for word, _, _ in words] for words in split])
    return [
        _tagged_text(text, [(start, end) for _, start, end in words], tags)
        for text, words, tags in zip(texts, split, tagged, strict=True)
    ]


def tag_words(predictor: Any, sentences: Sequence[Sequence[str]]) -> list[TaggedText]:
    """Tag sentences that are split into words already; every word gets exactly one tag.

    Args:
        predictor: An `inference.Predictor` for token classification.
        sentences: The words of each sentence; sentences may be empty.
    """
    tagged = _tag(predictor, sentences)
    return [
        _tagged_text(" ".join(words), _joined_spans(words), tags)
        for words, tags in zip(sentences, tagged, strict=True)
    ]


def _tag(predictor: Any, sentences: Sequence[Sequence[str]]) -> list[list[tuple[str, float]]]:
    rows = encode_words(sentences, predictor.tokenizer, predictor.max_length)
    return predictor.task.tag(predictor.logits(rows), rows, [len(words) for words in sentences])


def _tagged_text(
    text: str, spans: list[tuple[int, int]], tagged: list[tuple[str, float]]
) -> TaggedText:
    return TaggedText(text, spans, [tag for tag, _ in tagged], [score for _, score in tagged])


def _joined_spans(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where words stand once they are joined by single spaces."""
    ends = accumulate((len(word) + 1 for word in words), initial=0)
    return [(start, start + len(word)) for start, word in zip(ends, words, strict=False)]
