"""What results.json says of a run, under the names that reports use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nlp_adapt.data.labels import LabelMap
from nlp_adapt.errors import RunError
from nlp_adapt.tasks import TASKS
from nlp_adapt.tasks.base import Measure
from nlp_adapt.yaml_text import read_yaml

Results: TypeAlias = Mapping[str, Any]

SIDES = ("source", "target")
SOURCE_ONLY = "source-only"


def read_results(run: Path) -> dict[str, Any]:
    """The results of a finished run."""
    try:
        return json.loads((run / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run}: has no readable results.json; train there first.") from error


def read_recipe(run: Path) -> dict[str, Any]:
    """What the run's recipe.yaml says; empty where there is none."""
    path = run / "recipe.yaml"
    return read_yaml(path) if path.is_file() else {}


def label_map_of(model: str | Path) -> LabelMap | None:
    """The label map of the run that a run folder, or a model folder in it, belongs to, if any.

    It is no fault of other data that a key names nothing there.
    """
    folder = Path(model)
    runs = [folder]
    runs += [folder.parent] if folder.name == "model" else []
    runs += [folder.parent.parent] if folder.parts[-2:] == ("source_only", "model") else []
    found = next((own for run in runs if (own := read_recipe(run).get("label_map"))), None)
    return LabelMap(found) if found else None


def part(values: Results, *keys: str) -> Results:
    """What stands below `keys`; empty where anything on the way is missing or null."""
    for key in keys:
        values = values.get(key) or {}
    return values


def main_measure(results: Results) -> Measure:
    """The number that decides."""
    return TASKS[results["task"]].main_measure()


def few_shot_rows(results: Results) -> int:
    """How many labelled rows of the target the adapted model was trained on."""
    return int(part(results, "target_labels").get("rows", 0))


def is_source_only(results: Results) -> bool:
    """Whether the run's method is no adaptation at all."""
    name = str(results["method"]).replace("-", "_")
    beside = (results.get("augmentation"), few_shot_rows(results), results.get("auxiliary"))
    return name == "source_only" and not any(beside)


def method_title(results: Results) -> str:
    """What a reader calls the adapted model: its method, edit, few-shot rows and auxiliary tasks."""
    if is_source_only(results):
        return SOURCE_ONLY
    beside = [
        part(results, "augmentation").get("edit"),
        "few-shot" if few_shot_rows(results) else None,
        *part(results, "auxiliary"),
    ]
    return " + ".join([str(results["method"]), *filter(None, beside)])


def model_scores(results: Results) -> dict[str, Results]:
    """The scores of each model of the run by the name that a reader sees."""
    models = {SOURCE_ONLY: results.get("source_only")}
    models |= {method_title(results): results["adapted"]} if results.get("adapted") else {}
    return {name: scores for name, scores in models.items() if scores}


def falls_back(results: Results) -> bool:
    """Whether the weights that the run exports are those of its source-only twin."""
    return results.get("exported") == "source_only"


def exported_scores(results: Results) -> Results:
    """The scores of the model that the run exports."""
    return part(results, "source_only" if falls_back(results) else "adapted")
