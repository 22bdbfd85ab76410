"""The rules by which the Hub accepts or refuses the metadata of a model card."""

from __future__ import annotations

import re
from typing import Any

import yaml

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0", "other"}
_PIPELINES = {"text-classification", "token-classification", "fill-mask", "feature-extraction"}


def metadata_errors(content: str) -> list[str]:
    """What is wrong with the YAML block at the top of a README.md."""
    match = re.match(r"\s*---\r?\n(.*?)\r?\n---\r?\n", content, re.DOTALL)
    if match is None:
        return []
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(data, dict):
        return ["metadata must be a mapping"]
    errors = [
        f'"{key}" is not a Hub id' for key in ("base_model", "datasets") if _bad_ids(data, key)
    ]
    if data.get("license", "mit") not in _LICENSES:
        errors.append('"license" must be one of the known licenses')
    if data.get("pipeline_tag", "text-classification") not in _PIPELINES:
        errors.append('"pipeline_tag" is unknown')
    if not all(re.fullmatch(r"[a-z]{2,3}", str(code)) for code in _as_list(data.get("language"))):
        errors.append('"language" must be ISO 639 codes')
    for key in ("tags", "metrics"):
        if not all(isinstance(item, str) and item for item in _as_list(data.get(key))):
            errors.append(f'"{key}" must be a list of texts')
    return errors + _index_errors(data.get("model-index", []))


def _bad_ids(data: dict[str, Any], key: str) -> bool:
    return not all(_HUB_ID.fullmatch(str(item)) for item in _as_list(data.get(key)))


def _index_errors(index: Any) -> list[str]:
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for model in index:
        if not isinstance(model.get("name"), str) or not model["name"]:
            errors.append('"model-index[0].name" must be a text')
        for result in model.get("results", []):
            dataset = result.get("dataset", {})
            if not result.get("task", {}).get("type"):
                errors.append('"task.type" is required')
            if not (isinstance(dataset.get("name"), str) and _HUB_ID.fullmatch(dataset["type"])):
                errors.append('"dataset.name" and "dataset.type" are required')
            for metric in result.get("metrics", [{}]):
                if "type" not in metric or not isinstance(metric.get("value"), (int, float)):
                    errors.append('"metrics" need type and value')
    return errors


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
