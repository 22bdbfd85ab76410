"""The rows to be scored, checked: an error names the row before any arithmetic starts.

Rows count from 0, as in a `datasets.Dataset`.
"""

import operator
import reprlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, NamedTuple

from nlp_adapt.errors import DataError
from nlp_adapt.names import OUTSIDE

Tags = list[list[str]]
"""BIO tags, one list a sentence."""


class Span(NamedTuple):
    """An entity in a sentence: words `start` to `end`, the end excluded."""

    start: int
    end: int
    type: str


def label_ids(values: Any, column: str) -> list[int]:
    """Read class ids as plain integers.

    Args:
        values: Class ids of shape (rows,): a list, an array, a tensor or a dataset column.

    Raises:
        DataError: A row is not a whole number, or is unlabelled (None, -100 or another negative).
            Unlabelled rows are refused because dropping them would change what is measured.
    """
    ids = []
    for row, value in enumerate(_plain(values, column)):
        if value is None:
            raise _unlabelled(row, value, column)
        try:
            label = operator.index(value)
        except TypeError:
            raise DataError(
                f"Row {row} of the {column} is {reprlib.repr(value)}, not a class id: give whole "
                "numbers (to evaluate.evaluator, pass label_mapping=model.config.label2id)."
            ) from None
        if label < 0:
            raise _unlabelled(row, label, column)
        ids.append(label)
    return ids


def tag_rows(rows: Any, column: str) -> Tags:
    """Read BIO tag sequences as lists of strings.

    Args:
        rows: One sequence of tags a sentence: `O`, `B-<type>` or `I-<type>`. Sentences may be
            empty. Ill-formed sequences (an `I-` with nothing before it) are a matter of scoring,
            not an error.

    Raises:
        DataError: A row is not a sequence of BIO tags.
    """
    sentences = []
    known = {OUTSIDE}
    for row, tags in enumerate(_plain(rows, column)):
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise DataError(
                f"Row {row} of the {column} is {reprlib.repr(tags)}, not a list of tags: "
                "give one list of tag names for each sentence."
            )
        sentence = list(tags)
        for position, tag in enumerate(sentence):
            if tag not in known:
                if not _is_bio(tag):
                    raise DataError(
                        f"Row {row} of the {column} has {tag!r} at position {position}, which is "
                        "no BIO tag: use O, B-<type> and I-<type>, and convert other schemes first."
                    )
                known.add(tag)
        sentences.append([str(tag) for tag in sentence])
    return sentences


def paired_tags(references: Any, predictions: Any) -> tuple[Tags, Tags]:
    """Read two columns of BIO tags that must agree row by row."""
    truth, guesses = tag_rows(references, "references"), tag_rows(predictions, "predictions")
    check_pair(truth, guesses)
    check_same_lengths(truth, guesses, "references", "predictions")
    return truth, guesses


def spans_of(rows: Tags, *, lenient: bool = False) -> list[list[Span]]:
    """List the entities of each sentence, from left to right; they do not overlap.

    An entity starts with `B-` and goes on with `I-` of its type. An `I-` that continues nothing is
    outside, or with `lenient` starts an entity.
    """
    return [list(_spans(tags, lenient)) for tags in rows]


def _spans(tags: Sequence[str], lenient: bool) -> Iterator[Span]:
    start, kind = 0, ""  # no type is empty
    for position, tag in enumerate([*tags, OUTSIDE]):
        inside = tag[0] == "I"
        if inside and tag[2:] == kind:
            continue
        if kind:
            yield Span(start, position, kind)
        starts = tag[0] == "B" or (inside and lenient)
        start, kind = position, tag[2:] if starts else ""


def check_pair(references: Sized, predictions: Sized, references_name: str = "references") -> None:
    """Check that there are rows, and that each has its prediction."""
    if len(references) == 0 and len(predictions) == 0:
        raise DataError("There are no rows to score: give at least one labelled row.")
    check_same_rows(references, predictions, references_name, "predictions")


def check_same_rows(first: Sized, second: Sized, first_name: str, second_name: str) -> None:
    """Check that two columns have the same number of rows."""
    if len(first) != len(second):
        longer, shorter = first_name, second_name
        if len(first) < len(second):
            longer, shorter = second_name, first_name
        raise DataError(
            f"Row {min(len(first), len(second))} of the {longer} has no partner among the "
            f"{shorter}: there are {len(first)} {first_name} and {len(second)} {second_name}."
        )


def check_same_lengths(
    first: Sequence[Sized], second: Sequence[Sized], first_name: str, second_name: str
) -> None:
    """Check that two columns of sequences have the same lengths, row by row."""
    check_same_rows(first, second, first_name, second_name)
    for row, (one, other) in enumerate(zip(first, second, strict=True)):
        if len(one) != len(other):
            raise DataError(
                f"Row {row} has {len(one)} items in the {first_name} and {len(other)} in the "
                f"{second_name}: each word needs exactly one of each."
            )


def _plain(values: Any, column: str) -> Iterable[Any]:
    """Turn arrays and tensors into Python lists; refuse what has no rows at all."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise DataError(f"The {column} are {reprlib.repr(values)}: give one value for each row.")
    return values


def _unlabelled(row: int, value: int | None, column: str) -> DataError:
    return DataError(
        f"Row {row} of the {column} is unlabelled ({value}): leave unlabelled rows out before "
        "scoring."
    )


def _is_bio(tag: Any) -> bool:
    if not isinstance(tag, str) or tag[:2] not in ("B-", "I-"):
        return False
    # seqeval and its kin strip hyphens around a type: such types would score otherwise elsewhere.
    return tag[2:] != "" and tag[2:] == tag[2:].strip("-")
