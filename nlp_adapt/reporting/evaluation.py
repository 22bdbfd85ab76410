"""What `nlp-adapt evaluate` prints: the scores of one model, clean and under attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.reporting.table import Row, layout, percent, points
from nlp_adapt.tasks import TASKS

ERRORS = {
    "correct": "correct",
    "wrong_type": "wrong type",
    "wrong_boundary": "wrong boundary",
    "missed": "missed",
    "spurious": "spurious",
}


def render_evaluation(report: Mapping[str, Any]) -> str:
    """The whole report of `nlp-adapt evaluate` as plain text."""
    task, metrics, attack = report["task"], report["metrics"], report.get("attack")
    attacked = attack["metrics"] if attack else None
    name = attack["kind"] if attack else ""
    parts = [
        f"{report['model']} on {report['data']} ({report['split']}, {report['rows']:,} rows)",
        layout(main_rows(task, metrics, attacked, name)),
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
    for key, title in ERRORS.items():
        rows.append([title, *(f"{side['errors'][key]:,}" for side in sides)])
    return rows


def _attack_in_words(task: str, attack: Mapping[str, Any]) -> str:
    units = "words" if task == TOKEN_CLASSIFICATION else "rows"
    steps = f" in {attack['steps']} steps" if "steps" in attack else ""
    return (
        f"{attack['kind']} moves each row's word embeddings by at most "
        f"{100 * attack['epsilon']:g} % of their norm{steps}; "
        f"{percent(attack['flipped'])} % of the {units} that were right turn wrong."
    )
