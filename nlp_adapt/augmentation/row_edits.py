"""Edited copies of labelled rows: what each edit needs to know, and the rows it makes.

Labels stay with the words they belong to. In tagging only words outside of entities are edited, and
only by words that the labelled rows never show inside of one: the tags stay true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlp_adapt.augmentation.domain_terms import DomainTermSwapper
from nlp_adapt.augmentation.infill import Infiller
from nlp_adapt.augmentation.texts import WordedText, is_word
from nlp_adapt.augmentation.word_edits import WordEditor, common_words
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel
from nlp_adapt.names import OUTSIDE, SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION

# New words of each text, and the positions of the words that they stand for.
Edit = Callable[[Sequence[WordedText], np.random.Generator], list[tuple[list[str], list[int]]]]


@dataclass(frozen=True)
class Corpus:
    """Texts of one domain as words, and what may be done with them.

    Attributes:
        texts: Each row's words.
        tagging: Whether the rows are sentences of tagged words.
        entity_words: Words that stand inside an entity somewhere, letter case aside.
    """

    texts: list[WordedText]
    tagging: bool
    entity_words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, dataset: Any) -> Corpus:
        """The rows of a canonical data set, with or without labels."""
        tagging = "tokens" in dataset.column_names
        if not tagging:
            return cls([WordedText.of_text(text) for text in dataset["text"][:]], tagging)
        sentences = dataset["tokens"][:]
        if "labels" not in dataset.column_names:
            return cls([WordedText.of_words(words) for words in sentences], tagging)
        outside = dataset.features["labels"].feature.names.index(OUTSIDE)
        inside = [[tag != outside for tag in tags] for tags in dataset["labels"][:]]
        pairs = list(zip(sentences, inside, strict=True))
        entity_words = frozenset(
            word.casefold()
            for words, flags in pairs
            for word, flag in zip(words, flags, strict=True)
            if flag
        )
        return cls([WordedText.of_words(*pair) for pair in pairs], tagging, entity_words)

    @classmethod
    def joined(cls, parts: Sequence[Corpus]) -> Corpus:
        """The texts of several domains as one."""
        texts = [text for part in parts for text in part.texts]
        words = frozenset[str]().union(*(part.entity_words for part in parts))
        return cls(texts, parts[0].tagging, words)

    def words(self) -> Iterator[str]:
        """All words, without punctuation, numbers and the like."""
        return (word for text in self.texts for word in text.words if is_word(word))

    def word_counts(self) -> Counter[str]:
        """How often each word that may be edited occurs, as it is written."""
        return Counter(
            word
            for text in self.texts
            for word, editable in zip(text.words, text.editable, strict=True)
            if editable and word.casefold() not in self.entity_words
        )

    def term_counts(self, entity_words: frozenset[str]) -> Counter[str]:
        """How often each word occurs that may be a term of the domain.

        In tagging only words in small letters: others may be names, which an edit of words outside
        of entities must not bring in.

        Args:
            entity_words: Words that stand inside an entity somewhere, letter case aside.
        """
        if not self.tagging:
            return Counter(word.casefold() for word in self.words())
        return Counter(
            word for word in self.words() if word.islower() and word.casefold() not in entity_words
        )


@dataclass(frozen=True)
class EditedRows:
    """Edited copies of a data set.

    Attributes:
        dataset: The copies, in canonical columns with labels.
        unchanged: Copies that came out as they were, and are left out.
        words: Words in the copies' originals that could be edited.
        edited: How many of them were.
    """

    dataset: Any
    unchanged: int = 0
    words: int = 0
    edited: int = 0


def row_edit(
    kind: str,
    rate: float,
    *,
    source: Corpus,
    target: Corpus | None = None,
    tokenizer: Any = None,
    embeddings: np.ndarray | None = None,
    language_model: MaskedLanguageModel | None = None,
    max_length: int = 128,
    show_progress: bool = False,
) -> Edit:
    """The edit `kind`, with what it learns from the texts.

    Args:
        kind: One of `config.ROW_EDITS`.
        rate: Share of words that are edited; with `domain_terms`, of the source's terms.
        source: The labelled rows.
        target: The target's texts, without labels; for `domain_terms`.
        tokenizer: The encoder's tokenizer; that of the language model, for `infill`.
        embeddings: `[vocabulary, size]` input embeddings; for `domain_terms`.
        language_model: Fills in words; for `infill`.
        max_length: Longest text in tokens; for `infill`.
        show_progress: Whether `infill` shows a bar.

    Raises:
        ConfigError: If the edit is unknown, or cannot be made from this.
    """
    if kind == "infill":
        assert language_model is not None
        allowed = source.word_counts() if source.tagging else None
        infiller = Infiller(
            language_model,
            tokenizer,
            rate,
            max_length=max_length,
            allowed=allowed,
            kept=common_words(Counter(word.casefold() for word in source.words())),
            show_progress=show_progress,
        )
        return lambda texts, generator: [_in_place(one) for one in infiller.fill(texts, generator)]
    if kind == "domain_terms":
        if target is None:
            raise ConfigError("domain_terms needs a target domain: set `target`.")
        assert embeddings is not None
        names = source.entity_words
        swapper = DomainTermSwapper.from_corpora(
            source.term_counts(names),
            target.term_counts(names),
            tokenizer,
            embeddings,
            rate=rate,
            fold_case=not source.tagging,
        )
        return lambda texts, generator: [
            _in_place(swapper.swap(text.words, generator, text.editable)) for text in texts
        ]
    mask_token = getattr(tokenizer, "mask_token", None)
    if kind == "mask" and mask_token is None:
        raise ConfigError("edit 'mask': the tokenizer has no mask token; use delete or replace.")
    counts = source.word_counts() if kind == "replace" else None
    editor = WordEditor(kind, rate, counts, mask_token or "")
    return lambda texts, generator: [
        editor.edit(text.words, generator, text.editable) for text in texts
    ]


def edited_rows(
    dataset: Any, corpus: Corpus, edit: Edit, copies: int, seed: Sequence[int]
) -> EditedRows:
    """Edited copies of every row, those that came out unchanged left out.

    Args:
        dataset: Labelled rows in canonical columns.
        corpus: The same rows as words.
        edit: See `row_edit`.
        copies: Copies of each row.
        seed: Seed of the choices; another number of copies leaves the first ones as they are.
    """
    label = "labels" if corpus.tagging else "label"
    labels, places = dataset[label][:], dataset["row"][:]
    made = _Rows()
    for number in range(1, copies + 1):
        generator = np.random.default_rng([*seed, number])
        edited = edit(corpus.texts, generator)
        for index, (text, (words, positions)) in enumerate(zip(corpus.texts, edited, strict=True)):
            if words == text.words:
                made.unchanged += 1
                continue
            own = labels[index]
            made.labels.append([own[i] for i in positions] if corpus.tagging else own)
            made.texts.append(words if corpus.tagging else text.join(words, positions))
            made.rows.append(f"{places[index]}, copy {number}")
            made.words += int(text.editable.sum())
            made.edited += _changes(text.words, words)
    feature = dataset.features[label]
    names = getattr(feature, "feature", feature).names
    task = TOKEN_CLASSIFICATION if corpus.tagging else SEQUENCE_CLASSIFICATION
    copied = make_dataset(task, made.texts, made.rows, made.labels, names)
    return EditedRows(copied, made.unchanged, made.words, made.edited)


@dataclass
class _Rows:
    texts: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    unchanged: int = 0
    words: int = 0
    edited: int = 0


def _in_place(words: list[str]) -> tuple[list[str], list[int]]:
    return words, list(range(len(words)))


def _changes(before: Sequence[str], after: Sequence[str]) -> int:
    """Words that are gone, or are others than before in their place."""
    if len(after) < len(before):
        return len(before) - len(after)
    return sum(one != other for one, other in zip(before, after, strict=True))
