"""The table at the end of a run, from the content of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.reporting.comparison import conclusions, main_measure, method_title
from nlp_adapt.reporting.label_free import verdict_sentences
from nlp_adapt.reporting.several import scores_by_domain, side_title
from nlp_adapt.tasks import TASKS

Row = list[str]

# Columns by task: key in the metrics, name in the table.
MEASURES = {
    name: tuple((one.key, one.title) for one in task.measures) for name, task in TASKS.items()
}
MISSING = "-"


def render(results: Mapping[str, Any]) -> str:
    """The whole report as plain text: heading, tables by model, domain and type, conclusions."""
    parts = [heading(results), layout(comparison_rows(results))]
    parts += [layout(rows) for side in ("source", "target") if (rows := domain_rows(results, side))]
    parts += [
        layout(rows) for domain in ("source", "target") if (rows := span_rows(results, domain))
    ]
    parts.append("\n".join([*conclusions(results), *verdict_sentences(results)]))
    return "\n\n".join(parts)


def heading(results: Mapping[str, Any]) -> str:
    """What was adapted to what."""
    source, target = results.get("source") or {}, results.get("target") or {}
    line = f"{_domain(source)} -> {_domain(target)}" if target else _domain(source)
    return f"{line}; {results['model']}, seed {results['seed']}"


def comparison_rows(results: Mapping[str, Any]) -> list[Row]:
    """The main table: a header, a row for each model, and the difference in points."""
    measures = MEASURES[results["task"]]
    columns = [(domain, key) for domain in ("source", "target") for key, _ in measures]
    titles = [side_title(results, domain) for domain in ("source", "target")]
    header = ["%", *(f"{title} {name}" for title in titles for _, name in measures)]
    models = model_scores(results)
    rows = [header]
    for name, scores in models.items():
        rows.append([name, *(percent(_score(scores, *column)) for column in columns)])
    if len(models) == 2:
        before, after = models.values()
        rows.append(
            [
                "difference",
                *(points(_score(before, *column), _score(after, *column)) for column in columns),
            ]
        )
    return rows


def domain_rows(results: Mapping[str, Any], side: str) -> list[Row]:
    """The main measures of each model on each of a side's several domains; empty for a single one."""
    models = model_scores(results)
    measures = MEASURES[results["task"]]
    rows = []
    for name, scored in scores_by_domain(results, models, side):
        row = [name, *(percent(own.get(key)) for own in scored.values() for key, _ in measures)]
        if len(scored) == 2:
            before, after = (own.get(main_measure(results["task"])[0]) for own in scored.values())
            row.append(points(before, after))
        rows.append(row)
    if not rows:
        return []
    header = [f"{side}s, %", *(f"{model} {name}" for model in models for _, name in measures)]
    if len(models) == 2:
        header.append(f"{main_measure(results['task'])[1]} difference")
    return [header, *rows]


def type_rows(results: Mapping[str, Any]) -> list[Row]:
    """F1 by entity type on the target, or on the source where the target has no labels."""
    models = model_scores(results)
    for domain in ("target", "source"):
        by_model = {
            name: scores[domain]["per_type"]
            for name, scores in models.items()
            if (scores.get(domain) or {}).get("per_type")
        }
        if not by_model:
            continue
        types = sorted({kind for scores in by_model.values() for kind in scores})
        rows = [[f"F1 on {domain}, %", "spans", *by_model]]
        if len(by_model) == 2:
            rows[0].append("difference")
        for kind in types:
            entries = [scores.get(kind, {}) for scores in by_model.values()]
            values = [entry.get("f1") for entry in entries]
            support = next((entry["support"] for entry in entries if "support" in entry), None)
            row = [kind, MISSING if support is None else str(support), *map(percent, values)]
            if len(values) == 2:
                row.append(points(*values))
            rows.append(row)
        return rows
    return []


def span_rows(results: Mapping[str, Any], domain: str) -> list[Row]:
    """Precision, recall and F1 by entity type of each model on "source" or "target"."""
    scored = {
        name: scores[domain]["per_type"]
        for name, scores in model_scores(results).items()
        if (scores.get(domain) or {}).get("per_type")
    }
    if not scored:
        return []
    measures = (("precision", "P"), ("recall", "R"), ("f1", "F1"))
    rows = [[f"on {domain}, %", "spans", *(f"{name} {m}" for name in scored for _, m in measures)]]
    for kind in sorted({kind for by_type in scored.values() for kind in by_type}):
        entries = [by_type.get(kind, {}) for by_type in scored.values()]
        support = max(entry.get("support", 0) for entry in entries)
        values = [entry.get(key) for entry in entries for key, _ in measures]
        rows.append([kind, f"{support:,}", *map(percent, values)])
    if len(scored) == 2:
        rows[0].append("F1 difference")
        for row in rows[1:]:
            before, after = (by_type.get(row[0], {}).get("f1") for by_type in scored.values())
            row.append(points(before, after))
    return rows


def model_scores(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scores of each model of the run by the name that a reader sees."""
    models: dict[str, Mapping[str, Any]] = {}
    if results.get("source_only"):
        models["source-only"] = results["source_only"]
    if results.get("adapted"):
        models[method_title(results)] = results["adapted"]
    return models


def layout(rows: Sequence[Row]) -> str:
    """Rows in columns: names to the left, numbers to the right, a rule below the header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _domain(domain: Mapping[str, Any]) -> str:
    rows = domain.get("rows", {})
    counts = [f"{rows[split]:,} {split}" for split in ("train", "test") if rows.get(split)]
    name = str(domain.get("name", "?"))
    return f"{name} ({', '.join(counts)})" if counts else name


def _score(scores: Mapping[str, Any], domain: str, key: str) -> float | None:
    return (scores.get(domain) or {}).get(key)


def percent(value: float | None) -> str:
    """A share in per cent, with one decimal."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(before: float | None, after: float | None) -> str:
    """A signed difference of shares in points, with one decimal."""
    if before is None or after is None:
        return MISSING
    text = f"{100 * (after - before):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
