"""The page of `benchmark_methods.py`: methods beside yardsticks that need no target labels."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmark_runs import OLDER, Run
from methods_table import (
    DISTILLED,
    SOURCE_ONLY,
    TWIN,
    Cell,
    Pair,
    Table,
    by_pair,
    gains,
    half_width,
    is_yardstick,
    mean,
    shared,
)

EXPLAINED = """\
Every column has the same pairs and seeds, or says how many runs it has. A mean is over the pairs' own \
means. `twin_of_METHOD` is source-only under the method's own schedule: the same stages, learning-rate \
cycles and choice of a checkpoint. `best threshold` is what the constants for the classes' logits (of \
words: for that of `O`) that the target's test labels would choose give: an oracle, for reading only."""
DISTILLED_EXPLAINED = """\
`distilled_from_ENCODER` has learnt, on the target's raw text, the answers of that encoder's source-only model \
(1,500 rows of the source, 2 epochs at 2e-5), and keeps to the class shares that its teacher has there."""
GAINS_EXPLAINED = """\
Points above a yardstick on the same pairs and seeds. A gain counts where it holds against the **best \
label-free yardstick**, which is in bold: where its interval lies above 0. Intervals are 95 % t intervals \
over the pairs' mean gains, each the mean of its seeds; pairs that share a domain are not independent, so \
they are rather too narrow. The last rows of a method hold it against its twin at the best threshold, \
which no user has: a method below it moves the threshold rather than ranking better."""


def report(suite: dict[str, Any], encoder: str, command: str, runs: Sequence[Run]) -> str:
    """The page: scores, gains, each pair with the worst first, and what was measured by older code."""
    runs = [run for run in runs if run["encoder"] == encoder]
    code = next((run["code"] for run in reversed(runs)), OLDER)
    settings = next((run["set"] for run in reversed(runs)), {})
    table = Table(
        [run for run in runs if (run["code"], run["set"]) == (code, settings)], suite["measure"]
    )
    rest = [run for run in runs if (run["code"], run["set"]) != (code, settings)]
    made_with = "**older code** than this page knows by a hash" if code == OLDER else f"`{code}`"
    parts = [
        f"# {suite['heading']}, {encoder.removeprefix('builtin:')}",
        f"{suite['title']} in percent on the target's {suite['held_out']}. Encoder: `{encoder}`. "
        f"Code: {made_with}.",
        *suite.get("notes", ()),
        EXPLAINED,
        *([DISTILLED_EXPLAINED] if any(DISTILLED in name for name in table.methods) else []),
        *_unfinished(table, suite.get("pairs", ())),
        f"Made by `{command}`.",
        _markdown(score_rows(table, suite)),
    ]
    found = gain_rows(table)
    if len(found) > 1:
        parts += ["## Gains", GAINS_EXPLAINED, _markdown(found)]
    parts += ["## By pair", _order(table), _markdown(pair_rows(table))]
    if any(table.cells(method, "auc") for method in table.methods):
        parts += ["## Area under the ROC curve, by pair", _markdown(pair_rows(table, "auc"))]
    parts += suite.get("published", ())
    if rest:
        parts += [
            "## Other code or settings",
            _OLDER_EXPLAINED,
            _markdown(older_rows(rest, suite["measure"])),
        ]
    if table.runs:
        last = table.runs[-1]
        parts.append(
            f"Versions: {json.dumps(last['versions'])}. Machine: {json.dumps(last['machine'])}, "
            f"precision {last['precision']}."
        )
    return "\n\n".join(parts) + "\n"


_OLDER_EXPLAINED = (
    "Other code or settings, other training: these are not to be compared with the tables above."
)


def score_rows(table: Table, suite: dict[str, Any]) -> list[list[str]]:
    """Every column's means over its pairs."""
    keys = {
        "precision": suite["precision"],
        "recall": suite["recall"],
        "best threshold": ("oracle", table.measure),
        "AUC": ("auc",),
    }
    rows = [["method", "runs", "mean", "median", *keys]]
    for method in table.methods:
        cells = table.cells(method)
        if not cells:  # it has no seed in common with the others yet
            continue
        values = by_pair(cells)
        more = [table.cells(method, *path) for path in keys.values()]
        shown = [_of_all(own, len(cells)) for own in more]
        middle = statistics.median(values.values())
        rows.append([method, f"{len(cells)}", _with_spread(cells), f"{100 * middle:.1f}", *shown])
    return _without_empty(rows)


def gain_rows(table: Table) -> list[list[str]]:
    """Every method against its yardsticks, the best first, and its twin at the best threshold."""
    rows = [["method", "against", "runs", "mean gain", "interval", "median", "worst pair"]]
    rows[0] += ["pairs worse by > 1 point", "counts"]
    for method in table.methods:
        for place, name in enumerate(table.yardsticks(method)):
            title = name if place else f"**{name}**"
            rows.append(_gain_row(table, method, title, table.cells(name), judged=not place))
            ranks = gains(table.cells(method, "auc"), table.cells(name, "auc"))
            rows[-1] += [f"{100 * mean(ranks):+.1f}"] if ranks else []
        twin = f"{TWIN}{method}"
        twin = twin if twin in table.methods else SOURCE_ONLY
        oracle = table.cells(twin, "oracle", table.measure)
        if not is_yardstick(method) and shared(oracle, table.cells(method)):
            rows.append(_gain_row(table, method, f"{twin}, best threshold", oracle))
    if max(map(len, rows)) > len(rows[0]):
        rows[0].append("AUC gain")
        rows[1:] = [row + [""] * (len(rows[0]) - len(row)) for row in rows[1:]]
    return rows


