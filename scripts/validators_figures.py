"""The figures of `benchmark_validators.py`: of models whose truth is known, what scores say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from kept_predictions import grouped, is_twin, pair_of, twin_of
from methods_table import SOURCE_ONLY, TWIN
from validators_candidates import (
    accuracy_on_the_line,
    agreement,
    ensemble_agreement,
    entity_agreement,
    share_agreement,
)
from validators_studied import STUDIED

from nlp_adapt.validators import Predictions, score_all
from nlp_adapt.validators.guard import Evidence, describe, estimated_gain, judge

Run = dict[str, Any]
Pair = tuple[Any, ...]
CLEAR = 0.01  # what counts as harm
LEVEL = 0.9
ESTIMATORS = (
    "estimated_accuracy",
    "calibrated_confidence",
    "importance_weighted_accuracy",
    "source_accuracy",
)
LINE = "accuracy_on_the_line"


def scored(predictions: Predictions) -> dict[str, float]:
    """Every score of one model that its predictions allow."""
    logits, labels = predictions.labelled_source()
    found = score_all(predictions)
    found |= {n: one.score(predictions) for n, one in STUDIED.items() if one.applies(predictions)}
    found["source_accuracy"] = float((logits.argmax(-1) == labels).mean())
    return {name: round(one, 6) for name, one in found.items()}


def groups(runs: Sequence[Run]) -> dict[Pair, list[Run]]:
    """The models of each pair and seed, where a source-only and an adapted one are among them."""
    return {pair: [run for run, _ in own] for pair, own in grouped((r, {}) for r in runs).items()}


def by_kind(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Those of text classifiers, and those of taggers."""
    kinds = {"texts": False, "words": True}
    found = {kind: [run for run in runs if run["words"] == words] for kind, words in kinds.items()}
    return {kind: own for kind, own in found.items() if own}


def rankings(runs: Sequence[Run]) -> dict[str, dict[Pair, dict[str, float]]]:
    """Of each way to choose and each pair: `regret`, and `rank`, Spearman's correlation."""
    from scipy.stats import rankdata

    found: dict[str, dict[Pair, dict[str, float]]] = {}
    for pair, every in groups(runs).items():
        # `compare` trains no twins beside source_only: two models that are nearly one would agree.
        own = [run for run in every if not run["method"].startswith(TWIN)]
        if len(own) < 3 or SOURCE_ONLY not in {run["method"] for run in own}:
            continue
        scores = _with_candidates(own)
        truth = {run["method"]: run["measure"] for run in own}
        best = max(truth.values())
        for method, value in truth.items():
            found.setdefault(f"always {method}", {})[pair] = {
                "regret": best - value,
                "rank": float("nan"),
            }
        for name in set.intersection(*(set(one) for one in scores.values())):
            chosen = max(truth, key=lambda method: scores[method][name])
            sides = [[scores[method][name] for method in truth], [*truth.values()]]
            ranks = np.array([rankdata(side) for side in sides])
            known = (ranks.std(1) > 0).all()
            rank = float(np.corrcoef(ranks)[0, 1]) if known else float("nan")
            found.setdefault(name, {})[pair] = {"regret": best - truth[chosen], "rank": rank}
    whole = max((len(own) for own in found.values()), default=0)
    return {name: own for name, own in found.items() if len(own) == whole}


