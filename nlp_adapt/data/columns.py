"""From raw columns to texts and label names: which column is which, and which rows are usable."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from nlp_adapt.data.labels import IGNORE, NO_LABELS, LabelMap, read_classes
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.data.reading.references import describe, read_reference
from nlp_adapt.data.reading.rows import Table
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
TOKEN_NAMES = (["tokens", "words"],)
TAG_NAMES = (["nertags"], ["tags", "labels", "nerlabels", "ner"])


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

    def extend(self, other: Examples) -> None:
        """Append another table's examples."""
        for name, values in vars(other).items():
            getattr(self, name).extend(values)

    def where(self, chosen: Sequence[bool]) -> Examples:
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
    text_column, split_text = find_text(table, options, unlabelled)
    label_column = None if unlabelled or split_text else _find_label(table, options, text_column)
    wanted = [column for column in (text_column, label_column) if column is not None]
    table = table.narrow(wanted, options.max_rows, options.seed)
    examples = Examples(rows=list(table.rows), columns=[(text_column, label_column)])
    read = cell_reader(options, split_text)
    for i, value in enumerate(table.columns[text_column]):
        try:
            examples.texts.append(read(value))
        except UnusableCellError as error:
            raise DataError(f"{table.locate(i)} {error}") from None
    if label_column is None:
        examples.labels = [None] * len(table)
    elif options.tagging:
        lengths = list(map(len, examples.texts))
        examples.labels, examples.notes = read_tags(
            table, label_column, lengths, options.label_map, options.repair_tags
        )
    else:
        named = options.label_column is not None
        examples.labels, examples.ordered_names, examples.notes = read_classes(
            table, label_column, options.label_map, named
        )
    return _drop(examples, table.short_name, table.notes)


def _drop(examples: Examples, name: str, notes: Sequence[str]) -> Examples:
    """Leave out rows without text and rows whose label is ignored, and say so."""
    empty = [not has_text(text) for text in examples.texts]
    ignored = [label == IGNORE for label in examples.labels]
    kept = examples.where([not (e or i) for e, i in zip(empty, ignored, strict=True)])
    kept.ordered_names, kept.notes = examples.ordered_names, [*notes, *examples.notes]
    kept.columns = examples.columns
    if rows := list(compress(examples.rows, empty)):
        listed = ", ".join(rows[:5]) + (", ..." if len(rows) > 5 else "")
        kept.notes.append(
            f"{counted(len(rows), 'empty row')} of {name} {were(len(rows))} left out: {listed}."
        )
    if count := sum(ignored):
        kept.notes.append(
            f"{counted(count, 'row')} of {name} {were(count)} left out, the label being ignored."
        )
    return kept


def find_text(table: Table, options: ReadOptions, unlabelled: bool = False) -> tuple[str, bool]:
    """The text column, and whether its text has yet to be split into words."""
    named = options.text_column
    if named is not None and (named in table.columns or not unlabelled):
        _require(table, named, "text_column")
        is_text = any(isinstance(value, str) for value in list(table.columns[named])[:100])
        return named, options.tagging and is_text
    if options.tagging:
        tokens = _recognise(table, TOKEN_NAMES, "text_column")
        if tokens is not None:
            return tokens, False
    text = _recognise(table, TEXT_NAMES, "text_column")
    if text is not None:
        return text, options.tagging
    tagged = not options.tagging and _recognise(table, TOKEN_NAMES, "text_column")
    hint = ", or set task: token-classification" if tagged else ""
    raise NoTextError(
        f"{table.origin} has no column that looks like {'tokens' if options.tagging else 'text'} "
        f"(columns: {_listed(table)}): name it with text_column{hint}."
    )


def _find_label(table: Table, options: ReadOptions, text_column: str) -> str | None:
    named = options.label_column
    if named == NO_LABELS and named not in table.columns:
        return None
    if named is not None:
        _require(table, named, "label_column")
        return named
    groups = TAG_NAMES if options.tagging else LABEL_NAMES
    return _recognise(table, groups, "label_column", besides=text_column)


def _require(table: Table, column: str, option: str) -> None:
    if column not in table.columns:
        raise DataError(
            f"{table.origin} has no column {column!r}, which {option} names "
            f"(columns: {_listed(table)})."
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


class UnusableCellError(Exception):
    """A cell that holds something else than text; `reason`, without advice, says what."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason + advice)
        self.reason = reason


def cell_reader(options: ReadOptions, split_text: bool) -> Callable[[Any], Any]:
    """What reads the cells of a text column: as text, or as words."""
    if split_text:
        return lambda value: [word for word, _, _ in split_words(read_text(value))]
    return _read_tokens if options.tagging else read_text


def read_text(value: Any) -> str:
    """The text of a cell, empty where it holds nothing; `UnusableCellError` for anything else."""
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise UnusableCellError(
            f"holds a {type(value).__name__} where text is expected",
            ": name another column with text_column.",
        )
    return encodable(value)


def _read_tokens(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UnusableCellError(
            "does not hold a list of tokens (strings)",
            ": name the column of tokens, or of plain text, with text_column.",
        )
    return [encodable(word) for word in value]


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, or the NaN that data frames put in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def has_text(text: str | list[str]) -> bool:
    """Whether there is more than white space in a text, or in one of its words."""
    return bool(text.strip()) if isinstance(text, str) else any(word.strip() for word in text)


def encodable(text: str) -> str:
    """JSON may escape half a surrogate pair, which no UTF-8 can hold: U+FFFD takes its place."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def classes_by_row(
    reference: Any, column: str, label_map: Mapping[str, str], task: str, quarantine: int = 0
) -> dict[str, str]:
    """The class that a column gives each row of a reference, all splits together.

    Takes what `load_domain` and `read_classes` take; the column labels whole rows whatever the
    task. Class names are by what a domain calls its rows ("file:line"); rows without are left out.
    """
    tables = [
        table
        for source in read_reference(reference, task, None, quarantine)
        for parts in source.splits.values()
        for table in parts
    ]
    if not any(column in table.columns for table in tables):
        names = dict.fromkeys(name for table in tables for name in table.columns)
        raise DataError(
            f"{describe(reference)} has no column {column!r} (columns: {', '.join(names)})."
        )
    found: dict[str, str] = {}
    seen: set[str] = set()
    mapping = LabelMap(label_map)
    for table in tables:
        if not seen.isdisjoint(table.rows):
            raise DataError(
                f"two files of {describe(reference)} are called {table.short_name}: rename one, so "
                "that their rows can be told apart."
            )
        seen.update(table.rows)
        if column in table.columns:
            labels, _, _ = read_classes(table, column, mapping, named=True)
            pairs = zip(table.rows, labels, strict=True)
            found |= {row: label for row, label in pairs if label is not None and label != IGNORE}
    mapping.refuse_unmet(describe(reference))
    return found
