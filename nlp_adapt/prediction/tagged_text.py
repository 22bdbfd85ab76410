"""New text with predicted tags: one tag for each word, and the entities that they spell."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.data.tagging import split_tag
from nlp_adapt.names import OUTSIDE
from nlp_adapt.prediction.given_texts import read_sentences, read_texts


class Entity(NamedTuple):
    """A stretch of a text that names something, such as a `PER`.

    `start` and `end` count characters, `first_word` and `end_word` words, ends excluded; `score` is
    the mean probability of its tags.
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


class Words(NamedTuple):
    """A text, where its words begin and end in it in characters, and the words."""

    text: str
    spans: list[tuple[int, int]]
    words: list[str]


def split_text(text: str) -> Words:
    """The words of a plain text; see `data.reading.conll.split_words`."""
    found = split_words(text)
    return Words(text, [(start, end) for _, start, end in found], [word for word, _, _ in found])


def join_words(words: Sequence[str]) -> Words:
    """Words that came without a text, joined by single spaces."""
    ends = accumulate((len(word) + 1 for word in words), initial=0)
    spans = [(start, start + len(word)) for start, word in zip(ends, words, strict=False)]
    return Words(" ".join(words), spans, list(words))


def tag_texts(predictor: Any, texts: str | Iterable[str]) -> list[TaggedText]:
    """Split plain texts, which may be empty, into words and tag them.

    Words are those of `data.reading.conll.split_words`; the `Predictor` is for token classification.

    Raises:
        DataError: As `Predictor.predict`.
    """
    return _tag(predictor, [split_text(text) for text in read_texts(texts)])


def tag_words(predictor: Any, sentences: Iterable[Sequence[str]]) -> list[TaggedText]:
    """Tag sentences, which may be empty, that are split into words already; one tag a word.

    Raises:
        DataError: If one of them is something else, such as a text.
    """
    return _tag(predictor, [join_words(words) for words in read_sentences(sentences)])


def with_tags(
    sentences: Sequence[Words], tagged: Sequence[Sequence[tuple[str, float]]]
) -> list[TaggedText]:
    """Texts with the tag and the score of each of their words."""
    return [
        TaggedText(words.text, words.spans, [tag for tag, _ in tags], [score for _, score in tags])
        for words, tags in zip(sentences, tagged, strict=True)
    ]


def _tag(predictor: Any, sentences: Sequence[Words]) -> list[TaggedText]:
    words = [sentence.words for sentence in sentences]
    rows = encode_words(words, predictor.tokenizer, predictor.max_length)
    lengths = [len(sentence) for sentence in words]
    return with_tags(sentences, predictor.task.tag(predictor.logits(rows), rows, lengths))
