"""The figures and the page of `benchmark_validators.py`, from stored predictions alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from validators_candidates import accuracy_on_the_line, ensemble_agreement, share_agreement

from nlp_adapt.validators import Predictions, score_all
from nlp_adapt.validators.guard import Evidence, describe, judge
from nlp_adapt.validators.studied import STUDIED

Run = dict[str, Any]
SOURCE_ONLY = "source_only"
CLEAR = 0.01  # what counts as harm or help
ESTIMATORS = ("estimated_accuracy", "calibrated_confidence", "importance_weighted_accuracy")
LINE = "accuracy_on_the_line"
LABELS = ("negative", "positive")


def scored(predictions: Predictions) -> dict[str, float]:
    """Every score of one model that its predictions allow."""
    studied = {n: one.score(predictions) for n, one in STUDIED.items() if one.applies(predictions)}
    return {name: round(one, 6) for name, one in {**score_all(predictions), **studied}.items()}


def evidence(run: Run) -> Evidence:
    """What the guard would read of a run."""
    return Evidence(scores=run["scores"], **describe(run["predictions"], LABELS))


def groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The last checkpoints of each pair's models of the first seed, where its twin is among them."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run["last"] and run["seed"] == 1:
            found.setdefault(f"{run['source']} to {run['target']}", []).append(run)
    return {
        pair: own
        for pair, own in found.items()
        if any(run["method"] == SOURCE_ONLY for run in own) and len(own) > 1
    }


def with_candidates(own: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Scores of a pair's models by method, those that hold them against each other included."""
    scores = {run["method"]: dict(run["scores"]) for run in own}
    models = {run["method"]: run["predictions"] for run in own}
    beside = {
        "ensemble_agreement": ensemble_agreement(models),
        "share_agreement": share_agreement(models, SOURCE_ONLY),
    }
    for name, values in beside.items():
        for method, value in values.items():
            scores[method][name] = value
    return scores


