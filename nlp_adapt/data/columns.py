"""From raw columns to texts and label names: which column is which, and which rows are usable."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from nlp_adapt.data.labels import IGNORE, NO_LABELS, LabelMap, read_classes
from nlp_adapt.data.reading.annotations import ANSWER, holds_spans, rejected
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.data.reading.rows import (
    Table,
    UnusableCellError,
    has_text,
    listed,
    one_label,
    read_text,
    read_tokens,
)
from nlp_adapt.data.spans import words_and_tags
from nlp_adapt.data.tagging import read_tags
from nlp_adapt.errors import DataError
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted, were

# Names are compared without case, spaces, hyphens and underscores. Within a table, an earlier
# group wins; two columns of one group are ambiguous.
TEXT_NAMES = (
    ["text"],
    ["sentence", "review", "reviewtext", "reviewbody", "content", "body", "tweet", "comment",
     "document", "message", "post", "utterance", "snippet"],
)  # fmt: skip
LABEL_NAMES = (
    ["label", "labels"],
    ["sentiment", "rating", "ratings", "stars", "starrating", "score", "class", "category",
     "polarity", "target"],
)  # fmt: skip
PAIR_NAMES = (["textpair", "textb", "text2", "sentence2", "sentenceb", "hypothesis"],)
TOKEN_NAMES = (["tokens", "words"],)
TAG_NAMES = (["nertags"], ["tags", "labels", "nerlabels", "ner"])
SPAN_NAMES = (TAG_NAMES[0], ["entities", "ents", "spans"], TAG_NAMES[1], ["label"])  # beside a text


@dataclass(frozen=True)
class ReadOptions:
    """How to read a table; see `load_domain`."""

    task: str
    text_column: str | None = None
    label_column: str | None = None
    label_map: LabelMap = field(default_factory=lambda: LabelMap({}))
    max_rows: int | None = None
    seed: int = 42
    repair_tags: bool = False

    @property
    def tagging(self) -> bool:
        """Whether labels belong to tokens."""
        return self.task == TOKEN_CLASSIFICATION


@dataclass
class Examples:
    """Texts (or token lists), their label names (or BIO2 tags; None: unlabelled), their rows."""

    texts: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    ordered_names: list[str] = field(default_factory=list)  # as a ClassLabel column declares them
    notes: list[str] = field(default_factory=list)
    columns: list[tuple[str, str | None]] = field(default_factory=list)  # of text, of labels

    def extend(self, other: "Examples") -> None:
        """Append another table's examples."""
        for name, values in vars(other).items():
            getattr(self, name).extend(values)

    def where(self, chosen: Sequence[bool]) -> "Examples":
        """The examples for which `chosen` is true."""
        columns = (self.texts, self.labels, self.rows)
        return Examples(*(list(compress(values, chosen)) for values in columns))


class NoTextError(DataError):
    """No column looks like the text (or the words) of the task."""


def read_examples(table: Table, options: ReadOptions, unlabelled: bool = False) -> Examples:
    """Recognise a table's columns and read its rows, without their labels if `unlabelled`.

    Raises:
        DataError: A column is missing or ambiguous, or a label cannot be used.
    """
    text_column, split_text, label_column = _find_columns(table, options, unlabelled)
    wanted = [text_column, label_column, ANSWER if ANSWER in table.columns else None]
    table = table.narrow([*dict.fromkeys(filter(None, wanted))], options.max_rows, options.seed)
    examples = Examples(rows=list(table.rows), columns=[(text_column, label_column)])
    read = read_text if label_column and split_text else cell_reader(options.tagging, split_text)
    for i, value in enumerate(table.columns[text_column]):
        try:
            examples.texts.append(read(value))
        except UnusableCellError as error:
            raise DataError(f"{table.locate(i)} {error}") from None
    if label_column is None:
        examples.labels = [None] * len(table)
    else:
        table = _with_cells(table, label_column, options)
        if options.tagging and split_text:
            table = _divide(table, label_column, examples, options)
        _read_labels(table, label_column, examples, options)
    return _drop(examples, table.short_name, table.notes)


def _with_cells(table: Table, column: str, options: ReadOptions) -> Table:
    """The table with its labels as lists or single values, without those of rejected answers."""
    cells = [listed(v) if options.tagging else one_label(v) for v in table.columns[column]]
    features, notes = dict(table.features or {}), table.notes
    if not options.tagging and (inner := getattr(features.get(column), "feature", None)):
        features[column] = inner
    answers = table.columns.get(ANSWER, ()) if column != ANSWER else ()
    if away := [*compress(range(len(cells)), (answers and rejected(answers)) or ())]:
        for i in away:
            cells[i] = None
        notes += (
            f"{counted(len(away), 'row')} of {table.short_name} {were(len(away))} read as unlabelled: "
            "the answer is reject or ignore.",
        )
    return replace(table, columns={**table.columns, column: cells}, features=features, notes=notes)


def _divide(table: Table, column: str, examples: Examples, options: ReadOptions) -> Table:
    """The table with a list of tags in each cell; the texts become the words that these belong to."""
    if len(examples.texts) > 1 and not any(len(text.split()) > 1 for text in examples.texts):
        raise DataError(
            f"{table.short_name} has one word in each row, so nothing says where a sentence ends: give "
            "a row for each sentence, with lists of words and tags, or save CoNLL columns with an "
            "empty line between sentences."
        )
    examples.texts, cells, notes = words_and_tags(
        examples.texts,
        table.columns[column],
        named=options.label_column is not None,
        places=table.rows,
        name=table.short_name,
    )
    columns = {**table.columns, column: cells}
    return replace(table, columns=columns, notes=(*table.notes, *notes))


