"""What a report says of several sources or targets, and of labelled target rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def few_shot_rows(results: Mapping[str, Any]) -> int:
    """How many labelled rows of the target the adapted model was trained on."""
    return int((results.get("target_labels") or {}).get("rows", 0))


def has_several(results: Mapping[str, Any], side: str) -> bool:
    """Whether the run had several domains on `source` or `target`."""
    return len((results.get(side) or {}).get("domains", ())) > 1


def side_title(results: Mapping[str, Any], side: str) -> str:
    """What a table calls a side: where it has several domains, its numbers are their means."""
    return f"mean {side}" if has_several(results, side) else side


def scores_by_domain(
    results: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], side: str
) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Of each of a side's several domains its name, and the scores of each model on it."""
    if not has_several(results, side):
        return
    for domain in results[side]["domains"]:
        name = str(domain["name"])
        yield (
            name,
            {
                model: ((scores.get(side) or {}).get("domains") or {}).get(name, {})
                for model, scores in models.items()
            },
        )


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Plain sentences about labelled target rows and auxiliary tasks."""
    said = []
    if rows := few_shot_rows(results):
        names = " and ".join(results["target_labels"]["domains"])
        said.append(f"The adapted model was also trained on {rows:,} labelled rows of {names}.")
        if results.get("source_only"):
            said.append(
                "The source-only model has not seen them: the difference is that of adaptation and "
                "of these labels together. The method source_only with the same rows shows what "
                "labels alone give."
            )
    if line := auxiliary_line(results):
        said.append(line)
    return said


def auxiliary_line(results: Mapping[str, Any]) -> str:
    """What the adapted model has learned beside the main labels, in one sentence; may be empty."""
    tasks = results.get("auxiliary") or {}
    scores = (results.get("adapted") or {}).get("auxiliary") or {}
    parts = []
    for name, task in tasks.items():
        part = f"{name} ({len(task['labels'])} classes, {task['rows']:,} rows)"
        if own := scores.get(name):
            part += (
                f", {100 * own['accuracy']:.1f} % right on {own['count']:,} held-out labels "
                f"(the largest class: {100 * own['largest_class']:.1f} %)"
            )
        parts.append(part)
    if not parts:
        return ""
    return f"The adapted model also learned {'; '.join(parts)}."