def rankings(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each validator and pair: `regret` in accuracy, and `rank`, Spearman's correlation."""
    from scipy.stats import rankdata

    found: dict[str, dict[str, dict[str, float]]] = {}
    for pair, own in groups(runs).items():
        scores = with_candidates(own)
        truth = {run["method"]: run["accuracy"] for run in own}
        for name in set.intersection(*(set(one) for one in scores.values())):
            chosen = max(truth, key=lambda method: scores[method][name])
            sides = [[scores[method][name] for method in truth], [*truth.values()]]
            ranks = np.array([rankdata(side) for side in sides])
            known = len(truth) > 2 and (ranks.std(1) > 0).all()
            rank = float(np.corrcoef(ranks)[0, 1]) if known else float("nan")
            regret = max(truth.values()) - truth[chosen]
            found.setdefault(name, {})[pair] = {"regret": regret, "rank": rank}
    return found


def left_out(ranked: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Run]:
    """For each pair, the validator that the other pairs would pick, and its regret there."""
    pairs = {pair for own in ranked.values() for pair in own}
    found = {}
    for pair in sorted(pairs):
        mean = {
            name: np.mean([one["regret"] for other, one in own.items() if other != pair])
            for name, own in sorted(ranked.items())
            if pair in own and len(own) > 1
        }
        if mean:
            picked = min(mean, key=lambda name: mean[name])
            found[pair] = {"picked": picked, "regret": ranked[picked][pair]["regret"]}
    return found


def estimates(runs: Sequence[Run]) -> dict[str, list[tuple[float, float]]]:
    """Estimates of accuracy and what is true, by estimator."""
    last = [run for run in runs if run["last"]]
    found = {
        name: [(run["scores"][name], run["accuracy"]) for run in last if name in run["scores"]]
        for name in ESTIMATORS
    }
    found[LINE] = []
    twins = [run for run in last if run["method"] == SOURCE_ONLY]
    for _, own in itertools.groupby(sorted(twins, key=_pair), key=_pair):
        heads = {str(run["seed"]): run for run in own}
        rows = {len(run["predictions"].source_labels) for run in heads.values()}
        if len(heads) > 1 and len(rows) == 1:
            line = accuracy_on_the_line({seed: run["predictions"] for seed, run in heads.items()})
            found[LINE] += [(line[seed], run["accuracy"]) for seed, run in heads.items()]
    return {name: pairs for name, pairs in found.items() if pairs}


def _pair(run: Run) -> tuple[str, str]:
    return run["source"], run["target"]


def covered(runs: Sequence[Run]) -> list[bool]:
    """Whether the bootstrap's 95 % interval of the estimated accuracy holds what is true."""
    found = []
    for run in runs:
        if run["last"]:
            draws = np.asarray(evidence(run).estimate_draws)
            around = 1.96 * np.hypot(draws.std(), run["truth_error"])
            found.append(abs(run["scores"]["estimated_accuracy"] - run["accuracy"]) <= around)
    return found


def verdicts(runs: Sequence[Run]) -> list[Run]:
    """What the guard says of each adapted model, and what it has gained in truth."""
    found = []
    for pair, own in groups(runs).items():
        (twin,) = [run for run in own if run["method"] == SOURCE_ONLY]
        for run in own:
            if run is not twin:
                said = judge(evidence(twin), evidence(run)).verdict
                gain = run["accuracy"] - twin["accuracy"]
                estimate = (
                    run["scores"]["estimated_accuracy"] - twin["scores"]["estimated_accuracy"]
                )
                found.append(
                    {"pair": pair, "method": run["method"], "verdict": said, "gain": gain}
                    | {"estimate": estimate}
                )
    return sorted(found, key=lambda one: one["gain"])


def page(runs: Sequence[Run], command: str) -> str:
    """The benchmark's page, worst first."""
    ranked, judged = rankings(runs), verdicts(runs)
    parts = ["# What can be said without target labels, and how often it is right"]
    parts += [
        _about(runs, judged, command),
        *_guard(judged),
        *_estimates(runs),
        *_selection(ranked),
    ]
    return "\n\n".join(parts) + "\n"


def _about(runs: Sequence[Run], judged: Sequence[Run], command: str) -> str:
    pairs, codes = {one["pair"] for one in judged}, sorted({run["code"] for run in runs})
    return (
        f"Made by `{command}` from **{len(runs)} stored checkpoints**: {len(judged)} adapted models on "
        f"{len(pairs)} of 12 pairs, each against its source-only twin. Small models on few rows "
        f"({runs[0]['set'] if runs else {}}), one seed. Code: {', '.join(codes)}. With so few, read "
        "each number as an example, not as a rate."
    )


def _guard(judged: Sequence[Run]) -> list[str]:
    harmful = [one for one in judged if one["gain"] < -CLEAR]
    rows = [
        [
            *(one[key] for key in ("pair", "method")),
            *(f"{100 * one[key]:+.1f}" for key in ("gain", "estimate")),
            one["verdict"],
        ]
        for one in judged
    ]
    said = [["source-only: is it harmful?", *_hits(judged, "source-only", harmful)]]
    return [
        "## The guard",
        "A model is harmful where its accuracy is more than 1 point below that of its source-only twin; "
        "that one is helpful the guard never says. Nothing in the guard is fitted to these pairs.",
        _table(["verdict", "said", "right", "of all there are"], said),
        "Worst first; gains in points of accuracy.",
        _table(["pair", "method", "gain", "estimated gain", "verdict"], rows),
    ]


def _hits(judged: Sequence[Run], word: str, true: Sequence[Run]) -> list[str]:
    named = [one for one in judged if one["verdict"] == word]
    right = [one for one in named if one in true]
    return [str(len(named)), str(len(right)), f"{len(right)} of {len(true)}"]


def _estimates(runs: Sequence[Run]) -> list[str]:
    rows = []
    for name, pairs in estimates(runs).items():
        off = np.array([said - true for said, true in pairs])
        rows.append((np.abs(off).mean(), [name, len(off), *(f"{100 * one:.1f}" for one in (
            np.abs(off).mean(), np.abs(off).max(), off.mean()))]))  # fmt: skip
    held = covered(runs)
    return [
        "## Estimated accuracy",
        _table(
            ["estimator", "models", "mean error", "worst", "too high by"],
            [row for _, row in sorted(rows, key=lambda one: -one[0])],
        ),
        f"The 95 % interval of `estimated_accuracy` held what is true for {sum(held)} of {len(held)} "
        "models. It holds what sampling does to the estimate, not what the target does to it.",
    ]


def _selection(ranked: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    rows = []
    for name, own in ranked.items():
        regrets = [one["regret"] for one in own.values()]
        ranks = [one["rank"] for one in own.values() if not np.isnan(one["rank"])]
        rank = f"{np.mean(ranks):+.2f}" if ranks else "too few models"
        mean, worst = (f"{100 * one:.1f}" for one in (np.mean(regrets), max(regrets)))
        rows.append((np.mean(regrets), [name, len(own), mean, worst, rank]))
    out = left_out(ranked)
    found = [
        "## Choosing among a pair's models",
        "Regret is what the chosen model's accuracy lacks to the best one's, in points.",
        _table(
            ["validator", "pairs", "mean regret", "worst", "rank correlation"],
            [row for _, row in sorted(rows, key=lambda one: (-one[0], one[1][0]))],
        ),
    ]
    if out:
        mean = np.mean([one["regret"] for one in out.values()])
        found.append(
            "Leaving one pair out, the validator that the others pick has a mean regret of "
            f"{100 * mean:.1f} points on it, at worst "
            f"{100 * max(one['regret'] for one in out.values()):.1f}."
        )
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
