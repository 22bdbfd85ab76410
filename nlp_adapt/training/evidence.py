"""What can be said of a trained model without target labels: scores, class shares, distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows, concatenate
from nlp_adapt.training.scoring import Scorer, joined
from nlp_adapt.validators import Predictions, features_are_read, score_all
from nlp_adapt.validators.guard import Evidence, Verdict, describe, judge
from nlp_adapt.validators.scores import MOST_UNITS, proxy_a_distance


def examine(scorer: Scorer, model: Any, seed: int) -> dict[str, Any]:
    """Read the sources' validation rows and a sample of the targets' text with a model, in float32.

    Args:
        scorer: Knows the run's rows.
        model: The task model.
        seed: Of the sample that the domain distance is measured on.

    Returns:
        `label_free`, every label-free score by name, and `evidence`, what the guard weighs beside
        them and the domains' distance; None where a side has no such rows.
    """
    sets = scorer.data.evaluation.get("source_validation", {})
    held = concatenate([rows.encoded for rows in sets.values()]) if sets else None
    sample = scorer.data.target_sample
    source, labels, source_features, all_source = _read(scorer, model, held, seed)
    target, _, target_features, all_target = _read(scorer, model, sample, seed)
    predictions = Predictions(
        source, labels, target, source_features=all_source, target_features=all_target
    )
    evidence = None
    if held is not None and sample is not None:
        evidence = {
            **describe(predictions, scorer.task.label_names),
            "source_rows": len(held),
            "target_rows": len(sample),
            "domain_distance": proxy_a_distance(source_features, target_features, seed),
        }
    return {"label_free": score_all(predictions), "evidence": evidence}


def guard(results: Mapping[str, Any]) -> Verdict | None:
    """The guard's verdict on the two models of a run; None where one or its evidence is missing."""
    sides = [results.get(name) or {} for name in ("source_only", "adapted")]
    if not all(side.get("evidence") for side in sides):
        return None
    return judge(*(_evidence(side) for side in sides))


def _evidence(scores: Mapping[str, Any]) -> Evidence:
    own = {key: value for key, value in scores["evidence"].items() if key != "domain_distance"}
    return Evidence(scores=scores["label_free"], **own)


def _read(scorer: Scorer, model: Any, rows: EncodedRows | None, seed: int) -> tuple[Any, ...]:
    """Logits and labels of all rows, features of at most 1,000 rows, and of all if they are read.

    Rows come in an order of their own, those with features first.
    """
    if rows is None:
        return None, None, None, None
    order = np.random.default_rng([seed, 22]).permutation(len(rows))
    first, rest = (np.sort(part) for part in np.split(order, [min(MOST_UNITS, len(rows))]))
    parts = [rows.select(first), rows.select(rest)] if len(rest) else [rows]
    read = [
        scorer.read(model, part, features=number == 0 or features_are_read())
        for number, part in enumerate(parts)
    ]
    logits, features = zip(*read, strict=True)
    labels = joined([part.labels for part in parts])
    return joined(logits), labels, features[0], joined(features)