def _read_labels(table: Table, column: str, examples: Examples, options: ReadOptions) -> None:
    named = options.label_column is not None
    if not options.tagging:
        lists = [cell for cell in table.columns[column] if isinstance(cell, (list, dict))]
        if lists and holds_spans(lists):
            raise DataError(
                f"column {column!r} of {table.origin} holds entities, not classes: set task: "
                "token-classification, or name another column with label_column."
            )
        found = read_classes(table, column, options.label_map, named)
        examples.labels, examples.ordered_names, examples.notes = found
        return
    lengths = list(map(len, examples.texts))
    examples.labels, examples.notes = read_tags(
        table, column, lengths, options.label_map, options.repair_tags
    )


def _drop(examples: Examples, name: str, notes: Sequence[str]) -> Examples:
    """Leave out rows without text and rows whose label is ignored, and say so."""
    empty = [not has_text(text) for text in examples.texts]
    ignored = [label == IGNORE for label in examples.labels]
    kept = examples.where([not (e or i) for e, i in zip(empty, ignored, strict=True)])
    kept.ordered_names, kept.notes = examples.ordered_names, [*notes, *examples.notes]
    kept.columns = examples.columns
    if rows := list(compress(examples.rows, empty)):
        listed = ", ".join(rows[:5]) + (", ..." if len(rows) > 5 else ".")
        kept.notes.append(
            f"{counted(len(rows), 'empty row')} of {name} {were(len(rows))} left out: {listed}"
        )
    if count := sum(ignored):
        kept.notes.append(
            f"{counted(count, 'row')} of {name} {were(count)} left out, the label being ignored."
        )
    return kept


def _find_columns(
    table: Table, options: ReadOptions, unlabelled: bool
) -> tuple[str, bool, str | None]:
    """The text column, whether its text has yet to be split into words, and the label column."""
    text_column, split_text = find_text(table, options, unlabelled)
    if unlabelled or (options.label_column == NO_LABELS and NO_LABELS not in table.columns):
        return text_column, split_text, None
    label_column = _find_label(table, options, text_column, split_text)
    if options.tagging and not split_text and options.text_column is None:
        # Words without tags, beside them a text with entities, which count its characters.
        spans = label_column or _recognise(table, SPAN_NAMES, "label_column")
        if spans and holds_spans(table.columns[spans]):
            text = _recognise(table, TEXT_NAMES, "text_column")
            return (text, True, spans) if text else (text_column, split_text, label_column)
    return text_column, split_text, label_column


def find_text(table: Table, options: ReadOptions, unlabelled: bool = False) -> tuple[str, bool]:
    """The text column, and whether its text has yet to be split into words."""
    named = options.text_column
    if named is not None and (named in table.columns or not unlabelled):
        _require(table, named, "text_column")
        values = list(table.columns[named])[:100]
        filled = [value for value in values if value is not None and value != ""] or values
        return named, options.tagging and any(isinstance(listed(value), str) for value in filled)
    if options.tagging:
        tokens = _recognise(table, TOKEN_NAMES, "text_column")
        if tokens is not None and not holds_spans(table.columns[tokens]):
            return tokens, False
    text = _recognise(table, TEXT_NAMES, "text_column")
    if text is not None:
        if pair := _recognise(table, PAIR_NAMES, "text_column"):
            raise DataError(
                f"{table.origin} has pairs of texts ({text}, {pair}), and a model reads one text: "
                "join both in one column, or name the one to read with text_column."
            )
        return text, options.tagging
    if not options.tagging and (tokens := _recognise(table, TOKEN_NAMES, "text_column")):
        raise NoTextError(
            f"{table.origin} has words ({tokens}) and no column that looks like text: set task to "
            "token-classification (--task token-classification), or name the text with text_column."
        )
    hint = ""
    if any(len(str(column).split()) > 1 for column in table.columns):
        hint = "; if its first line is a row, put a line of names such as text,label above it"
    raise NoTextError(
        f"{table.origin} has no column that looks like {'tokens' if options.tagging else 'text'} "
        f"(columns: {_listed(table)}): name it with text_column{hint}."
    )


def _find_label(
    table: Table, options: ReadOptions, text_column: str, split_text: bool
) -> str | None:
    named = options.label_column
    if named is not None:
        _require(table, named, "label_column")
        return named
    groups = (SPAN_NAMES if split_text else TAG_NAMES) if options.tagging else LABEL_NAMES
    return _recognise(table, groups, "label_column", besides=text_column)


def _require(table: Table, column: str, option: str) -> None:
    if column not in table.columns:
        raise DataError(
            f"{table.origin} has no column {column!r}, which {option} names "
            f"(columns: {_listed(table)}); where the domains differ, name each side's with "
            f"source_{option} and target_{option}."
        )


def _recognise(
    table: Table, groups: Sequence[Sequence[str]], option: str, besides: str | None = None
) -> str | None:
    plain = {c: re.sub(r"[\s_-]", "", c).casefold() for c in table.columns if c != besides}
    for group in groups:
        found = [column for column, name in plain.items() if name in group]
        if len(found) > 1:
            raise DataError(
                f"{table.origin} has several columns that may be meant: {', '.join(found)}. "
                f"Name one with {option}."
            )
        if found:
            return found[0]
    return None


def _listed(table: Table) -> str:
    return ", ".join(table.columns) or "none"


def cell_reader(tagging: bool, split_text: bool) -> Callable[[Any], Any]:
    """What reads the cells of a text column: as text, or as words."""
    if split_text:
        return lambda value: [word for word, _, _ in split_words(read_text(value))]
    return read_tokens if tagging else read_text
