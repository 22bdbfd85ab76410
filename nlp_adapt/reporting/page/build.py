"""The whole page of a run, written beside its results; its last section says what the run was."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nlp_adapt
from nlp_adapt.escaping import shareable
from nlp_adapt.files import write_text
from nlp_adapt.names import counted
from nlp_adapt.reporting.card import recipe_to_repeat
from nlp_adapt.reporting.ending import duration
from nlp_adapt.reporting.page import PAGE
from nlp_adapt.reporting.page.charts import strip
from nlp_adapt.reporting.page.domains import calibration, domains
from nlp_adapt.reporting.page.html import Cell, facts, figure, fold, grid, page, section, table
from nlp_adapt.reporting.page.learning import learning
from nlp_adapt.reporting.page.material import Material, read_material
from nlp_adapt.reporting.page.mistakes import mistakes, shares
from nlp_adapt.reporting.page.scores import scores, verdict
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import SIDES, Results, as_written, main_measure, method_title, part
from nlp_adapt.reporting.runs import seed_sentence

LOGGER = logging.getLogger("nlp_adapt")
MARKS = {"serious": "serious", "warning": "warning"}


def write_report(
    run: str | Path, out: str | Path | None = None, examples: str = "", *, private: bool = True
) -> Path:
    """Write the report page of a finished run.

    Args:
        out: The page; default: `report.html` in the run's folder.
        examples: A section with rows of the data, for the eyes of their owner.
        private: Whether what may quote rows, such as the doctor's findings, is in it.

    Raises:
        RunError: The folder holds no finished run, or the page cannot be written.
    """
    path = Path(run) / PAGE if out is None else Path(out)
    with as_written(run):
        text = build_report(read_material(Path(run)), examples, private=private)
    write_text(path, text)
    return path


def report_run(run: Path) -> None:
    """Write the page at the end of a run, whose results are safe whatever becomes of it."""
    try:
        write_report(run)
    except Exception as error:
        LOGGER.warning(
            "%s could not be written (%s: %s): `nlp-adapt report %s` tries again.",
            run / PAGE, type(error).__name__, error, run,
        )  # fmt: skip


def build_report(material: Material, examples: str = "", *, private: bool = True) -> str:
    """The page as text."""
    sections = {
        "scores": ("Scores", scores(material)),
        "learning": ("Learning", learning(material)),
        "mistakes": ("Confusions", mistakes(material)),
        "shares": ("Class shares", shares(material)),
        "domains": ("Domains", domains(material)),
        "calibration": ("Calibration", calibration(material)),
        "examples": ("Examples", examples),
        "about": ("The run", _about(material, private)),
    }
    there = {name: pair for name, pair in sections.items() if pair[1]}
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in there.items())
    body = [
        _header(material.results),
        verdict(material),
        f'<nav aria-label="Sections">{links}</nav>',
        *(text for _, text in there.values()),
        f"<footer>Written by nlp_adapt {shown(nlp_adapt.__version__)}. This page is one file: it "
        "runs no script and loads nothing.</footer>",
    ]
    return page(_title(material.results), "\n".join(body))


def _title(results: Results) -> str:
    return f"{' → '.join(_names(results))}: {shown(results['method'])}"


def _names(results: Results) -> list[str]:
    sides = [part(results, side).get("name") for side in ("source", "target")]
    return [shown(name, 60) for name in sides if name]


def _header(results: Mapping[str, Any]) -> str:
    names = ' <span class="to">→</span> '.join(_names(results))
    rows = [
        f"{counted(count, kind)}"
        for kind, count in (
            ("labelled source row", part(results, "source", "rows").get("train")),
            ("unlabelled target row", part(results, "target", "rows").get("train")),
        )
        if count
    ]
    under = [
        f"<b>{shown(method_title(results))}</b>",
        f"on {shown(shareable(str(results['model'])))}",
        *rows,
    ]
    return (
        f'<header><p class="eyebrow">Domain adaptation, {shown(results["task"])}</p>'
        f'<h1>{names}</h1><p class="under">{" · ".join(under)}</p></header>'
    )


def _about(material: Material, private: bool = True) -> str:
    """Everything else that a reader may ask.

    Args:
        private: Whether findings, which may quote rows, are shown.
    """
    results = material.results
    findings = results.get("findings") or [] if private else []
    return section(
        "about", "The run", "",
        table([["data", "train", "validation", "test"], *_data(material)]),
        facts(_facts(material)),
        _findings(findings),
        _seeds(material),
        fold("Recipe", f"<pre>{_escaped(recipe_to_repeat(material.recipe))}</pre>"),
        fold("Versions", facts((shown(k), shown(v)) for k, v in part(results, "versions").items())),
    )  # fmt: skip


def _escaped(text: str) -> str:
    """Lines with their indentation."""
    lines = text.splitlines()
    return "\n".join(" " * (len(one) - len(one.lstrip())) + shown(one) for one in lines)


def _data(material: Material) -> Iterator[list[Cell]]:
    for side in SIDES:
        own = part(material.results, side)
        for domain in own.get("domains") or ([own] if own else []):
            rows = domain.get("rows", {})
            counts = [rows.get(split) for split in ("train", "validation", "test")]
            written = ["–" if count is None else f"{count:,}" for count in counts]
            if drawn := part(domain, "drawn_from").get("test"):
                written[2] += f" of {drawn:,}"
            yield [f"{side}: {domain.get('name', '')}", *written]


def _facts(material: Material) -> Iterator[tuple[str, str]]:
    results = material.results
    yield "encoder", shown(shareable(str(results["model"])))
    yield "method", shown(results["method"])
    yield "seed", shown(results["seed"])
    for model in material.models:
        if "steps" in model.scores:
            took = duration(model.scores.get("seconds", 0.0))
            yield shown(model.title), f"{counted(model.scores['steps'], 'step')} in {took}"
    if cost := results.get("cost"):
        yield "parameters", f"{cost['parameters']:,} ({cost['trained_parameters']:,} trained)"
        yield "tokens read", f"about {cost['tokens_to_train']:,}"
    machine = part(results, "machine")
    if machine:
        cores = f", {counted(machine['cores'], 'core')}" if machine.get("cores") else ""
        yield "machine", f"{shown(machine.get('device'))}{cores}, {shown(machine.get('platform'))}"
    yield "precision", shown(results.get("precision", ""))
    yield "longest row", f"{results['max_length']:,} tokens" if results.get("max_length") else ""
    if rows := part(results, "target_labels").get("rows"):
        yield "labelled target rows trained on", f"{rows:,}"
    for name, one in part(results, "auxiliary").items():
        yield f"auxiliary task {shown(name)}", f"{counted(one['rows'], 'row')}"


def _findings(findings: list[dict[str, Any]]) -> str:
    items = "".join(
        f'<li class="{MARKS.get(str(one.get("severity")), "note")}">{shown(one.get("domain", ""))}: '
        f"{shown(one.get('message', ''))}<small>{shown(one.get('advice', ''))}</small></li>"
        for one in findings
    )
    return f'<h3>What the data doctor found</h3><ul class="findings">{items}</ul>' if items else ""


def _seeds(material: Material) -> str:
    """What each seed has scored, where several are known."""
    runs = material.results.get("seeds") or []
    if len(runs) < 2:
        return ""
    rows = []
    for side in SIDES:
        for model in material.models:
            own = [
                (f"seed {run['seed']}", value)
                for run in runs
                if (value := part(run, model.key).get(side)) is not None
            ]
            if own:
                rows.append((f"{model.title}, {side}", own, model.kind))
    title, measure = f"Scores of {len(runs)} seeds", main_measure(material.results).title
    note = f"{measure}, %, and the mean. {shown(seed_sentence(material.results))}"
    return grid(figure(title, strip(rows, title), note))