def pair_rows(table: Table, *keys: str) -> list[list[str]]:
    """Every column's mean on each pair, with the spread over seeds; the worst pair first.

    Args:
        keys: Of the score that is shown; the main measure if none.
    """
    rows = [["pair", *table.methods]]
    for pair in _worst_first(table):
        cells = [
            {cell: value for cell, value in table.cells(method, *keys).items() if cell[0] == pair}
            for method in table.methods
        ]
        rows.append([_name(pair), *(_with_spread(own) if own else "" for own in cells)])
    return rows


def older_rows(runs: Sequence[Run], measure: str) -> list[list[str]]:
    """Means of what other code, or the same with other settings, has measured."""
    rows = [["method", "code", "settings", "runs", "mean"]]
    made: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        words = " ".join(f"{key}={value}" for key, value in run["set"].items())
        made.setdefault((run["code"], words), []).append(run)
    for (code, words), own in made.items():
        table = Table(own, measure)
        for method in table.methods:
            cells = table.cells(method)
            if cells:
                rows.append([method, code, words, f"{len(cells)}", _with_spread(cells)])
    return rows


def _judged(table: Table) -> tuple[str, str] | None:
    """The first method that has a yardstick, and its best one."""
    for method in table.methods:
        if best := table.yardsticks(method):
            return method, best[0]
    return None


def _worst_first(table: Table) -> list[Pair]:
    if (judged := _judged(table)) is None:
        return table.pairs
    method, best = judged
    found = gains(table.cells(method), table.cells(best))
    return sorted(table.pairs, key=lambda pair: found.get(pair, float("inf")))


def _order(table: Table) -> str:
    if (judged := _judged(table)) is None:
        return "In brackets: the standard deviation over seeds."
    return (
        f"The pair on which `{judged[0]}` does worst against `{judged[1]}` comes first. In brackets: "
        "the standard deviation over seeds."
    )


def _gain_row(
    table: Table, method: str, title: str, before: dict[Cell, float], *, judged: bool = False
) -> list[str]:
    after = table.cells(method)
    own = gains(after, before)
    width, middle = half_width(own), statistics.median(own.values())
    worst = min(own, key=lambda pair: own[pair])
    counts = ""
    if judged:
        counts = "yes" if width is not None and mean(own) - width > 0 else "no"
    return [
        method,
        title,
        f"{len(shared(after, before))}",
        f"{100 * mean(own):+.1f}",
        "" if width is None else f"{100 * (mean(own) - width):+.1f} to {100 * (mean(own) + width):+.1f}",
        f"{100 * middle:+.1f}",
        f"{_name(worst)} {100 * own[worst]:+.1f}",
        f"{sum(gain < -0.01 for gain in own.values())}",
        counts,
    ]  # fmt: skip


def _unfinished(table: Table, wanted: Sequence[Pair]) -> list[str]:
    """What is missing: pairs of the suite, seeds, and runs that other columns have."""
    said = []
    if missing := [_name(pair) for pair in wanted if table.pairs and pair not in table.pairs]:
        said.append(
            f"**{len(missing)} of {len(wanted)} pairs not measured:** {', '.join(missing)}."
        )
    if 0 < len(table.seeds) < 3:
        said.append(f"**{len(table.seeds)} of at least three seeds:** take no number for settled.")
    if table.short:
        said.append(
            f"**Unfinished:** {', '.join(table.short)} lack some of {len(table.pairs)} pairs and "
            f"{len(table.seeds)} seeds. Their means are over what is there; gains are always over the "
            "same pairs and seeds on both sides."
        )
    return said


def _with_spread(cells: dict[Cell, float]) -> str:
    """Mean over pairs, and the standard deviation over seeds, averaged over pairs."""
    by_seed: dict[Pair, list[float]] = {}
    for (pair, _), value in cells.items():
        by_seed.setdefault(pair, []).append(value)
    spread = [statistics.stdev(own) for own in by_seed.values() if len(own) > 1]
    text = f"{100 * mean(by_pair(cells)):.1f}"
    return f"{text} ({100 * statistics.fmean(spread):.1f})" if spread else text


def _of_all(cells: dict[Cell, float], whole: int) -> str:
    """A mean over pairs, with the number of runs where not all have the score."""
    if not cells:
        return ""
    text = f"{100 * mean(by_pair(cells)):.1f}"
    return text if len(cells) == whole else f"{text} ({len(cells)} runs)"


def _name(pair: Pair) -> str:
    return f"{pair[0]} to {pair[1]}"


def _without_empty(rows: list[list[str]]) -> list[list[str]]:
    """Without the columns that no row fills."""
    kept = [any(row[place] for row in rows[1:]) or place < 4 for place in range(len(rows[0]))]
    return [[cell for cell, keep in zip(row, kept, strict=True) if keep] for row in rows]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(rows[0])
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])
