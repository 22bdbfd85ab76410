"""The page of `benchmark_review.py`: the worst case first, then every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LABELS = 40
BUDGETS = (10, 20, 40, 80)
LOOKS = (40, 80, 160, 320)
MOST_LABELS = 3000
RIGHT, CLEAR = 0.95, 0.03
TITLE = """\
# Forty answers

Which of two models is better, by [`nlp-adapt review`](../how-to/review.md): rows drawn from those on which \
they differ, against as many rows drawn from all. Simulated on models whose target labels are known, each against \
its source-only twin, from what both answer on the target's test rows.

Made by `python scripts/benchmark_review.py` from the predictions that [the study of validators](validators.md) \
has stored; nothing is trained."""
NAMED = """\
## Who leads

Share of draws, in percent, in which the better model leads after so many labels; a tie is half of one. `gain` is \
the true difference of accuracy in points, `differ` the share of rows on which the models differ."""
NEEDED = """\
## Labels needed, and the verdict

Labels after which the better model leads in 95 % of draws, and from then on; `ratio` is review to random. `settled` is \
the share of draws in which the 95 % interval of 40 answers at the first look excludes 0, on the right and the wrong \
side, and `covered` that in which it holds the true difference."""
FORMULA = """\
## When forty are enough

With two classes one of two models that differ is right, so all rests on the ratio of the true difference to the share of \
rows on which they differ: the better model is right on `(1 + gain / differ) / 2` of these. Share of reviews, in percent, in \
which it leads after 40 labels, and in brackets the labels for 95 %, by the binomial. Random rows need 1 / `differ` \
times as many."""
PRICE = """\
## The price of being asked again

Mean width of the interval against the exact (Clopper-Pearson) one for a number of answers that was fixed before, \
by how often the better model is right where they differ (percent), at the first look (40) and at later ones; and how \
often each covers, in percent: at the first look, and at all four looks together, where the fixed one is used in a way \
that it does not allow. 4,000 draws, level 95 %."""
SHARES, GAINS = (0.05, 0.1, 0.2, 0.3), (0.01, 0.03, 0.05, 0.1)
Run = dict[str, Any]


def page(
    found: dict[str, Run],
    draws: int,
    alike: int,
    formula: Callable[[float, float], tuple[float, int]],
    price: Sequence[Sequence[str]],
) -> str:
    """The page.

    Args:
        found: What was simulated of each run, by its name.
        alike: How many models more answer every row as their twin does.
        formula: By the share of disagreement and the gain, the share of reviews in which the better
            model leads, and the labels for 95 %.
        price: The rows of the last table.
    """
    worst_first = dict(sorted(found.items(), key=lambda one: one[1][f"review_{LABELS}"]))
    parts = [TITLE]
    if alike:
        parts.append(f"{alike} models more answer every row as their twin does, and are left out.")
    if found:
        parts += [summary(worst_first, draws), NAMED, table(named_rows(worst_first))]
        parts += [NEEDED, table(needed_rows(worst_first))]
    parts += [FORMULA, table(formula_rows(formula)), PRICE, table(price_rows(price))]
    return "\n\n".join(parts) + "\n"


def summary(worst_first: dict[str, Run], draws: int) -> str:
    """Whether the claim holds: 95 % at 40 labels, with a fourth of the labels of random rows."""
    clear = {name: one for name, one in worst_first.items() if abs(one["gain"]) > CLEAR}
    if not clear:
        return f"None of {len(worst_first)} runs has a difference of over 3 points."
    rights = np.array([one[f"review_{LABELS}"] for one in clear.values()])
    randoms = np.array([one[f"random_{LABELS}"] for one in clear.values()])
    both = [one for one in clear.values() if one["review_needed"] and one["random_needed"]]
    ratios = np.array([one["review_needed"] / one["random_needed"] for one in both])
    said = (
        f"**Worst first**: {len(clear)} of {len(worst_first)} runs have a difference of over 3 points, and in "
        f"the worst of them, {next(iter(clear))}, the better model leads after {LABELS} labels in "
        f"{100 * rights.min():.1f} % of {draws:,} draws (mean of these runs {100 * rights.mean():.1f} %, with "
        f"as many rows drawn from all {100 * randoms.mean():.1f} %). At least 95 % was hoped for: "
        f"{(rights >= RIGHT).sum()} of {len(clear)} runs have that."
    )
    if len(ratios):
        said += (
            f" For 95 % a review needs {100 * ratios.max():.0f} % of the labels of random rows at worst, "
            f"{100 * ratios.mean():.0f} % in the mean; at most a fourth was hoped for."
        )
    return said


def named_rows(worst_first: dict[str, Run]) -> list[list[str]]:
    """Who leads after so many labels."""
    columns = [(way, count) for way in ("review", "random") for count in BUDGETS]
    rows = [["run", "gain", "differ", *(f"{way}, {count}" for way, count in columns)]]
    for name, one in worst_first.items():
        shares = [one["share"], *(one[f"{way}_{count}"] for way, count in columns)]
        rows.append(
            [name, f"{100 * one['gain']:+.1f}", *(f"{100 * share:.1f}" for share in shares)]
        )
    return rows


def needed_rows(worst_first: dict[str, Run]) -> list[list[str]]:
    """Labels for 95 %, and what the interval says at 40."""
    verdicts = ("settled_right", "settled_wrong", "covered")
    rows = [["run", "gain", "review", "random", "ratio", *(v.replace("_", " ") for v in verdicts)]]
    for name, one in worst_first.items():
        needed = [one["review_needed"], one["random_needed"]]
        shown = [f"> {MOST_LABELS:,}" if n is None else f"{n:,}" for n in needed]
        ratio = f"{100 * needed[0] / needed[1]:.0f} %" if all(needed) else "-"
        shares = [f"{100 * one[key]:.1f}" for key in verdicts]
        rows.append([name, f"{100 * one['gain']:+.1f}", *shown, ratio, *shares])
    return rows


def formula_rows(formula: Callable[[float, float], tuple[float, int]]) -> list[list[str]]:
    """Who leads after 40 labels, and labels for 95 %, by share of disagreement and gain."""
    rows = [["differ", *(f"gain {100 * gain:.0f}" for gain in GAINS)]]
    for share in SHARES:
        cells = [formula(share, gain) if gain <= share else None for gain in GAINS]
        shown = [f"{100 * cell[0]:.0f} ({cell[1]:,})" if cell else "-" for cell in cells]
        rows.append([f"{100 * share:.0f}", *shown])
    return rows


def price_rows(price: Sequence[Sequence[str]]) -> list[list[str]]:
    """Widths and coverage."""
    widths = [f"width, {look}" for look in LOOKS]
    covers = ["covers at 40", "fixed at 40", "covers at all looks", "fixed at all looks"]
    return [["better on", *widths, *covers], *map(list, price)]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown, the first as their header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
