"""The model card: README.md beside the model, in the Hub's format, from the run's own files.

Names and labels come from the user's data, so each is escaped for Markdown and HTML; metadata goes
through the Hub's own classes, which serialise it. No row of the data is shown.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nlp_adapt.config import Recipe
from nlp_adapt.errors import RunError
from nlp_adapt.recipe import read_yaml
from nlp_adapt.reporting.comparison import conclusions, is_source_only
from nlp_adapt.reporting.table import comparison_rows, type_rows

PIPELINES = {
    "sequence-classification": "text-classification",
    "token-classification": "token-classification",
}
# Key in the metrics, the Hub's name of the metric, and what the leaderboard shows.
METRICS = {
    "sequence-classification": (
        ("accuracy", "accuracy", "Accuracy"),
        ("macro_f1", "f1", "Macro F1"),
    ),
    "token-classification": (
        ("f1", "f1", "Span F1"),
        ("precision", "precision", "Precision"),
        ("recall", "recall", "Recall"),
    ),
}
# What a reader needs no copy of: where the files lay, and how the run was watched.
_PRIVATE_KEYS = ("output_dir", "overwrite", "resume", "disable_tqdm", "report_to", "push_to_hub")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{16,}")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!{}])")


def write_card(run_dir: str | Path) -> Path:
    """Write `model/README.md` of the run in `run_dir` from its results.json and recipe.yaml.

    Raises:
        RunError: If the folder does not hold a finished run.
    """
    run = Path(run_dir)
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run}: has no readable results.json; train there first.") from error
    recipe_file = run / "recipe.yaml"
    recipe = read_yaml(recipe_file) if recipe_file.exists() else {}
    card = run / "model" / "README.md"
    card.write_text(build_card(results, recipe), encoding="utf-8")
    return card


def build_card(results: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        results: The content of results.json.
        recipe: The resolved recipe.
    """
    source = escape((results.get("source") or {}).get("name", "the source"))
    target = escape((results.get("target") or {}).get("name", ""))
    labels = ", ".join(escape(label) for label in results.get("labels", ()))
    tables = [_markdown(comparison_rows(results))]
    if types := type_rows(results):
        tables.append(_markdown(types))
    sections = [
        f"---\n{_metadata(results)}\n---",
        f"# {f'{source} to {target}' if target else source}: {escape(results['method'])}",
        _summary(results, source, target),
        f"Labels: {labels}.",
        "## Results",
        "Test rows of both domains, in percent; *source-only* is the same model trained with the "
        "same seed and budget, without adaptation.",
        *tables,
        " ".join(escape(sentence) for sentence in conclusions(results)),
        f"One run with seed {escape(results['seed'])}; other seeds give other numbers.",
        "## Use",
        _fenced(_usage(results["task"]), "python"),
        "## Limits",
        "The model knows the labels above and nothing else, and was measured on the two domains "
        "above. Expect other quality on other text, and measure before you rely on it.",
        "## Recipe",
        _fenced(_shown_recipe(recipe), "yaml"),
        _versions(results),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def escape(value: Any) -> str:
    """One line of plain text that Markdown and HTML show as it is."""
    line = " ".join(_redacted(str(value)).split())
    line = "".join(character for character in line if character.isprintable())
    line = _MARKDOWN.sub(r"\\\1", html.escape(line, quote=False))
    return line.replace("://", "&#58;//")


def looks_like_hub_id(name: str) -> bool:
    """Whether `name` may be a Hub id: `model` or `owner/model`, and no folder of that name."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and not Path(name).exists()


def _summary(results: Mapping[str, Any], source: str, target: str) -> str:
    adapted = (
        f"; the model was adapted to **{target}** with {escape(results['method'])}, without "
        "labels of the target"
        if target and not is_source_only(results)
        else ""
    )
    model = escape(_without_folders(results["model"]))
    return f"Labels were learned in **{source}**{adapted}. It started from {model}."


def _metadata(results: Mapping[str, Any]) -> str:
    from huggingface_hub import ModelCardData

    model = str(results["model"])
    scores = _eval_results(results)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=PIPELINES[results["task"]],
        base_model=model if looks_like_hub_id(model) else None,
        tags=["domain-adaptation", "nlp-adapt", str(results["method"])],
        metrics=list(dict.fromkeys(result.metric_type for result in scores)) or None,
        model_name="adapted model" if scores else None,
        eval_results=scores or None,
    )
    return _redacted(data.to_yaml())


def _eval_results(results: Mapping[str, Any]) -> list[Any]:
    from huggingface_hub import EvalResult

    task = PIPELINES[results["task"]]
    found = []
    for domain in ("target", "source"):
        scores = (results.get("adapted") or {}).get(domain)
        if not scores:
            continue
        name = " ".join(str((results.get(domain) or {}).get("name", domain)).split())
        found += [
            EvalResult(
                task_type=task,
                dataset_type=re.sub(r"[^\w./]+", "-", name).strip("-") or domain,
                dataset_name=f"{name} ({domain} domain)",
                dataset_split="test",
                metric_type=kind,
                metric_name=shown,
                metric_value=round(float(scores[key]), 4),
            )
            for key, kind, shown in METRICS[results["task"]]
            if key in scores
        ]
    return found


def _usage(task: str) -> str:
    options = ', aggregation_strategy="first"' if task == "token-classification" else ""
    return (
        "from transformers import pipeline\n\n"
        f'model = pipeline("{PIPELINES[task]}", model="path/or/hub-id"{options})\n'
        'print(model("A sentence of the target domain."))'
    )


def _shown_recipe(recipe: Mapping[str, Any]) -> str:
    """The options that differ from their defaults, without folders of the user's machine."""
    defaults = Recipe().to_dict()
    shown = {
        key: _without_folders(value)
        for key, value in recipe.items()
        if key not in _PRIVATE_KEYS
        and not key.startswith("hub_")
        and (key in ("method", "seed", "model") or key not in defaults or value != defaults[key])
    }
    return _redacted(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).strip())


def _without_folders(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return Path(value).name
    return value


def _versions(results: Mapping[str, Any]) -> str:
    versions = results.get("versions") or {}
    listed = ", ".join(f"{escape(name)} {escape(number)}" for name, number in versions.items())
    return f"Made with {listed}." if listed else ""


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(escape, row)) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
    return "\n".join(lines)


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _redacted(text: str) -> str:
    return _TOKEN.sub("hf_***", text)
