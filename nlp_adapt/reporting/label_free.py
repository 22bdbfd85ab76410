"""What a report says without target labels: the estimate, the guard's verdict, the distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_adapt.reporting.comparison import is_source_only, method_title

SIGNS = (
    ("estimated accuracy on the target, %", "estimated_accuracy", 100, 1),
    ("information maximisation on the target", "information_maximisation", 1, 3),
    ("balanced accuracy on held-out source rows, %", "source_risk", 100, 1),
)
DISTANCE = "domain distance of the features (0 to 2)"
SAYS = {
    "adapted": "the adapted model",
    "source-only": "the source-only model, against the adapted one",
    "undecided": "neither model",
}
MISSING = "-"


def sign_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """A table of the label-free signs of each model; empty where none was taken."""
    models = {
        name: results.get(key) or {}
        for key, name in (("source_only", "source-only"), ("adapted", method_title(results)))
        if results.get(key)
    }
    if not any(scores.get("evidence") for scores in models.values()):
        return []
    rows = [["without target labels", *models]]
    for title, key, factor, places in SIGNS:
        values = [(scores.get("label_free") or {}).get(key) for scores in models.values()]
        rows.append([title, *(_shown(value, factor, places) for value in values)])
    distances = [
        (scores.get("evidence") or {}).get("domain_distance") for scores in models.values()
    ]
    return [*rows, [DISTANCE, *(_shown(value, 1, 2) for value in distances)]]


def verdict_sentences(results: Mapping[str, Any]) -> list[str]:
    """The guard's verdict and its reasons, and what was done about it."""
    guard = results.get("guard")
    if not guard or is_source_only(results):
        return []
    sentences = [f"Without target labels, the signs speak for {SAYS[guard['verdict']]}."]
    sentences += guard["reasons"]
    if falls_back(results):
        sentences.append(
            "So the exported model is the source-only one, as fall_back asks for; the adapted one "
            "is kept in adapted/model."
        )
    return sentences


def falls_back(results: Mapping[str, Any]) -> bool:
    """Whether the weights that the run exports are those of its source-only twin."""
    return results.get("exported") == "source_only"


def exported_scores(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of the model that the run exports."""
    return results.get("source_only" if falls_back(results) else "adapted") or {}


def _shown(value: float | None, factor: float, places: int) -> str:
    return MISSING if value is None else f"{factor * value:.{places}f}"
