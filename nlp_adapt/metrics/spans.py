"""How well entities are found: span precision, recall and F1, as the field reports them.

Two readings of the same tags, both from seqeval. *Strict* follows BIO to the letter: an entity
starts with `B-`, and an `I-` that continues nothing is no entity. *Lenient* is conlleval's reading
(Tjong Kim Sang and De Meulder 2003): an `I-` that continues nothing starts an entity. They agree
on well-formed tags, so the gap between them is what ill-formed predictions cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.metrics.analysis import error_counts, novelty_scores
from nlp_adapt.metrics.rows import (
    Span,
    check_same_lengths,
    paired_tags,
    spans_of,
    strict_entities,
)
from nlp_adapt.names import OUTSIDE

if TYPE_CHECKING:
    from seqeval.scheme import Entities


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
        seen_entities: (surface, type) pairs of the training entities, as `entity_surfaces` gives
            them. Asks for `novelty`.
        model_types: The entity types in the model's label space, without prefixes.

    Returns:
        Plain Python values, JSON-ready. Strict: `f1`, `precision`, `recall` (micro), `macro_f1`,
        `macro_precision`, `macro_recall`, `support`, `per_type` (type to `precision`, `recall`,
        `f1`, `support`), `f1_variance` (of sampling
        other sentences). `lenient`: the same keys in the lenient reading. `errors`: see
        `span_errors`. `covered_types` and `uncovered_types` split the reference types by whether
        the model has them, and `model_only_types` are its types without a reference; all three
        are None without `model_types`. `novelty`, where asked for: see `entity_novelty`.
        Undefined ratios are 0.

    Raises:
        DataError: There are no rows, lengths differ, a tag is not BIO, or a prediction has a type
            that is not in `model_types`.
        ConfigError: `seen_entities` is given without `tokens`.
    """
    truth, guesses = paired_tags(references, predictions)
    true_entities, predicted_entities = strict_entities(truth), strict_entities(guesses)
    true_spans, predicted_spans = spans_of(true_entities), spans_of(predicted_entities)
    result = {
        **_strict_scores(truth, guesses, true_entities, predicted_entities),
        "f1_variance": _f1_variance(true_spans, predicted_spans),
        "lenient": _lenient_scores(truth, guesses),
        "errors": error_counts(true_spans, predicted_spans),
        **_coverage(truth, guesses, model_types),
    }
    if seen_entities is not None:
        if tokens is None:
            raise ConfigError("Entity novelty compares surface forms: give tokens as well.")
        check_same_lengths(tokens, truth, "tokens", "references")
        result["novelty"] = novelty_scores(seen_entities, true_spans, predicted_spans, tokens)
    return result


def _f1_variance(truth: Sequence[Sequence[Span]], guesses: Sequence[Sequence[Span]]) -> float:
    """Sampling variance of micro F1 over sentences, by the delta method.

    F1 is a ratio of sums over sentences, `sum 2 c / sum (t + g)` with the correct, true and guessed
    spans of each. With `d = 2 c - F1 (t + g)` its variance is about `sum d^2 / (sum (t + g))^2`. The
    sentence is what is sampled, so spans of one sentence may depend on each other.

    Args:
        truth: The true spans of each sentence.
        guesses: The predicted ones.

    Returns:
        The variance; 0 without spans.
    """
    counts = [
        (2 * len(set(true) & set(guessed)), len(true) + len(guessed))
        for true, guessed in zip(truth, guesses, strict=True)
    ]
    total = sum(both for _, both in counts)
    if not total:
        return 0.0
    f1 = sum(shared for shared, _ in counts) / total
    return sum((shared - f1 * both) ** 2 for shared, both in counts) / total**2


def _strict_scores(
    truth: list[list[str]],
    guesses: list[list[str]],
    true_entities: Entities,
    predicted_entities: Entities,
) -> dict[str, Any]:
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    score = partial(
        precision_recall_fscore_support,
        truth,
        guesses,
        scheme=IOB2,
        zero_division=0,
        entities_true=true_entities,
        entities_pred=predicted_entities,
    )
    return _scores(true_entities.unique_tags | predicted_entities.unique_tags, score)


def _lenient_scores(truth: list[list[str]], guesses: list[list[str]]) -> dict[str, Any]:
    from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

    types = {entity[0] for rows in (truth, guesses) for entity in get_entities(rows)}
    score = partial(precision_recall_fscore_support, truth, guesses, zero_division=0)
    return _scores(types, score)


def _scores(types: set[str], score: Callable[..., Any]) -> dict[str, Any]:
    """Lay out seqeval's micro and per-type scores; the macro average is over the latter."""
    precision, recall, f1, support = score(average="micro")
    per_type = {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(sorted(types), *score(average=None), strict=True)
    }

    def macro(key: str) -> float:
        values = [scores[key] for scores in per_type.values()]
        return sum(values) / len(values) if values else 0.0

    return {
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "macro_f1": macro("f1"),
        "macro_precision": macro("precision"),
        "macro_recall": macro("recall"),
        "support": int(support),
        "per_type": per_type,
    }


def _coverage(
    truth: list[list[str]], guesses: list[list[str]], model_types: Collection[str] | None
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
