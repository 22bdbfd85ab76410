"""What the run was: data, findings, cost, versions, recipe, seeds."""

from collections.abc import Iterator
from typing import Any

from nlp_adapt.escaping import shareable
from nlp_adapt.names import counted
from nlp_adapt.reporting.card import recipe_to_repeat
from nlp_adapt.reporting.ending import duration
from nlp_adapt.reporting.page.charts import strip
from nlp_adapt.reporting.page.html import Cell, facts, figure, fold, grid, section, table
from nlp_adapt.reporting.page.material import Material
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import SIDES, main_measure, part
from nlp_adapt.reporting.runs import seed_sentence

MARKS = {"serious": "serious", "warning": "warning"}


def about(material: Material, private: bool = True) -> str:
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
    return "\n".join(
        shown(line) if line.strip() == line else _indented(line) for line in text.splitlines()
    )


def _indented(line: str) -> str:
    return " " * (len(line) - len(line.lstrip())) + shown(line)


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
    title = f"{main_measure(material.results).title} of {len(runs)} seeds"
    picture = strip(rows, title)
    return grid(figure(title, picture, f"%; {shown(seed_sentence(material.results))}"))
