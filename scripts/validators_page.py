"""The page of `benchmark_validators.py`, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from kept_predictions import title_of
from methods_table import SOURCE_ONLY
from validators_figures import (
    CLEAR,
    LEVEL,
    Run,
    by_kind,
    coverage,
    estimates,
    exports,
    groups,
    left_out,
    rankings,
    scored,
    verdicts,
)

__all__ = ["page", "scored"]
COMMANDS = (
    "python scripts/benchmark_methods.py --data DATA --suite snippets --keep FOLDER --methods ...",
    "python scripts/benchmark_validators.py --keep FOLDER",
)


def page(runs: Sequence[Run]) -> str:
    """The benchmark's page."""
    judged = verdicts(runs)
    parts = [
        "# What can be said without target labels, and how often it is right",
        _about(runs, judged),
        *_guard(judged),
        *_exports(judged),
        *_estimates(runs),
        *_selection(runs),
        "## Every model",
        "Gains over the twin in points of macro-F1, of taggers span F1.",
        _table(
            ["pair", "method", "gain", "estimated gain of accuracy", "signs of harm", "verdict"],
            [
                [
                    title_of(one["pair"]),
                    one["method"],
                    *(f"{100 * one[key]:+.1f}" for key in ("gain", "estimate")),
                    one["signs"],
                    one["verdict"],
                ]
                for one in judged
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _about(runs: Sequence[Run], judged: Sequence[Run]) -> str:
    found = groups(runs)
    names = sorted({title_of(pair) for pair in found})
    codes = ", ".join(sorted({run["code"] for run in runs}))
    methods = ", ".join(sorted({one["method"] for one in judged}))
    commands = "\n".join(f"    {one}" for one in COMMANDS)
    return (
        f"{len(judged)} adapted models ({methods}) of {len(names)} pairs and seeds, each against the "
        f"source-only twin. Their recipes are the methods' own. Code: {codes}. Made by\n\n"
        f"{commands}\n\n"
        "from the models' stored predictions (`validators.npz`); the second command without a folder "
        "scores these again. Pairs that share a domain are not independent: where something is chosen "
        "or fitted, all pairs of one target are left out and judged by the others."
    )


def _guard(judged: Sequence[Run]) -> list[str]:
    harmful = [one for one in judged if one["gain"] < -CLEAR]
    helpful = [one for one in judged if one["gain"] > 0]
    said = [one for one in judged if one["verdict"] == SOURCE_ONLY.replace("_", "-")]
    surer = [one for one in judged if one["estimate"] > one["noise"]]
    rows = [
        ["says source-only: harmful?", *_hits(said, harmful)],
        ["estimate clearly higher: better?", *_hits(surer, helpful)],
        ["says nothing: better?", *_hits([one for one in judged if one not in said], helpful)],
    ]
    return [
        "## The guard",
        f"A model is harmful where it lies more than {100 * CLEAR:.0f} point below its twin. Nothing in "
        "the guard is fitted to these pairs. The second row is what the guard would have to trust to "
        "call a model better; it never does.",
        _table(["sign", "given", "right", "of all there are"], rows),
    ]


def _hits(named: Sequence[Run], true: Sequence[Run]) -> list[str]:
    right = sum(one in true for one in named)
    share = f"{right} ({100 * right / len(named):.0f} %)" if named else "-"
    return [str(len(named)), share, f"{right} of {len(true)}"]


def _exports(judged: Sequence[Run]) -> list[str]:
    rows = [
        [kind, method, rule, str(len(gains))]
        + [f"{100 * one:+.1f}" for one in (min(gains), np.median(gains), gains.mean())]
        for kind, own in by_kind(judged).items()
        for method, rule, gains in exports(own)
    ]
    return [
        "## What to export",
        "Points over always taking the twin, by what decides: worst case, median and mean.",
        _table(["", "method", "exports", "models", "worst", "median", "mean"], rows),
    ]


def _estimates(runs: Sequence[Run]) -> list[str]:
    level = f"{100 * LEVEL:.0f} %"
    found = [
        "## Estimated accuracy",
        f"Points of accuracy. The interval holds the errors of {level} of the models of the other "
        "targets; `held` is how often it then holds what is true. `source_accuracy` takes the held-out "
        "source's accuracy for the target's.",
    ]
    for kind, own in by_kind(runs).items():
        rows = []
        for name, said in estimates(own).items():
            off = np.array([one["said"] - one["true"] for one in said])
            fitted, held, width = coverage(said)
            cells = [np.abs(off).max(), np.abs(off).mean(), off.mean()]
            row = [name, str(len(off)), *(f"{100 * one:.1f}" for one in cells)]
            row += [f"+/- {100 * width:.0f}", f"{100 * np.mean(held):.0f} %" if fitted else "-"]
            rows.append((np.abs(off).mean(), row))
        head = [kind, "models", "worst", "mean error", "too high by", f"{level} interval", "held"]
        found.append(_table(head, [row for _, row in sorted(rows, key=lambda one: -one[0])]))
    return found


def _selection(runs: Sequence[Run]) -> list[str]:
    ranked = rankings(runs)
    rows = []
    for name, own in ranked.items():
        regrets = [one["regret"] for one in own.values()]
        ranks = [one["rank"] for one in own.values() if not np.isnan(one["rank"])]
        rank = f"{np.mean(ranks):+.2f}" if ranks else "-"
        worst, mean = (f"{100 * one:.1f}" for one in (max(regrets), np.mean(regrets)))
        rows.append((np.mean(regrets), [name, str(len(own)), worst, mean, rank]))
    found = [
        "## Choosing among a pair's models",
        "Regret is what the chosen model lacks to the best of its pair, in points; models that "
        "never saw the target are among them. `always ...` reads nothing.",
        _table(
            ["chosen by", "pairs", "worst", "mean regret", "rank correlation"],
            [row for _, row in sorted(rows, key=lambda one: (-one[0], one[1][0]))],
        ),
    ]
    if out := left_out(ranked):
        regrets = [one["regret"] for one in out.values()]
        found.append(
            f"Chosen by what the other targets' pairs would pick, the mean regret is "
            f"{100 * np.mean(regrets):.1f} points, at worst {100 * max(regrets):.1f} "
            f"(picked: {', '.join(sorted({one['picked'] for one in out.values()}))})."
        )
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
