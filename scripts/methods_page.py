"""The page of `benchmark_methods.py`: methods beside source-only, their means and each pair."""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
from typing import Any

SOURCE_ONLY, TARGET_TRAINED = "source_only", "target_trained"
Run = dict[str, Any]
Pair = tuple[str, str]
Scores = dict[tuple[str, Pair], list[float]]


def report(args: argparse.Namespace, suite: dict[str, Any], runs: list[Run]) -> str:
    """A Markdown table: a row a method, its mean, spread, gap closed and worst pair."""
    methods = list(dict.fromkeys(run["method"] for run in runs))
    pairs = sorted({(run["source"], run["target"]) for run in runs})
    macro_f1 = scores_of("macro_f1", methods, pairs, runs)
    command = " ".join(
        ["python", "scripts/benchmark_methods.py", "--data", "DATA", "--suite", args.suite,
         "--methods", *(shlex.quote(method) for method in methods),
         "--seeds", str(max((run["seed"] for run in runs), default=args.seeds)),
         "--out", f"docs/benchmarks/{args.out.name}", *(["--set", *args.set] if args.set else [])]
    )  # fmt: skip
    lines = [
        f"# Methods on the {args.suite} pairs",
        "",
        f"Macro-F1 in percent on the target's {suite['held_out']}; mean over pairs and seeds, and "
        "in brackets the standard deviation over seeds, averaged over pairs. `gap closed` is the "
        "share of the difference between source-only and a model trained on target labels; `worst` "
        "is the pair with the smallest mean difference to source-only.",
        "",
        *_unfinished(methods, pairs, macro_f1),
        f"Made by `{command}`.",
        "",
        "| method | runs | mean | vs source-only | gap closed | worst | pairs worse by > 1 point |",
        "|---|---|---|---|---|---|---|",
        *(_row(method, pairs, macro_f1) for method in methods),
        *_ranking(methods, pairs, runs),
        "",
        "## By pair",
        "",
        "| pair | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for pair in pairs:
        cells = [_cell(macro_f1[method, pair]) for method in methods]
        lines.append(f"| {pair[0]} to {pair[1]} | " + " | ".join(cells) + " |")
    if runs:
        newest = runs[-1]
        lines += [
            "",
            f"Versions: {json.dumps(newest['versions'])}. Machine: {json.dumps(newest['machine'])}, "
            f"precision {newest['precision']}.",
        ]
    return "\n".join(lines) + "\n"


def scores_of(name: str, methods: list[str], pairs: list[Pair], runs: list[Run]) -> Scores:
    """The scores called `name` of each method and pair, a number a seed, where runs have them."""
    found: Scores = {(method, pair): [] for method in methods for pair in pairs}
    for run in runs:
        if name in run:
            found[run["method"], (run["source"], run["target"])].append(run[name])
    return found


def _ranking(methods: list[str], pairs: list[Pair], runs: list[Run]) -> list[str]:
    """How well the methods rank rows, and what a perfect threshold would make of it."""
    auc = scores_of("auc", methods, pairs, runs)
    best = scores_of("best_macro_f1", methods, pairs, runs)
    rows = []
    for method in methods:
        done = [pair for pair in pairs if auc[method, pair]]
        base = [pair for pair in done if auc.get((SOURCE_ONLY, pair))]
        if not done:
            continue
        cells = []
        for values in (auc, best):
            cells.append(f"{100 * _mean_of_means(method, done, values):.1f}")
            gain = "-"
            if base and method != SOURCE_ONLY:
                gain = _mean_of_means(method, base, values)
                gain = f"{100 * (gain - _mean_of_means(SOURCE_ONLY, base, values)):+.1f}"
            cells.append(gain)
        runs_seen = sum(len(auc[method, pair]) for pair in done)
        rows.append(f"| {method} | {runs_seen} | {' | '.join(cells)} |")
    if not rows:
        return []
    return [
        "",
        "## Ranking and threshold",
        "",
        "The area under the ROC curve (AUC) tells how well a model ranks rows, whatever its threshold "
        "between the classes. `best threshold` is the macro-F1 at the threshold that the target's "
        "test labels would choose: no knowledge of the classes' shares can add more than what lies "
        "between it and the mean above. Only for reading: nothing is trained or chosen by it.",
        "",
        "| method | runs | AUC | vs source-only | best threshold | vs source-only |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _mean_of_means(method: str, pairs: list[Pair], values: Scores) -> float:
    return statistics.fmean(statistics.fmean(values[method, pair]) for pair in pairs)


def _unfinished(methods: list[str], pairs: list[Pair], values: Scores) -> list[str]:
    """A warning where some pairs have no run, or fewer than others: means are over what is there."""
    counts = {method: [len(values[method, pair]) for pair in pairs] for method in methods}
    most = max((max(own) for own in counts.values()), default=0)
    short = [method for method, own in counts.items() if min(own) < most]
    if not short:
        return []
    return [
        f"**Unfinished:** not every pair has {most} run{'s' if most > 1 else ''} of "
        f"{', '.join(short)}. A method's own mean is over the pairs that have one; its difference to "
        "source-only is over the same pairs on both sides.",
        "",
    ]


def _row(method: str, pairs: list[Pair], values: Scores) -> str:
    done = [pair for pair in pairs if values[method, pair]]
    spread = [statistics.stdev(v) for pair in done if len(v := values[method, pair]) > 1]
    runs = sum(len(values[method, pair]) for pair in done)
    text = f"{100 * _mean_of_means(method, done, values):.1f}"
    if spread:
        text += f" ({100 * statistics.fmean(spread):.1f})"
    gains = {
        pair: statistics.fmean(values[method, pair]) - statistics.fmean(values[SOURCE_ONLY, pair])
        for pair in done
        if values.get((SOURCE_ONLY, pair))
    }
    if not gains or method == SOURCE_ONLY:
        return f"| {method} | {runs} | {text} | - | - | - | - |"
    closed = "-"
    topped = [pair for pair in gains if values.get((TARGET_TRAINED, pair))]
    gap = sum(
        statistics.fmean(values[TARGET_TRAINED, pair]) - statistics.fmean(values[SOURCE_ONLY, pair])
        for pair in topped
    )
    if gap > 0:
        closed = f"{100 * sum(gains[pair] for pair in topped) / gap:.0f} %"
    worst = min(gains, key=lambda pair: gains[pair])
    worse = sum(gain < -0.01 for gain in gains.values())
    return (
        f"| {method} | {runs} | {text} | {100 * statistics.fmean(gains.values()):+.1f} | {closed} | "
        f"{worst[0]} to {worst[1]} {100 * gains[worst]:+.1f} | {worse} |"
    )


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    text = f"{100 * statistics.fmean(values):.1f}"
    return text + (f" ({100 * statistics.stdev(values):.1f})" if len(values) > 1 else "")
