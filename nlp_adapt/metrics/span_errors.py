"""Every true and every predicted span sorted into one kind of hit or error."""

from itertools import product

from nlp_adapt.metrics.rows import Span


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


def errors_by_type(truth: list[list[Span]], guesses: list[list[Span]]) -> dict[str, dict[str, int]]:
    """The counts of `error_counts` by true type; spurious spans by the type they were given."""
    types = sorted({span.type for rows in (truth, guesses) for row in rows for span in row})
    found = {}
    for kind in types:
        own = [[span for span in row if span.type == kind] for row in truth]
        # What shares its boundaries with another true type is the wrong type of that one.
        taken = [{span[:2] for span in row if span.type != kind} for row in truth]
        given = [
            [
                span
                for span in row
                if span[:2] not in others
                and (span.type == kind or span[:2] in {true[:2] for true in trues})
            ]
            for row, others, trues in zip(guesses, taken, own, strict=True)
        ]
        found[kind] = error_counts(own, given)
    return found


def _overlapping_pairs(truth: list[Span], guesses: list[Span]) -> int:
    """Match overlapping spans of one type, largest overlap first, and count the pairs."""
    shared = {
        (i, j): min(true.end, guess.end) - max(true.start, guess.start)
        for (i, true), (j, guess) in product(enumerate(truth), enumerate(guesses))
        if true.type == guess.type
    }
    matched_truth, matched_guesses = set[int](), set[int]()
    for i, j in sorted(shared, key=lambda pair: (-shared[pair], pair)):
        if shared[i, j] > 0 and i not in matched_truth and j not in matched_guesses:
            matched_truth.add(i)
            matched_guesses.add(j)
    return len(matched_truth)
