"""What `prediction.yardsticks` found on the target, as a table and in words."""

from collections.abc import Mapping
from typing import Any

from nlp_adapt.metrics.classification import comparable
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.reporting.results import (
    MISSING,
    Results,
    is_source_only,
    main_measure,
    method_title,
    model_scores,
    part,
    percent,
)


def yardstick_rows(results: Results) -> list[list[str]]:
    """A table of what stands beside the main measure on the target; empty where nothing is known."""
    models = {name: part(scores, "target") for name, scores in model_scores(results).items()}
    measure, threshold = main_measure(results), _threshold(results)
    oracles = [part(scores, "oracle") for scores in models.values()]
    lines = {
        "macro precision, %": [percent(own.get("macro_precision")) for own in models.values()],
        "macro recall, %": [percent(own.get("macro_recall")) for own in models.values()],
        "AUC, %": [percent(own.get("auc")) for own in models.values()],
        f"{measure.title} at the best {threshold}, %": [
            percent(own.get(measure.key)) for own in oracles
        ],
    }
    if results["task"] == TOKEN_CLASSIFICATION:  # whose precision and recall are in the main table
        lines = dict(list(lines.items())[3:])
        lines[f"best {threshold}"] = [_signed(own.get("bias")) for own in oracles]
    rows = [[title, *values] for title, values in lines.items() if {*values} != {MISSING}]
    return [["on target", *models], *rows] if rows else []


def own_rows(task: str, metrics: Mapping[str, Any]) -> list[list[str]]:
    """The yardsticks of one model, a row for each that is known."""
    own = {"task": task, "labels": metrics.get("per_class") or ()}
    measure, best = main_measure(own), _threshold(own)
    lines = {
        "AUC": metrics.get("auc"),
        f"{measure.title} at the best {best}": part(metrics, "oracle").get(measure.key),
    }
    return [[title, percent(value)] for title, value in lines.items() if value is not None]


def threshold_remark(results: Results) -> list[str]:
    """What a threshold explains of a gain on the target that it could explain as a whole."""
    if is_source_only(results):
        return []
    key, title = main_measure(results).key, main_measure(results).title
    before, after = (part(results, model, "target") for model in ("source_only", "adapted"))
    oracle, own = (part(one, "oracle").get(key) for one in (before, after))
    if oracle is None or not after:
        return []
    gained = comparable(after, key)
    if not comparable(before, key) < gained <= oracle:
        return []
    method = method_title(results)
    said = (
        f"At the {_threshold(results)} that the target's labels would choose, the source-only model "
        f"reaches {100 * oracle:.1f} {title}"
    )
    if own is not None and own > oracle:
        return [f"{said} and {method} {100 * own:.1f}: by this measure {method} ranks better."]
    return [f"{said}: by this measure {method} moves the threshold rather than ranking better."]


def _threshold(results: Results) -> str:
    if results["task"] == TOKEN_CLASSIFICATION:
        return "bias of O"
    return "threshold" if len(results.get("labels", ())) == 2 else "class biases"


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"
