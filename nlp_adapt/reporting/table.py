"""The tables of a run's report and of one model's evaluation, and both as plain text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_adapt.escaping import in_lines
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted
from nlp_adapt.reporting.results import (
    MISSING,
    SIDES,
    Results,
    main_measure,
    model_scores,
    part,
    percent,
)
from nlp_adapt.reporting.yardsticks import own_rows
from nlp_adapt.tasks import TASKS

Row = list[str]
ERRORS = ("correct", "wrong_type", "wrong_boundary", "missed", "spurious")
# Title, where the number stands in a model's scores, its factor and its decimals.
SIGNS = (
    ("estimated accuracy on the target, %", "label_free", "estimated_accuracy", 100, 1),
    ("information maximisation on the target", "label_free", "information_maximisation", 1, 3),
    ("{quality} on held-out source rows, %", "label_free", "source_risk", 100, 1),
    ("domain distance of the features (0 to 2)", "evidence", "domain_distance", 1, 2),
)


def heading(results: Results) -> str:
    """What was adapted to what."""
    sides = [
        _domain(part(results, side)) for side in SIDES if side == "source" or results.get(side)
    ]
    return f"{' -> '.join(sides)}; {results['model']}, seed {results['seed']}"


def comparison_rows(results: Results) -> list[Row]:
    """The main table: a header, a row for each model, and the difference in points."""
    measures = TASKS[results["task"]].measures
    # Of several domains, the numbers are the means.
    sides = [f"mean {side}" if _has_several(results, side) else side for side in SIDES]
    models = {
        name: [part(scores, side).get(one.key) for side in SIDES for one in measures]
        for name, scores in model_scores(results).items()
    }
    rows = [["%", *(f"{side} {one.title}" for side in sides for one in measures)]]
    rows += [[name, *map(percent, values)] for name, values in models.items()]
    if len(models) == 2:
        rows.append(["difference", *map(points, *models.values())])
    return rows


def domain_rows(results: Results, side: str) -> list[Row]:
    """The main measures of each model on each of a side's several domains; empty for a single one."""
    if not _has_several(results, side):
        return []
    models, main = model_scores(results), main_measure(results)
    measures = TASKS[results["task"]].measures
    header = [f"{side}s, %", *(f"{model} {one.title}" for model in models for one in measures)]
    header += [f"{main.title} difference"] if len(models) == 2 else []
    rows = [header]
    for domain in results[side]["domains"]:
        name = str(domain["name"])
        scored = [part(scores, side, "domains", name) for scores in models.values()]
        values = [own.get(one.key) for own in scored for one in measures]
        rows.append([name, *map(percent, values), *_gain(own.get(main.key) for own in scored)])
    return rows


def type_rows(results: Results) -> list[Row]:
    """F1 by entity type on the target, or on the source where the target has no labels."""
    return next(filter(None, (_by_type(results, side) for side in reversed(SIDES))), [])


def sign_rows(results: Results) -> list[Row]:
    """The label-free signs of each model; empty where none was taken."""
    models = model_scores(results)
    if not any(scores.get("evidence") for scores in models.values()):
        return []
    rows = [["without target labels", *models]]
    evidence = [part(scores, "evidence") for scores in models.values()]
    # Runs of earlier versions looked at the recall of tags.
    spans = any("source_variance" in own for own in evidence)
    quality = "span F1" if spans else "balanced accuracy"
    for title, place, key, factor, places in SIGNS:
        values = [part(scores, place).get(key) for scores in models.values()]
        shown = [MISSING if value is None else f"{factor * value:.{places}f}" for value in values]
        rows.append([title.format(quality=quality), *shown])
    return rows


def render_evaluation(report: Mapping[str, Any]) -> str:
    """The whole report of `nlp-adapt evaluate` as plain text."""
    task, metrics, attack = report["task"], report["metrics"], report.get("attack")
    attacked, name = (attack["metrics"], attack["kind"]) if attack else (None, "")
    # A file without splits is read as rows to train on, whatever it is for.
    split = "" if report["split"] == "train" else f"{report['split']}, "
    main = main_rows(task, metrics, attacked, name)
    if not attack:
        main += own_rows(task, metrics)
    parts = [
        f"{report['model']} on {report['data']} ({split}{counted(report['rows'], 'labelled row')})",
        layout(main),
    ]
    if attack:
        parts.append(_attack_in_words(task, attack))
    tables = (kind_rows(metrics, attacked, name), error_rows(metrics, attacked, name))
    return "\n\n".join([*parts, *(layout(rows) for rows in tables if rows)])


