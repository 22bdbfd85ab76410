"""Several runs on one target, on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.files import write_text
from nlp_adapt.metrics.classification import comparable
from nlp_adapt.reporting.comparison import half_width
from nlp_adapt.reporting.page.charts import Bar, Dot, interval_dots, share_bars
from nlp_adapt.reporting.page.curves import Frame, Series, lines
from nlp_adapt.reporting.page.html import Cell, figure, grid, legend, page, section, table
from nlp_adapt.reporting.page.learning import curve
from nlp_adapt.reporting.page.material import Material, read_material
from nlp_adapt.reporting.page.scores import ESTIMATE_NOTE, estimate_dots
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import Results, as_written, main_measure, part, percent, placed
from nlp_adapt.reporting.runs import models_of, run_rows

KINDS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
MOST_CLASSES = 8
TWIN = "m0"


def write_comparison(folders: Sequence[str], out: str | Path) -> Path:
    """Write a page that shows runs on the same target side by side.

    Raises:
        RunError: A folder holds no finished run.
    """
    path = Path(out)
    with as_written(*folders):
        text = build_comparison({one: read_material(Path(one)) for one in folders})
    write_text(path, text)
    return path


def build_comparison(runs: Mapping[str, Material]) -> str:
    """The page as text, from what is known of each run by its folder."""
    results = {folder: material.results for folder, material in runs.items()}
    first = next(iter(results.values()))
    target = shown(part(first, "target").get("name", "the target"), 60)
    shown_models = _named(results)
    body = [
        f'<header><p class="eyebrow">{len(runs)} runs, {shown(first["task"])}</p>'
        f"<h1>Runs on {target}</h1></header>",
        _scores(results, shown_models),
        _learning(runs),
        _shares(shown_models),
        "<footer>This page is one file: it runs no script and loads nothing.</footer>",
    ]
    return page(f"Runs on {target}", "\n".join(body))


def _named(runs: Mapping[str, Results]) -> list[tuple[str, str, Results]]:
    """Name, colour and scores of each model; a name says its run where another has the same."""
    found = [
        (title, folder, scores, twin is None) for title, scores, twin, folder in models_of(runs)
    ]
    titles = [title for title, *_ in found]
    colours = iter(KINDS * len(found))
    return [
        (
            title if titles.count(title) == 1 else f"{title}, {Path(folder).name}",
            TWIN if is_twin else next(colours),
            scores,
        )
        for title, folder, scores, is_twin in found
    ]


def _scores(runs: Mapping[str, Results], models: Sequence[tuple[str, str, Results]]) -> str:
    measure = main_measure(next(iter(runs.values())))
    dots = [
        Dot(name, comparable(own, measure.key), half_width(own), kind)
        for name, kind, scores in models
        if (own := part(scores, "target"))
    ]
    pictures = [
        figure(title, interval_dots([("target", own)], title), note) if own else ""
        for title, own, note in (
            ("Test rows", dots, f"{measure.title}, %, with 95 % intervals"),
            ("Estimated accuracy, without labels", estimate_dots(models), ESTIMATE_NOTE),
        )
    ]
    head, *rows_ = run_rows(runs)
    listed: list[Sequence[Cell]] = [head, *rows_]
    return section("scores", "Scores", "", grid(*pictures, _classes(models)), table(listed))


def _classes(models: Sequence[tuple[str, str, Results]]) -> str:
    """F1 of each class or type by each model."""
    key = "per_class" if any(part(one, "target", "per_class") for *_, one in models) else "per_type"
    own = [(name, kind, part(one, "target", key)) for name, kind, one in models]
    names = sorted({name for *_, classes in own for name in classes})
    if not names or len(names) > MOST_CLASSES:
        return ""
    groups = [
        (one, [Bar(name, k[one]["f1"], kind) for name, kind, k in own if one in k]) for one in names
    ]
    title = "F1 by class" if key == "per_class" else "F1 by type"
    return figure(title, share_bars(groups, title), "on the target, %")


def _learning(runs: Mapping[str, Material]) -> str:
    """The curves of the adapted models."""
    own = {folder: placed(one.lines, one.models[-1].key) for folder, one in runs.items()}
    last = max((line["at"] for lines_ in own.values() for line in lines_), default=0)
    if not last:
        return ""
    names = {folder: Path(folder).name for folder in runs}
    kinds = dict(zip(runs, KINDS * len(runs), strict=False))
    measure = main_measure(next(iter(runs.values())).results)
    shares: dict[str, Any] = {"written": percent, "limits": (0.0, 1.0)}
    pictures = []
    for key, title, options in (
        ("loss", "Training loss", {}),
        (f"source_validation/{measure.key}", f"Held-out source: {measure.title}", shares),
        ("label_free", "Score without target labels", {"limits": (0.0, 1.0)}),
        ("estimated_accuracy", "Estimated accuracy on the target", shares),
    ):
        series = [
            Series(names[folder], points, kinds[folder])
            for folder, lines_ in own.items()
            if (points := curve(lines_, key))
        ]
        if series:
            pictures.append(figure(title, lines(series, Frame(last), title, **options)))
    marks = legend((kinds[folder], "line", names[folder]) for folder in runs)
    key_ = f'<div class="key legend">{marks}</div>'
    return section("learning", "Learning", "The adapted models.", key_, grid(*pictures))


def _shares(models: Sequence[tuple[str, str, Results]]) -> str:
    said = [(name, kind, part(one, "evidence", "predicted")) for name, kind, one in models]
    classes = list(dict.fromkeys(label for *_, own in said for label in own))
    if not classes or len(classes) > MOST_CLASSES:
        return ""
    groups = [
        (label, [Bar(name, own[label], kind) for name, kind, own in said if label in own])
        for label in classes
    ]
    title = "How often each model says each class"
    return section(
        "shares", "Class shares", "", grid(figure(title, share_bars(groups, title), "%"))
    )
