"""The part of `nlp-adapt predict` that is for taggers: one tag for each word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.data.columns import (
    ReadOptions,
    UnusableCellError,
    encodable,
    find_text,
    is_missing,
    read_text,
)
from nlp_adapt.data.labels import NO_LABELS
from nlp_adapt.data.reading.rows import Row, table_of
from nlp_adapt.prediction.files.labeller import Answer, Labeller, predicted
from nlp_adapt.prediction.likeness import group_means
from nlp_adapt.prediction.tagged_text import TaggedText, Words, join_words, split_text, with_tags

TEXT, TOKENS, TAGS, SCORES, ENTITIES = "text", "tokens", "tags", "scores", "entities"
WORDS_AT_A_TIME = 100_000
_ENTITY = {
    "type": "string",
    "text": "string",
    "start": "int64",
    "end": "int64",
    "score": "float64",
}


class WordLabeller(Labeller):
    """Tags words.

    A column of words is a list in each cell (in csv: a JSON list) and is tagged as it is; a column
    of text is split into words. What was not in the input is added: the words, or the text in which
    the entities' characters are counted.
    """

    split_already = False

    @property
    def labels(self) -> Sequence[str]:
        """The types of entities."""
        return self.predictor.task.entity_types

    def find_column(self, first: Sequence[Row], columns: Sequence[str], origin: str) -> str:
        """The column of words, or else that of texts."""
        options = ReadOptions(
            task=self.predictor.task.name, text_column=self.text_column, label_column=NO_LABELS
        )
        column, is_text = find_text(table_of(first, origin, columns), options)
        self.split_already = not is_text
        if self.text_column is not None:
            records = (row.record or {} for row in first)
            filled = [value for record in records if (value := record.get(column))]
            self.split_already = bool(filled) and all(
                _listed(value) is not None for value in filled
            )
        return column

    def types(self) -> dict[str, Any]:
        """The words or the text, `tags`, `scores`, `entities` and what was asked for."""
        scores = [f"score_{tag}" for tag in self.predictor.label_names] if self.all_scores else []
        distances = [] if self.likeness is None else self.likeness.columns
        return {
            **({TEXT: "string"} if self.split_already else {TOKENS: ["string"]}),
            TAGS: ["string"],
            **{name: ["float64"] for name in (SCORES, *scores)},
            ENTITIES: [_ENTITY],
            **dict.fromkeys(distances, "float64"),
        }

    def names(self, columns: Sequence[str], origin: str) -> dict[str, str]:
        """What is predicted stays together under one kind of name; the words or text go apart."""
        given, *rest = self.types()
        return {**predicted([given], columns, origin), **predicted(rest, columns, origin)}

    def read(self, value: Any) -> Words | None:
        """The words of a cell."""
        if self.split_already:
            listed = [] if is_missing(value) else _words_of(value)
            words = join_words([encodable(word) for word in listed])
        else:
            words = split_text(read_text(value))
        return words if words.words else None

    def answer(self, inputs: list[Words]) -> list[Answer]:
        """Tags, scores and entities of each text."""
        return [answer for part in _parts(inputs) for answer in self._answer(part)]

    def _answer(self, sentences: list[Words]) -> list[Answer]:
        lengths = [len(sentence.words) for sentence in sentences]
        rows = encode_words(
            [sentence.words for sentence in sentences],
            self.predictor.tokenizer,
            self.predictor.max_length,
        )
        task = self.predictor.task
        added: list[dict[str, Any]] = [{} for _ in sentences]
        if self.likeness is None:
            logits = self.predictor.logits(rows)
        else:
            logits, features = self.predictor.logits_and_features(rows)
            sentence_of = np.repeat(np.arange(len(sentences)), lengths)[rows.words]
            # A sentence whose words all vanish in tokenisation is like nothing.
            distances = self.likeness.rows(group_means(features, sentence_of))
            for place, own in zip(np.unique(sentence_of), distances, strict=True):
                added[place].update(own)
        tagged = with_tags(sentences, task.tag(logits, rows, lengths))
        if self.all_scores:
            scores = np.split(task.probabilities(logits, rows).round(6), np.cumsum(lengths)[:-1])
            for record, own in zip(added, scores, strict=True):
                columns = zip(self.predictor.label_names, own.T.tolist(), strict=True)
                record.update({f"score_{tag}": values for tag, values in columns})
        return [_answer(text, more) for text, more in zip(tagged, added, strict=True)]

    def blank(self) -> Answer:
        """Empty lists."""
        lists = [name for name, kind in self.types().items() if isinstance(kind, list)]
        return Answer({TEXT: "", TOKENS: [], **{name: [] for name in lists}}, ())


def _answer(text: TaggedText, more: dict[str, Any]) -> Answer:
    found = text.to_dict()
    return Answer(
        {**found, SCORES: [round(score, 6) for score in text.scores], **more},
        [entity["type"] for entity in found["entities"]],
    )


def _parts(inputs: list[Words]) -> Iterator[list[Words]]:
    """The inputs in groups of some thousand words, so that their features need little memory."""
    part: list[Words] = []
    held = 0
    for words in inputs:
        part.append(words)
        held += len(words.words)
        if held >= WORDS_AT_A_TIME:
            yield part
            part, held = [], 0
    if part:
        yield part


def _words_of(value: Any) -> list[str]:
    """The words in a cell: a list, or JSON of one."""
    words = _listed(value)
    if words is None:
        raise UnusableCellError(
            f"holds a {type(value).__name__} where a list of words is expected, such as "
            '["two", "words"]'
        )
    return words


def _listed(value: Any) -> list[str] | None:
    if isinstance(value, str):
        if not value.strip():
            return []
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    return None
