"""What goes wrong with spans, and whether it goes wrong on entities that training never showed.

Both look at the strict reading of the tags, the one that the headline F1 counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nlp_adapt.metrics.rows import (
    Span,
    check_same_lengths,
    paired_tags,
    spans_of,
    strict_entities,
    tag_rows,
)


def span_errors(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, int]:
    """Sort every true and every predicted span into exactly one class.

    Spans are matched one to one within a sentence, in this order:

    1. `correct`: same boundaries, same type.
    2. `wrong_type`: same boundaries, another type.
    3. `wrong_boundary`: the spans overlap and have the same type. The pair that shares most words
       is matched first, on a tie the leftmost; each span is matched once.
    4. What is left: a true span is `missed`, a predicted span is `spurious`. A pair that overlaps
       with both another type and other boundaries is one of each.

    So correct + wrong_type + wrong_boundary + missed is the number of true spans, and with
    spurious in place of missed the number of predicted ones.

    Args:
        references: True BIO tags, one list a sentence.
        predictions: Predicted BIO tags, of the same lengths.

    Returns:
        The counts `correct`, `wrong_type`, `wrong_boundary`, `missed`, `spurious`.

    Raises:
        DataError: There are no rows, lengths differ, or a tag is not BIO.
    """
    truth, guesses = paired_tags(references, predictions)
    return error_counts(spans_of(strict_entities(truth)), spans_of(strict_entities(guesses)))


def entity_surfaces(
    references: Sequence[Sequence[str]], tokens: Sequence[Sequence[str]]
) -> set[tuple[str, str]]:
    """Collect the entities of a data set, to tell later which ones training has shown.

    Args:
        references: BIO tags, one list a sentence.
        tokens: The words, of the same lengths.

    Returns:
        (surface, type) pairs; the surface is the case-folded words joined by spaces.

    Raises:
        DataError: Lengths differ, or a tag is not BIO.
    """
    rows = tag_rows(references, "references")
    check_same_lengths(tokens, rows, "tokens", "references")
    sentences = zip(tokens, spans_of(strict_entities(rows)), strict=True)
    return {_entity(words, span) for words, spans in sentences for span in spans}


def entity_novelty(
    train_entities: Iterable[tuple[str, str]],
    references: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    tokens: Sequence[Sequence[str]],
) -> dict[str, dict[str, Any]]:
    """Score entities that training has shown apart from those it has not.

    An entity is seen where training holds its surface form, letter case aside, with the same
    type. Recall looks at true spans and precision at predicted ones, each split by its own words
    and type; a correct prediction shares both with its reference, so it falls on the same side.

    Args:
        train_entities: (surface, type) pairs of the training entities, as from `entity_surfaces`.
        references: True BIO tags, one list a sentence.
        predictions: Predicted BIO tags, of the same lengths.
        tokens: The words, of the same lengths.

    Returns:
        `seen` and `unseen`, each with `precision`, `recall`, `f1` (0 where undefined), `support`
        (true spans) and `predicted` (predicted spans).

    Raises:
        DataError: There are no rows, lengths differ, or a tag is not BIO.
    """
    truth, guesses = paired_tags(references, predictions)
    check_same_lengths(tokens, truth, "tokens", "references")
    return novelty_scores(
        train_entities, spans_of(strict_entities(truth)), spans_of(strict_entities(guesses)), tokens
    )


def error_counts(truth: list[list[Span]], guesses: list[list[Span]]) -> dict[str, int]:
    """Count as `span_errors` does, from spans (one list a sentence) instead of tags."""
    counts = dict.fromkeys(("correct", "wrong_type", "wrong_boundary", "missed", "spurious"), 0)
    for true_spans, predicted_spans in zip(truth, guesses, strict=True):
        # Spans of one side never overlap, so boundaries identify a span within its sentence.
        true_types = {(span.start, span.end): span.type for span in true_spans}
        predicted_types = {(span.start, span.end): span.type for span in predicted_spans}
        same_boundaries = true_types.keys() & predicted_types.keys()
        for boundaries in same_boundaries:
            same_type = true_types[boundaries] == predicted_types[boundaries]
            counts["correct" if same_type else "wrong_type"] += 1
        true_rest = [span for span in true_spans if span[:2] not in same_boundaries]
        predicted_rest = [span for span in predicted_spans if span[:2] not in same_boundaries]
        overlapping = _overlapping_pairs(true_rest, predicted_rest)
        counts["wrong_boundary"] += overlapping
        counts["missed"] += len(true_rest) - overlapping
        counts["spurious"] += len(predicted_rest) - overlapping
    return counts


def novelty_scores(
    train_entities: Iterable[tuple[str, str]],
    truth: list[list[Span]],
    guesses: list[list[Span]],
    tokens: Sequence[Sequence[str]],
) -> dict[str, dict[str, Any]]:
    """Score as `entity_novelty` does, from spans (one list a sentence) instead of tags."""
    train = {(surface.casefold(), entity_type) for surface, entity_type in train_entities}
    counts = {side: {"correct": 0, "support": 0, "predicted": 0} for side in ("seen", "unseen")}
    for words, true_spans, predicted_spans in zip(tokens, truth, guesses, strict=True):
        for column, spans in (
            ("support", true_spans),
            ("predicted", predicted_spans),
            ("correct", set(true_spans) & set(predicted_spans)),
        ):
            for span in spans:
                counts["seen" if _entity(words, span) in train else "unseen"][column] += 1
    return {side: _precision_recall_f1(**count) for side, count in counts.items()}


def _entity(words: Sequence[str], span: Span) -> tuple[str, str]:
    return " ".join(words[span.start : span.end]).casefold(), span.type


def _overlapping_pairs(truth: list[Span], guesses: list[Span]) -> int:
    """Match overlapping spans of one type, largest overlap first, and count the pairs."""
    candidates = []
    for i, true in enumerate(truth):
        for j, guess in enumerate(guesses):
            shared = min(true.end, guess.end) - max(true.start, guess.start)
            if shared > 0 and true.type == guess.type:
                candidates.append((-shared, i, j))
    matched_truth: set[int] = set()
    matched_guesses: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in matched_truth and j not in matched_guesses:
            matched_truth.add(i)
            matched_guesses.add(j)
    return len(matched_truth)


def _precision_recall_f1(correct: int, support: int, predicted: int) -> dict[str, Any]:
    total = support + predicted
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / support if support else 0.0,
        "f1": 2 * correct / total if total else 0.0,
        "support": support,
        "predicted": predicted,
    }
