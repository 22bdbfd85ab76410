"""How well entities are found: span precision, recall and F1, as the field reports them.

Two readings of the same tags, both as seqeval has them. *Strict* follows BIO to the letter: an entity
starts with `B-`, and an `I-` that continues nothing is no entity. *Lenient* is conlleval's reading
(Tjong Kim Sang and De Meulder 2003): an `I-` that continues nothing starts an entity. They agree
on well-formed tags, so the gap between them is what ill-formed predictions cost.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.metrics.rows import Span, Tags, check_same_lengths, paired_tags, spans_of, tag_rows
from nlp_adapt.metrics.span_counts import f1_with_variance
from nlp_adapt.names import OUTSIDE


def span_metrics(
    references: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    *,
    tokens: Sequence[Sequence[str]] | None = None,
    seen_entities: Iterable[tuple[str, str]] | None = None,
    model_types: Collection[str] | None = None,
) -> dict[str, Any]:
    """Score predicted entities. A span counts where its boundaries and its type are both right.

    Macro averages run over the types that occur among the references or the predictions.
    A type that the model does not have is not left out: its entities count as missed, in the
    micro and the macro averages, and it is named in `uncovered_types`.

    Args:
        references: True BIO tags, one list a sentence.
        predictions: Predicted BIO tags, of the same lengths.
        tokens: The words, of the same lengths. Needed for `novelty`.
        seen_entities: The training entities, as from `entity_surfaces`. Asks for `novelty`.

    Returns:
        Plain Python values, JSON-ready. Strict: `f1`, `precision`, `recall` (micro), `macro_f1`,
        `macro_precision`, `macro_recall`, `support`, `per_type` (type to `precision`, `recall`,
        `f1`, `support`), `f1_variance` (of sampling other sentences). `lenient`: the same keys in
        the lenient reading. `errors`: how many spans are `correct`, `wrong_type`,
        `wrong_boundary`, `missed` and `spurious`, each in one of them; `errors_by_type` has the
        same for each type, where a span of a wrong type counts under the true one.
        `covered_types` and `uncovered_types` split the reference types by whether the model has
        them, and `model_only_types` are its types without a reference; all three are None without
        `model_types`. `novelty`, where asked for: `seen` and `unseen`, by whether training has
        shown an entity's words with its type, each with `precision`, `recall`, `f1`, `support`
        (true spans) and `predicted` (predicted spans). Undefined ratios are 0.

    Raises:
        DataError: There are no rows, lengths differ, a tag is not BIO, or a prediction has a type
            that is not in `model_types`.
        ConfigError: `seen_entities` is given without `tokens`.
    """
    truth, guesses = paired_tags(references, predictions)
    true_spans, predicted_spans = spans_of(truth), spans_of(guesses)
    lenient = (spans_of(rows, lenient=True) for rows in (truth, guesses))
    result = {
        **_scores(true_spans, predicted_spans),
        "f1_variance": f1_with_variance(_counts_by_sentence(true_spans, predicted_spans))[1],
        "lenient": _scores(*lenient),
        "errors": _error_counts(true_spans, predicted_spans),
        "errors_by_type": _errors_by_type(true_spans, predicted_spans),
        **_coverage(truth, guesses, model_types),
    }
    if seen_entities is not None:
        if tokens is None:
            raise ConfigError("Entity novelty compares surface forms: give tokens as well.")
        check_same_lengths(tokens, truth, "tokens", "references")
        result["novelty"] = _novelty_scores(seen_entities, true_spans, predicted_spans, tokens)
    return result


def entity_surfaces(
    references: Sequence[Sequence[str]], tokens: Sequence[Sequence[str]]
) -> set[tuple[str, str]]:
    """Collect the entities of a data set, to tell later which ones training has shown.

    Returns:
        (surface, type) pairs; the surface is the case-folded words joined by spaces.

    Raises:
        DataError: Lengths differ, or a tag is not BIO.
    """
    rows = tag_rows(references, "references")
    check_same_lengths(tokens, rows, "tokens", "references")
    sentences = zip(tokens, spans_of(rows), strict=True)
    return {_entity(words, span) for words, spans in sentences for span in spans}


def _counts_by_sentence(truth: list[list[Span]], guesses: list[list[Span]]) -> np.ndarray:
    """As `count_spans` gives them: the sentence is what is sampled."""
    both = zip(truth, guesses, strict=True)
    return np.array([(len({*true} & {*said}), len(true), len(said)) for true, said in both])


def _tally(
    truth: Sequence[Sequence[Span]],
    guesses: Sequence[Sequence[Span]],
    kind: Callable[[int, Span], str],
) -> dict[str, Counter[str]]:
    """How many spans of each kind are true, predicted and both; `kind` is told sentence and span."""
    counts: dict[str, Counter[str]] = {}
    for row, (true, guessed) in enumerate(zip(truth, guesses, strict=True)):
        both = set(true) & set(guessed)
        for key, spans in (("support", true), ("predicted", guessed), ("correct", both)):
            for span in spans:
                counts.setdefault(kind(row, span), Counter())[key] += 1
    return counts


def _scores(truth: Sequence[Sequence[Span]], guesses: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Micro scores, those of each type, and the macro average over the types."""
    counts = _tally(truth, guesses, lambda row, span: span.type)
    per_type = {name: _of_counts(counts[name]) for name in sorted(counts)}
    macro = {
        f"macro_{key}": sum(scores[key] for scores in per_type.values()) / max(len(per_type), 1)
        for key in ("f1", "precision", "recall")
    }
    micro = _of_counts(sum(counts.values(), Counter()))
    support = micro.pop("support")
    return {
        **{key: micro[key] for key in ("f1", "precision", "recall")},
        **macro,
        "support": support,
        "per_type": per_type,
    }


