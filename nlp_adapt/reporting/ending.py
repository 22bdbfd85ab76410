"""The end of a run on one screen: the verdict, the table, the time it took, and what to do next."""

import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from nlp_adapt.names import TOKEN_CLASSIFICATION, counted
from nlp_adapt.reporting.comparison import answer_sentences, conclusions, verdict_sentences
from nlp_adapt.reporting.page import PAGE
from nlp_adapt.reporting.results import (
    SIDES,
    Results,
    is_source_only,
    method_title,
    model_scores,
    part,
    percent,
    share_sentences,
)
from nlp_adapt.reporting.table import Row, comparison_rows, domain_rows, heading, points, type_rows

MOST_KINDS = 8  # classes or types in a table
WIDTH = 96
OPEN = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")


def ending(
    results: Results, run: str | Path, width: int | None = None
) -> tuple[list[str], list[list[Row]]]:
    """What is said before the tables and after them, and the tables.

    Args:
        width: Of the lines; default: that of the terminal, at most 96.

    Returns:
        `[before, after]`, texts of some lines each, and the tables from the most important one.
    """
    width = width or min(shutil.get_terminal_size((WIDTH, 1)).columns, WIDTH)
    first, *others = conclusions(results)
    said = [*others, *share_sentences(results), *verdict_sentences(results)]
    said += answer_sentences(results)
    before = "\n\n".join(wrapped(one, width) for one in (heading(results), first))
    parts = ["\n".join(wrapped(one, width) for one in said), _spent(results), _next(results, run)]
    return [before, "\n\n".join(filter(None, parts))], list(filter(None, _tables(results)))


def wrapped(text: str, width: int) -> str:
    """A sentence in lines of at most `width` characters; words are never cut."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _tables(results: Results) -> Iterator[list[Row]]:
    yield comparison_rows(results)
    if results["task"] == TOKEN_CLASSIFICATION:
        rows = type_rows(results)
        yield rows if len(rows) <= MOST_KINDS + 1 else []
    else:
        yield class_rows(results)
    for side in SIDES:
        yield domain_rows(results, side)


def class_rows(results: Results) -> list[Row]:
    """F1 of each class on the target (or the source) by each model; empty where there are many."""
    for side in reversed(SIDES):
        own = {name: part(one, side, "per_class") for name, one in model_scores(results).items()}
        own = {name: classes for name, classes in own.items() if classes}
        if not own:
            continue
        names = list(next(iter(own.values())))
        if len(names) > MOST_KINDS:
            return []
        two = len(own) == 2
        rows = [[f"F1 on {side}, %", *own, *(["difference"] if two else []), "rows"]]
        for name in names:
            entries = [classes.get(name, {}) for classes in own.values()]
            scores = [entry.get("f1") for entry in entries]
            gain = [points(*scores)] if two else []
            count = max(entry.get("support", 0) for entry in entries)
            rows.append([name, *map(percent, scores), *gain, f"{count:,.0f}"])
        return rows
    return []


def _spent(results: Results) -> str:
    """How long each model took."""
    took = [
        f"{name} {duration(scores['seconds'])} ({counted(scores['steps'], 'step')})"
        for name, scores in model_scores(results).items()
        if "seconds" in scores
    ]
    return f"Trained: {', '.join(took)}." if took else ""


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _next(results: Results, run: str | Path) -> str:
    """The commands that come next; a review needs two models."""
    place = shlex.quote(str(run))
    kept = "source-only" if results.get("exported") == "source_only" else method_title(results)
    two = results.get("source_only") and not is_source_only(results)
    commands: Sequence[tuple[str, str]] = (
        (f"{OPEN} {shlex.quote(str(Path(run) / PAGE))}", "see the run"),
        *([(f"nlp-adapt review {place}", "judge both models")] if two else []),
        (f"nlp-adapt predict {place} TEXTS.csv --out LABELS.csv", "label new texts"),
    )
    wide = max(len(command) for command, _ in commands)
    lines = [f"  {command.ljust(wide)}   {what}" for command, what in commands]
    return "\n".join([f"The {kept} model is in {run}/model. Next:", *lines])
