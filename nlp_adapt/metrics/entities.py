"""From BIO tags to entities, in the strict reading, with seqeval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_adapt.metrics.rows import check_pair, check_same_lengths, tag_rows

if TYPE_CHECKING:
    from seqeval.scheme import Entities


class Span(NamedTuple):
    """An entity in a sentence: words `start` to `end`, the end excluded."""

    start: int
    end: int
    type: str


def paired_tags(references: Any, predictions: Any) -> tuple[list[list[str]], list[list[str]]]:
    """Read two columns of BIO tags that must agree row by row.

    Raises:
        DataError: There are no rows, lengths differ, or a tag is not BIO.
    """
    truth, guesses = tag_rows(references, "references"), tag_rows(predictions, "predictions")
    check_pair(truth, guesses)
    check_same_lengths(truth, guesses, "references", "predictions")
    return truth, guesses


def strict_entities(rows: list[list[str]]) -> Entities:
    """Extract the entities of the strict reading, with seqeval."""
    from seqeval.scheme import IOB2, Entities

    return Entities(rows, IOB2)


def spans_of(entities: Entities) -> list[list[Span]]:
    """List the spans of each sentence, from left to right; they do not overlap."""
    return [[Span(e.start, e.end, e.tag) for e in sentence] for sentence in entities.entities]
