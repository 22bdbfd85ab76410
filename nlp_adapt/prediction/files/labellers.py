"""What `nlp-adapt predict` adds to a row: a label for a text, or a tag for each of its words."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.data.columns import ReadOptions, find_text
from nlp_adapt.data.labels import NO_LABELS
from nlp_adapt.data.reading.rows import Row, has_text, read_text, read_tokens, table_of
from nlp_adapt.errors import DataError
from nlp_adapt.prediction.likeness import group_means
from nlp_adapt.prediction.tagged_text import Words, join_words, split_text, with_tags

WORDS_AT_A_TIME = 100_000
_ENTITY = {"type": "string", "text": "string", "start": "int64", "end": "int64", "score": "float64"}


class Answer(NamedTuple):
    """What is added to one row: values by new column, and the labels that the summary counts."""

    values: Mapping[str, Any]
    labels: Sequence[str]


@dataclass
class Labeller(ABC):
    """How a task reads a cell, and what it adds to the row.

    Args:
        likeness: A `Likeness`, to add how far texts are from the training domains.
    """

    predictor: Any
    text_column: str | None = None
    all_scores: bool = False
    likeness: Any = None

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """What the summary counts, in order."""

    def find_column(self, first: Sequence[Row], columns: Sequence[str], origin: str) -> str:
        """The column to read, recognised by the first readable rows."""
        return self._find_text(first, columns, origin)[0]

    @abstractmethod
    def types(self) -> dict[str, Any]:
        """The new columns in order, with their types; known once the column is found."""

    def names(self, columns: Sequence[str], origin: str) -> dict[str, str]:
        """What the new columns are called beside the input's."""
        return _predicted(list(self.types()), columns, origin)

    @abstractmethod
    def read(self, value: Any) -> Any:
        """What the model reads of a cell, or None where it holds no text."""

    @abstractmethod
    def answer(self, inputs: list[Any]) -> list[Answer]:
        """The answers for what `read` gave, in order."""

    @abstractmethod
    def blank(self) -> Answer:
        """The answer for a row without text."""

    def _find_text(
        self, first: Sequence[Row], columns: Sequence[str], origin: str
    ) -> tuple[str, bool]:
        task = self.predictor.task.name
        options = ReadOptions(task=task, text_column=self.text_column, label_column=NO_LABELS)
        return find_text(table_of(first, origin, columns), options)

    def _extra_columns(self) -> tuple[list[str], list[str]]:
        """The columns of `all_scores` and those of `likeness`."""
        labels = self.predictor.label_names if self.all_scores else []
        distances = [] if self.likeness is None else self.likeness.columns
        return [f"score_{label}" for label in labels], distances


class TextLabeller(Labeller):
    """Labels texts."""

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels."""
        return self.predictor.label_names

    def types(self) -> dict[str, Any]:
        """`label`, `score` and what was asked for."""
        scores, distances = self._extra_columns()
        return {"label": "string", **dict.fromkeys(("score", *scores, *distances), "float64")}

    def read(self, value: Any) -> str | None:
        """The text as tokenizers can read it."""
        text = read_text(value)
        return text if has_text(text) else None

    def answer(self, inputs: list[str]) -> list[Answer]:
        """Label and scores of each text."""
        extra: Sequence[Mapping[str, float]] = [{}] * len(inputs)
        if self.likeness is None:
            predictions = self.predictor.predict(inputs)
        else:
            predictions, features = self.predictor.predict_with_features(inputs)
            extra = self.likeness.rows(features)
        answers = []
        for found, likeness in zip(predictions, extra, strict=True):
            scores = {f"score_{name}": round(s, 6) for name, s in found["scores"].items()}
            values = {"label": found["label"], "score": round(found["score"], 6)}
            answers.append(Answer({**values, **scores, **likeness}, (found["label"],)))
        return answers

    def blank(self) -> Answer:
        """Empty cells."""
        return Answer({}, ())


class WordLabeller(Labeller):
    """Tags words.

    Lists of words, also those that csv holds as text, are tagged as they are, texts are split into words. What the
    input lacks is added: the words, or the text in which the entities' characters are counted.
    """

    split_already = False

    @property
    def labels(self) -> Sequence[str]:
        """The types of entities."""
        return self.predictor.task.entity_types

    def find_column(self, first: Sequence[Row], columns: Sequence[str], origin: str) -> str:
        """The column of words, or else that of texts."""
        column, is_text = self._find_text(first, columns, origin)
        self.split_already = not is_text
        return column

    def types(self) -> dict[str, Any]:
        """The words or the text, `tags`, `scores`, `entities` and what was asked for."""
        scores, distances = self._extra_columns()
        return {
            **({"text": "string"} if self.split_already else {"tokens": ["string"]}),
            "tags": ["string"],
            **{name: ["float64"] for name in ("scores", *scores)},
            "entities": [_ENTITY],
            **dict.fromkeys(distances, "float64"),
        }

    def names(self, columns: Sequence[str], origin: str) -> dict[str, str]:
        """What is predicted stays together under one kind of name; the words or text go apart."""
        given, *rest = self.types()
        return {**_predicted([given], columns, origin), **_predicted(rest, columns, origin)}

    def read(self, value: Any) -> Words | None:
        """The words of a cell."""
        if self.split_already:
            words = join_words(read_tokens(value))
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
        answers = []
        for text, more in zip(tagged, added, strict=True):
            values = {**text.to_dict(), "scores": [round(score, 6) for score in text.scores]}
            types = [entity["type"] for entity in values["entities"]]
            answers.append(Answer({**values, **more}, types))
        return answers

    def blank(self) -> Answer:
        """Empty lists."""
        lists = [name for name, kind in self.types().items() if isinstance(kind, list)]
        return Answer({"text": "", "tokens": [], **{name: [] for name in lists}}, ())


def _predicted(names: Sequence[str], columns: Sequence[str], origin: str) -> dict[str, str]:
    """Names for new columns that the input does not have.

    Where it has one of them, all are called `predicted_...`, so that they stay together.
    """
    if not any(name in columns for name in names):
        return {name: name for name in names}
    renamed = {name: f"predicted_{name}" for name in names}
    for name in renamed.values():
        if name in columns:
            raise DataError(
                f"{origin} already has a column '{name}': rename it, so that it is not lost."
            )
    return renamed


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