def _of_counts(counts: Counter[str]) -> dict[str, Any]:
    """F1 as the harmonic mean, in the order of operations of seqeval: its numbers to the last bit."""
    precision = counts["correct"] / counts["predicted"] if counts["predicted"] else 0.0
    recall = counts["correct"] / counts["support"] if counts["support"] else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": counts["support"]}


def _error_counts(truth: list[list[Span]], guesses: list[list[Span]]) -> dict[str, int]:
    """Sort every true and every predicted span into exactly one class; one list of spans a sentence.

    Spans are matched one to one within a sentence, in this order:

    1. `correct`: same boundaries, same type.
    2. `wrong_type`: same boundaries, another type.
    3. `wrong_boundary`: the spans overlap and have the same type. The pair that shares most words
       is matched first, on a tie the leftmost; each span is matched once.
    4. What is left: a true span is `missed`, a predicted span is `spurious`. A pair that overlaps
       with both another type and other boundaries is one of each.

    So correct + wrong_type + wrong_boundary + missed is the number of true spans, and with
    spurious in place of missed the number of predicted ones.
    """
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


def _errors_by_type(
    truth: list[list[Span]], guesses: list[list[Span]]
) -> dict[str, dict[str, int]]:
    """The counts of `_error_counts` by true type; spurious spans by the type they were given."""
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
        found[kind] = _error_counts(own, given)
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


def _coverage(
    truth: Tags, guesses: Tags, model_types: Collection[str] | None
) -> dict[str, list[str] | None]:
    """Say which reference types the model can predict at all."""
    if model_types is None:
        return {"covered_types": None, "uncovered_types": None, "model_only_types": None}
    known = set(model_types)
    for row, tags in enumerate(guesses):
        for tag in tags:
            if tag != OUTSIDE and tag[2:] not in known:
                raise DataError(
                    f"Row {row} of the predictions has {tag!r}, but the model's types are "
                    f"{', '.join(sorted(known)) or 'none'}: give the types the model was built for."
                )
    referenced = {tag[2:] for tags in truth for tag in tags if tag != OUTSIDE}
    return {
        "covered_types": sorted(referenced & known),
        "uncovered_types": sorted(referenced - known),
        "model_only_types": sorted(known - referenced),
    }


def _novelty_scores(
    train_entities: Iterable[tuple[str, str]],
    truth: list[list[Span]],
    guesses: list[list[Span]],
    tokens: Sequence[Sequence[str]],
) -> dict[str, dict[str, Any]]:
    """Score entities that training has shown apart from those it has not; one list a sentence.

    An entity is seen where training holds its surface form, letter case aside, with the same
    type. Recall looks at true spans and precision at predicted ones, each split by its own words
    and type; a correct prediction shares both with its reference, so it falls on the same side.
    """
    train = {(surface.casefold(), entity_type) for surface, entity_type in train_entities}

    def side(row: int, span: Span) -> str:
        return "seen" if _entity(tokens[row], span) in train else "unseen"

    counts = _tally(truth, guesses, side)
    return {
        name: {**_of_counts(own), "predicted": own["predicted"]}
        for name in ("seen", "unseen")
        for own in [counts.get(name, Counter())]
    }


def _entity(words: Sequence[str], span: Span) -> tuple[str, str]:
    return " ".join(words[span.start : span.end]).casefold(), span.type