def _with_candidates(own: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Scores of a pair's models by method, those that hold them against each other included."""
    scores = {run["method"]: dict(run["scores"]) for run in own}
    models = {run["method"]: run["predictions"] for run in own}
    reference = SOURCE_ONLY
    beside = {
        "agreement": agreement(models),
        "ensemble_agreement": ensemble_agreement(models),
        "share_agreement": share_agreement(models, reference),
    }
    if (counts := own[0]["counts"]["target"]) is not None:
        names = tuple(own[0]["label_names"])
        offsets = np.concatenate([[0], np.cumsum(counts)])
        beside |= entity_agreement(models, reference, names, offsets)
    for name, values in beside.items():
        for method, value in values.items():
            scores[method][name] = value
    return scores


def left_out(ranked: Mapping[str, Mapping[Pair, Mapping[str, float]]]) -> dict[Pair, Run]:
    """For each pair, the way to choose that the pairs of other targets pick, and its regret there."""
    found = {}
    for pair in sorted({pair for own in ranked.values() for pair in own}):
        mean = {}
        for name, own in sorted(ranked.items()):
            others = [one["regret"] for other, one in own.items() if other[3] != pair[3]]
            if others and pair in own:
                mean[name] = np.mean(others)
        if mean:
            picked = min(mean, key=lambda name: mean[name])
            found[pair] = {"picked": picked, "regret": ranked[picked][pair]["regret"]}
    return found


def estimates(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """By estimator, what is `said` and what is `true` of the accuracy on each `target`."""
    found: dict[str, list[Run]] = {
        name: [_said(run, run["scores"][name]) for run in runs if name in run["scores"]]
        for name in ESTIMATORS
    }
    found[LINE] = [_said(run, value) for run, value in _on_the_line(runs)]
    return {name: own for name, own in found.items() if own}


def _said(run: Run, value: float) -> Run:
    return {"said": value, "true": run["accuracy"], "target": run["target"]}


def _on_the_line(runs: Sequence[Run]) -> Iterator[tuple[Run, float]]:
    """Estimates for source-only models of which there are several, with heads of their own."""
    seeds: dict[Pair, list[Run]] = {}
    for run in runs:
        if run["method"] == SOURCE_ONLY:
            seeds.setdefault(pair_of(run)[:-1], []).append(run)
    for own in seeds.values():
        if len(own) > 1 and len({len(run["predictions"].source_labels) for run in own}) == 1:
            line = accuracy_on_the_line({str(run["seed"]): run["predictions"] for run in own})
            yield from ((run, line[str(run["seed"])]) for run in own)


def coverage(found: Sequence[Run]) -> tuple[bool, list[bool], float]:
    """How often an interval holds what is true that is as wide as the errors of other targets.

    Returns:
        Whether there is more than one target; for each model whether its interval holds; and half the
        width of the interval that all targets give, as a share of 1.
    """
    off = np.array([abs(one["said"] - one["true"]) for one in found])
    targets = np.array([one["target"] for one in found])
    held = [
        bool(error <= _quantile(off[targets != target]))
        for error, target in zip(off, targets, strict=True)
        if (targets != target).any()
    ]
    return bool(held), held, _quantile(off)


def _quantile(errors: np.ndarray) -> float:
    """What a share of LEVEL of further errors will not exceed (split conformal prediction)."""
    return float(np.quantile(errors, min(LEVEL * (1 + 1 / len(errors)), 1.0), method="higher"))


def evidence(run: Run) -> Evidence:
    """What the guard reads of a model."""
    about = describe(
        run["predictions"], run["label_names"], run["counts"]["source"], run["counts"]["target"]
    )
    if run["source_variance"] is not None:
        about["source_variance"] = run["source_variance"]
    return Evidence(scores=run["scores"], **about)


def verdicts(runs: Sequence[Run]) -> list[Run]:
    """What the guard says of each adapted model, and what it has gained in truth; worst first."""
    found = []
    for pair, own in groups(runs).items():
        known = {run["method"]: evidence(run) for run in own}
        twins = {run["method"]: run for run in own if is_twin(run["method"])}
        for run in own:
            twin = twins.get(twin_of(run["method"], [*twins]))
            if run["method"] in twins or twin is None:
                continue
            before, after = known[twin["method"]], known[run["method"]]
            verdict = judge(before, after)
            estimate, noise = estimated_gain(before, after)
            found.append(
                {
                    "pair": pair,
                    "words": run["words"],
                    "method": run["method"],
                    "verdict": verdict.verdict,
                    "signs": sum("stimated" not in reason for reason in verdict.reasons),
                    "gain": run["measure"] - twin["measure"],
                    "estimate": estimate,
                    "noise": noise,
                }
            )
    return sorted(found, key=lambda one: one["gain"])


def exports(judged: Sequence[Run]) -> Iterator[tuple[str, str, np.ndarray]]:
    """By method and rule, what its export gains over the twin for each model."""
    for method in dict.fromkeys(one["method"] for one in judged):
        own = [one for one in judged if one["method"] == method]
        gains = np.array([one["gain"] for one in own])
        harm = np.array([one["verdict"] != "undecided" for one in own])
        higher = np.array([one["estimate"] > 0 for one in own])
        yield method, "always the adapted model", gains
        yield method, "the adapted one unless the guard warns", np.where(harm, 0.0, gains)
        yield method, "that of the higher estimate", np.where(higher, gains, 0.0)
