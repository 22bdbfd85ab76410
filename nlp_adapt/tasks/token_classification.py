"""Token classification, such as named-entity recognition: one BIO2 tag for each word."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.words import encode_words, scatter_to_words
from nlp_adapt.data.tagging import entity_types, repair_bio2
from nlp_adapt.errors import DataError
from nlp_adapt.metrics import entity_surfaces, span_metrics
from nlp_adapt.metrics.calibration import probabilities
from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance
from nlp_adapt.names import IGNORED_LABEL, OUTSIDE, TOKEN_CLASSIFICATION, label_key
from nlp_adapt.tasks.base import Measure, Task


class TokenClassification(Task):
    """One tag for each word, read from the word's first piece.

    A word's tag is the most probable one, and an `I-` that continues nothing opens an entity: so
    conlleval reads it, and `pipeline(..., aggregation_strategy="simple")`. Scores and what users
    get (`tag`) follow this one reading, so that a run's scores are those of what `predict` writes.
    """

    name: ClassVar[str] = TOKEN_CLASSIFICATION
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    pipeline_tag: ClassVar[str] = "token-classification"
    measures: ClassVar = (
        Measure("f1", "span F1", "f1"),
        Measure("precision", "precision", "precision"),
        Measure("recall", "recall", "recall"),
    )
    main_metric: ClassVar[str] = "f1"
    units_are_words: ClassVar[bool] = True

    def __init__(self, label_names: Sequence[str]) -> None:
        super().__init__(label_names)
        if OUTSIDE not in self.label_names:
            raise DataError(
                f"the tags {', '.join(self.label_names)} lack '{OUTSIDE}': token classification "
                "needs a tag for the words outside of entities."
            )
        self._seen_entities: set[tuple[str, str]] | None = None

    @property
    def outside(self) -> int:
        """Index of the tag `O`."""
        return self.label_names.index(OUTSIDE)

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The types that the model can predict, sorted."""
        return entity_types(self.label_names)

    def encode(self, dataset: Any, tokenizer: Any, max_length: int) -> EncodedRows:
        """Tokenise the column `tokens`; see `data.batches.words.encode_words`.

        Tags that the model lacks are -100 here, since nothing can be learned from them; `metrics`
        counts them in full.
        """
        labels = None
        if "labels" in dataset.column_names:
            index = {label_key(name): position for position, name in enumerate(self.label_names)}
            names = dataset.features["labels"].feature.names
            known = np.array([index.get(label_key(name), IGNORED_LABEL) for name in names])
            raw = np.fromiter(chain.from_iterable(dataset["labels"][:]), dtype=np.int64)
            labels = np.where(raw >= 0, known[raw.clip(0)], IGNORED_LABEL)
        return encode_words(dataset["tokens"][:], tokenizer, max_length, labels)

    def remember(self, dataset: Any) -> None:
        """Note the entities of the training rows: `metrics` then scores new ones apart."""
        self._seen_entities = entity_surfaces(self._true_tags(dataset), dataset["tokens"][:])

    def metrics(self, logits: np.ndarray, encoded: EncodedRows, dataset: Any) -> dict[str, Any]:
        """Span scores over every word; those that vanished in tokenisation count as `O`."""
        sentences = dataset["tokens"][:]
        return span_metrics(
            self._true_tags(dataset),
            self.decode(logits, encoded, [len(words) for words in sentences]),
            tokens=sentences,
            seen_entities=self._seen_entities,
            model_types=self.entity_types,
        )

    def source_quality(self, logits: np.ndarray, encoded: EncodedRows) -> tuple[float, float]:
        """Span F1 of well-formed tags, row by row, and its variance; unlabelled words count not."""
        known = encoded.labels != IGNORED_LABEL
        truth = np.where(known, encoded.labels, self.outside)
        guesses = np.where(known, logits.argmax(-1), self.outside)
        tags = TagSet.of(self.label_names)
        return f1_with_variance(count_spans(truth, guesses, encoded.unit_offsets, tags))

    def decode(
        self, logits: np.ndarray, encoded: EncodedRows, sentence_lengths: Sequence[int]
    ) -> list[list[str]]:
        """The most probable tag of every word, sentence by sentence, made well-formed.

        `logits` are `[units, classes]`; `sentence_lengths` count words, vanished ones included.
        """
        best = scatter_to_words(logits.argmax(-1), encoded, self.outside)
        tags = _by_sentence([self.label_names[index] for index in best], sentence_lengths)
        return [repair_bio2(row) for row in tags]

    def tag(
        self, logits: np.ndarray, encoded: EncodedRows, sentence_lengths: Sequence[int]
    ) -> list[list[tuple[str, float]]]:
        """A well-formed tag for every word with its probability, sentence by sentence.

        A word that vanished in tokenisation is `O` by rule, with probability 1. A repaired tag
        keeps the probability of the tag that the model gave.
        """
        best = self.probabilities(logits, encoded).max(-1).tolist()
        scores = _by_sentence(best, sentence_lengths)
        tags = self.decode(logits, encoded, sentence_lengths)
        return [
            list(zip(row, row_scores, strict=True))
            for row, row_scores in zip(tags, scores, strict=True)
        ]

    def probabilities(self, logits: np.ndarray, encoded: EncodedRows) -> np.ndarray:
        """The probability of each tag for every word, `[words, classes]` in float64.

        A word that vanished in tokenisation is `O` by rule.
        """
        return scatter_to_words(
            probabilities(logits), encoded, np.eye(len(self.label_names))[self.outside]
        )

    def _true_tags(self, dataset: Any) -> list[list[str]]:
        """The tags of a labelled data set, spelled as the model spells them where it has them."""
        if "labels" not in dataset.column_names:
            raise DataError("these rows have no tags: only labelled rows can be scored.")
        spelling = {label_key(name): name for name in self.label_names}
        names = [
            spelling.get(label_key(name), name) for name in dataset.features["labels"].feature.names
        ]
        return [[names[index] for index in row] for row in dataset["labels"][:]]


def _by_sentence(values: Sequence[Any], lengths: Sequence[int]) -> list[list[Any]]:
    ends = np.cumsum(lengths, dtype=np.int64)
    return [list(values[end - size : end]) for end, size in zip(ends, lengths, strict=True)]
