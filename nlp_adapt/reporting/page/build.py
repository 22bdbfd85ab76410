"""The whole page of a run, written beside its results."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nlp_adapt
from nlp_adapt.escaping import shareable
from nlp_adapt.files import write_text
from nlp_adapt.names import counted
from nlp_adapt.reporting.page import PAGE
from nlp_adapt.reporting.page.about import about
from nlp_adapt.reporting.page.domains import calibration, domains
from nlp_adapt.reporting.page.html import page
from nlp_adapt.reporting.page.learning import learning
from nlp_adapt.reporting.page.material import Material, read_material
from nlp_adapt.reporting.page.mistakes import mistakes, shares
from nlp_adapt.reporting.page.scores import scores, verdict
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import Results, as_written, method_title, part

LOGGER = logging.getLogger("nlp_adapt")


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
        "about": ("The run", about(material, private)),
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
