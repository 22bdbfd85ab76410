"""The Markdown page of `benchmark_few_labels.py`, made from its runs alone, the worst pair first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Any

Run = dict[str, Any]

INTRODUCTION = """\
# Class shares and a handful of labels

What a source-only model gains where the user knows how frequent the target's classes are, or labels a few
rows of it. Nothing adapts here but one constant per class in the classifier's bias. Snippet domains,
`builtin:minilm-l6`, 2,000 source rows, 3 epochs; macro-F1 in percent on the target's test rows; the worst
pair first. [How to use either](../how-to/what-you-know.md)."""

SHARES = """\
## Class shares told

*told*: the shares of the target's training rows, with predictions matched to them on up to 1,500 of its
texts, as `target_class_shares` does. *one step*: the same shares by Bayes' rule on the mean probability,
without matching. *off*: a told share that is 5 or 10 points wrong, the worse direction. *EM* and *BBSE*:
shares estimated without labels, which nothing in the package acts on. *best*: the threshold that the test
labels themselves would choose."""

LABELS = """\
## A bias from a few labels

`few_shot_use: bias` with so many rows drawn at random, each cell the mean gain in points over the draws
(and what 5 % of the draws fall below); the last lines over all pairs."""

TRAINED = """\
## Training on them

Gain over the source-only model of the same seed: `bias` is the mean of many draws, `train` and `both` train
on one draw per seed. Read them with care where there are few runs."""


def page(runs: Sequence[Run]) -> str:
    """All tables, from what has been measured so far."""
    seeds = sorted({run["seed"] for run in runs})
    pairs = {_pair(run) for run in runs}
    note = (
        f"{len(pairs)} of 12 pairs so far, means over seeds {', '.join(map(str, seeds))}. Extended by "
        "`python scripts/benchmark_few_labels.py --data DATA --logits SCRATCH`."
    )
    parts = [INTRODUCTION, note, SHARES, _table(*_shares(runs)), LABELS, _table(*_labels(runs))]
    if any(run["use"] == "train" for run in runs):
        parts += [TRAINED, _table(*_trained(runs))]
    return "\n\n".join(parts) + "\n"


def _shares(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    columns: dict[str, Callable[[Run], float]] = {
        "as trained": lambda run: run["macro_f1"],
        "told": lambda run: run["told"],
        "gain": lambda run: run["told"] - run["macro_f1"],
        "one step": lambda run: run["one_step"],
        "off by 5": lambda run: min(run["off"]["-0.05"], run["off"]["+0.05"]),
        "off by 10": lambda run: min(run["off"]["-0.10"], run["off"]["+0.10"]),
        "EM": lambda run: run["estimates"]["em"],
        "BBSE": lambda run: run["estimates"]["bbse"],
        "best": lambda run: run["best"],
    }
    groups = _by_pair([run for run in runs if run["use"] == "shares"])
    rows = {
        pair: [mean(map(value, own)) for value in columns.values()] for pair, own in groups.items()
    }
    order = sorted(rows, key=lambda pair: rows[pair][2])
    share = {
        pair: " / ".join(
            f"{100 * mean(run['shares'][kind] for run in own):.0f}"
            for kind in ("true", "predicted", "em", "bbse")
        )
        for pair, own in groups.items()
    }
    body = [[pair, share[pair], *map(_number, rows[pair])] for pair in order]
    for name, middle in (("mean", mean), ("median", median)):
        body.append(
            [name, "", *(_number(middle(column)) for column in zip(*rows.values(), strict=True))]
        )
    return ["pair", "share of the second class, %: true / predicted / EM / BBSE", *columns], body


def _labels(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    groups = _by_pair([run for run in runs if run["use"] == "bias"])
    counts = sorted({run["labels"] for own in groups.values() for run in own})
    cells = {
        (pair, count): {
            key: mean(run[key] for run in own if run["labels"] == count)
            for key in ("gain", "gain_5", "harmed")
        }
        for pair, own in groups.items()
        for count in counts
    }
    order = sorted(groups, key=lambda pair: cells[pair, counts[-1]]["gain"])
    body = [
        [
            pair,
            *(
                f"{_signed(cells[pair, n]['gain'])} ({_signed(cells[pair, n]['gain_5'])})"
                for n in counts
            ),
        ]
        for pair in order
    ]
    summaries: dict[str, Callable[[int], str]] = {
        "mean": lambda n: _signed(mean(cells[pair, n]["gain"] for pair in order)),
        "worst pair": lambda n: _signed(min(cells[pair, n]["gain"] for pair in order)),
        "draws that lose more than 1 point": lambda n: (
            f"{100 * mean(cells[pair, n]['harmed'] for pair in order):.0f} %"
        ),
    }
    body += [[name, *map(value, counts)] for name, value in summaries.items()]
    return ["labels", *map(str, counts)], body


def _trained(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    before = {_key(run): run["macro_f1"] for run in runs if run["use"] == "shares"}
    bias = {(*_key(run), run["labels"]): run["gain"] for run in runs if run["use"] == "bias"}
    body = []
    trained = [run for run in runs if run["use"] == "train"]
    both = {(*_key(run), run["labels"]): run["macro_f1"] for run in runs if run["use"] == "both"}
    for run in sorted(trained, key=lambda run: run["macro_f1"] - before[_key(run)]):
        key, place = _key(run), (*_key(run), run["labels"])
        shown = [bias.get(place), run["macro_f1"] - before[key]]
        shown.append(both[place] - before[key] if place in both else None)
        cells = ["-" if value is None else _signed(value) for value in shown]
        body.append([_pair(run), str(run["seed"]), str(run["labels"]), *cells])
    return ["pair", "seed", "labels", "bias", "train", "both"], body


def _by_pair(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_pair(run), []).append(run)
    return groups


def _pair(run: Run) -> str:
    return f"{run['source']} to {run['target']}"


def _key(run: Run) -> tuple[str, str, int]:
    return run["source"], run["target"], run["seed"]


def _number(value: float) -> str:
    return f"{value:.1f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
