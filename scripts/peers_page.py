"""The page of `benchmark_peers.py`: what is worst for this package first, on every list."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark_runs import Run
from catalogue import OURS, PEERS
from peers_table import (
    COSTS,
    MEASURES,
    NAMES,
    Runs,
    best_rows,
    cost_rows,
    mean_rows,
    quality_rows,
)
from speed.timing import table

FEW_SEEDS = 3
OTHERS = [name for name, peer in PEERS.items() if peer.adapter != PEERS[OURS].adapter]
TITLES = {
    "snippets": ("Macro-F1", "snippet domains"),
    "amazon": ("Macro-F1", "Amazon domains"),
    "wnut": ("Span F1", "news to WNUT-17"),
}
# In these a peer is ahead where the ratio is below 1; in the others, above it.
SPEEDS = ("tokens_per_cpu_second", "tokens_per_second")
INTRODUCTION = """\
# Peers on the same work

Other libraries, a plain `Trainer` and a textbook loop beside this package: the same encoder, rows, seeds, \
batch sizes, number of steps, learning rates and schedule, each in a process and an environment of its own. \
Nobody sees a label of the test rows. What is worst for this package comes first in every table."""
QUALITY = """\
Points of this package above a peer's same method (`default`: each one's own, ours first), on the same pairs and seeds. \
Intervals are 95 % t intervals over the pairs' mean differences; pairs that share a domain are not \
independent, so they are rather too narrow. Spread: the standard deviation over seeds of a pair's difference, \
averaged over pairs."""
COST = """\
Tokens are real ones: padding is no work done. They are counted where words are embedded, in passes that \
learn, after the first fifth of the steps. On a machine that others use too, CPU seconds are the steadier \
measure: each process has the same number of threads. Peak memory and CPU time are those of the process until \
training ends; wall time is the whole process, with its imports and the test rows. Ratios are taken within a \
pair and seed, between runs of one sitting: medians, and quartiles in brackets. Ours is better above 1 in the \
columns of tokens, and below 1 in the others."""


def report(lines: Sequence[Run], encoder: str, command: str) -> str:
    """The page: where a peer wins, quality, cost, all means, and how each peer was used."""
    runs = [line for line in lines if line["encoder"] == encoder]
    settings = runs[-1]["set"] if runs else {}
    runs = [line for line in runs if line["set"] == settings]
    codes = {line["peer"]: line["code"] for line in runs}  # the last one of each
    fresh = [line for line in runs if line["code"] == codes[line["peer"]]]
    parts = [INTRODUCTION]
    for suite in MEASURES:
        own = Runs([line for line in fresh if line["suite"] == suite])
        if own.runs:
            parts += section(suite, own)
    older = len(runs) - len(fresh)
    if older:
        parts.append(
            f"{older} lines of older code are kept in the file of runs, and shown nowhere here."
        )
    parts += ["## How each is used", how(), f"Made by `{command}`."]
    if fresh:
        last = fresh[-1]
        made = ", ".join(
            f"{name} `{codes[name]}`" for name in dict.fromkeys(run["peer"] for run in fresh)
        )
        told = ", ".join(f"{name} {value}" for name, value in settings.items())
        days = sorted({line["date"] for line in fresh})
        own = last["machine"]
        parts.append(
            f"Encoder: `{encoder}`. Settings: {told}. Code: {made}. Date: {', '.join(days)}. Machine: "
            f"{own['processor']}, {own['device']}, {own['cores']} cores, {own['threads']} of them used; load "
            f"{_between([line['machine']['load'] for line in fresh])}. Versions: {versions(fresh)}."
        )
    return "\n\n".join(parts) + "\n"


def section(suite: str, runs: Runs) -> list[str]:
    """All there is of a suite."""
    title, domains = TITLES[suite]
    quality = [row for measure in MEASURES[suite] for row in quality_rows(runs, measure)]
    quality.sort(key=lambda row: row[0])
    costs = sorted(cost_rows(runs), key=lambda row: row[0])
    parts = [f"## {title}, {domains}", size(runs), "### Where a peer wins", wins(runs, suite)]
    heads = [
        "method",
        "peer",
        "measure",
        "runs",
        "ours",
        "peer's",
        "difference",
        "interval",
        "spread",
        "worst pair",
    ]
    if quality:
        parts += ["### Quality", QUALITY, table(heads, [row[1] for row in quality]).rstrip()]
    if len(margins := best_rows(runs, MEASURES[suite][0])):
        parts += [
            f"`{PEERS[OURS].default}` against every method of every peer:",
            table(heads[:2] + heads[3:], [row[1] for row in margins]).rstrip(),
        ]
    if costs:
        shown = ["method", "peer", "runs", *COSTS.values()]
        parts += [
            "### Cost, as ratios of ours to the peer's",
            COST,
            table(shown, [row[1] for row in costs]).rstrip(),
        ]
    means = [
        "peer",
        "method",
        "runs",
        *(NAMES[one] for one in MEASURES[suite]),
        "tokens / CPU s",
        "tokens / s",
        "peak MiB",
        "CPU s",
        "seconds",
    ]
    parts += ["### All means", table(means, mean_rows(runs, suite)).rstrip()]
    return parts


def size(runs: Runs) -> str:
    """How much was run, and whether that is enough."""
    pairs = sorted({(run["source"], run["target"]) for run in runs.runs})
    seeds = {run["seed"] for run in runs.runs}
    named = ", ".join(f"{source} to {target}" for source, target in pairs)
    said = f"Pairs: {named}. Seeds: {', '.join(map(str, sorted(seeds)))}."
    if len(seeds) < FEW_SEEDS:
        said += f" **{len(seeds)} of at least {FEW_SEEDS} seeds: take no number for settled.**"
    return said


def wins(runs: Runs, suite: str) -> str:
    """A sentence for everything in which a peer is ahead."""
    said = []
    for measure in MEASURES[suite]:
        for difference, row in quality_rows(runs, measure):
            if difference < 0 and row[1] in OTHERS:
                said.append(
                    (
                        difference,
                        f"{row[1]}, `{row[0]}`: {NAMES[measure]} {row[5]} against our {row[4]}",
                    )
                )
    said.sort()
    parts = [sentence for _, sentence in said]
    costs = [row for _, row in sorted(cost_rows(runs), key=lambda row: row[0]) if row[1] in OTHERS]
    for row in costs:
        for place, (cost, name) in enumerate(COSTS.items()):
            ratio = float(row[3 + place].split(" ")[0]) if row[3 + place] else 1.0
            if ratio < 1 if cost in SPEEDS else ratio > 1:
                parts.append(f"{row[1]}, `{row[0]}`: {name} {row[3 + place]} times the peer's")
    return "\n".join(f"- {part}." for part in parts) or "Nowhere in what was run."


def how() -> str:
    """How each peer was used, and which cannot tag."""
    lines = []
    for name, peer in PEERS.items():
        text = f"- **{name}** (`scripts/peers/{peer.adapter}`): {peer.note}."
        if peer.cannot_tag:
            text += f" No span F1: {peer.cannot_tag}."
        lines.append(text)
    return "\n".join(lines)


def versions(runs: Sequence[Run]) -> str:
    """Versions that all peers have in common, and what each has of its own."""
    last = {run["peer"]: run["versions"] for run in runs}
    common = set.intersection(*({*own.items()} for own in last.values()))
    parts = [" ".join(item) for item in sorted(common)]
    for peer, own in last.items():
        rest = [" ".join(item) for item in own.items() if item not in common]
        parts += [f"{peer}: {' '.join(rest)}"] if rest else []
    return ", ".join(parts)


def _between(values: Sequence[float]) -> str:
    return f"{min(values)} to {max(values)}"