def main_rows(
    task: str, metrics: Mapping[str, Any], attacked: Mapping[str, Any] | None = None, name: str = ""
) -> list[Row]:
    """The task's measures; with those under the attack `name` and the difference beside them."""
    rows = [["%", "clean", name, "difference"] if attacked else ["%", "value"]]
    for one in TASKS[task].measures:
        values = [scores.get(one.key) for scores in (metrics, attacked) if scores]
        rows.append([one.title, *map(percent, values), *([points(*values)] if attacked else [])])
    return rows


def kind_rows(
    metrics: Mapping[str, Any], attacked: Mapping[str, Any] | None = None, name: str = ""
) -> list[Row]:
    """Scores of each class or entity type, empty where there are none."""
    key = "per_class" if "per_class" in metrics else "per_type"
    kinds = metrics.get(key) or {}
    columns = ("precision", "recall", "f1")
    rows = [["%", *columns, *([f"f1, {name}"] if attacked else [])]]
    rows[0].append("rows" if key == "per_class" else "spans")
    for kind, scores in kinds.items():
        row = [kind, *(percent(scores[column]) for column in columns)]
        if attacked:
            row.append(percent(attacked[key].get(kind, {}).get("f1")))
        rows.append([*row, f"{scores['support']:,}"])
    return rows if kinds else []


def error_rows(
    metrics: Mapping[str, Any], attacked: Mapping[str, Any] | None = None, name: str = ""
) -> list[Row]:
    """How many spans went right and wrong in which way; empty for tasks without spans."""
    if "errors" not in metrics:
        return []
    sides = [metrics, *([attacked] if attacked else [])]
    rows = [["spans", *(["clean", name] if attacked else ["count"])]]
    for key in ERRORS:
        rows.append([key.replace("_", " "), *(f"{side['errors'][key]:,}" for side in sides)])
    return rows


def _attack_in_words(task: str, attack: Mapping[str, Any]) -> str:
    units = "words" if task == TOKEN_CLASSIFICATION else "rows"
    steps = f" in {counted(attack['steps'], 'step')}" if "steps" in attack else ""
    return (
        f"{attack['kind']} moves each row's word embeddings by at most "
        f"{100 * attack['epsilon']:g} % of their norm{steps}; "
        f"{percent(attack['flipped'])} % of the {units} that were right turn wrong."
    )


def layout(rows: Sequence[Row]) -> str:
    """Rows in columns: names to the left, numbers to the right, a rule below the header."""
    rows = in_lines(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *values in rows:
        cells = map(str.rjust, values, widths[1:])
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def points(before: float | None, after: float | None) -> str:
    """A signed difference of shares in points, with one decimal."""
    if before is None or after is None:
        return MISSING
    text = f"{100 * (after - before):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def _has_several(results: Results, side: str) -> bool:
    return len(part(results, side).get("domains", ())) > 1


def _domain(domain: Results) -> str:
    rows = domain.get("rows", {})
    counts = [f"{rows[split]:,} {split}" for split in ("train", "test") if rows.get(split)]
    name = str(domain.get("name", "?"))
    return f"{name} ({', '.join(counts)})" if counts else name


def _gain(values: Iterable[float | None]) -> Row:
    """The difference of two models; nothing for one."""
    known = list(values)
    return [points(*known)] if len(known) == 2 else []


def _by_type(results: Results, side: str) -> list[Row]:
    """Each type's true spans, and the F1 of each model that has it."""
    models = {name: part(own, side, "per_type") for name, own in model_scores(results).items()}
    models = {name: types for name, types in models.items() if types}
    if not models:
        return []
    gain = ["difference"] if len(models) == 2 else []
    rows = [[f"F1 on {side}, %", "spans", *models, *gain]]
    for kind in sorted({kind for types in models.values() for kind in types}):
        entries = [types.get(kind, {}) for types in models.values()]
        spans = max(entry.get("support", 0) for entry in entries)
        values = [entry.get("f1") for entry in entries]
        rows.append([kind, f"{spans:,}", *map(percent, values), *_gain(values)])
    return rows
