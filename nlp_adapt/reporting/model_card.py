"""The model card: README.md beside the model, in the Hub's format, from the run's own files.

Names and labels come from the user's data, so each is escaped for Markdown and HTML; metadata goes
through the Hub's own classes, which serialise it. No row of the data is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nlp_adapt.config import Recipe
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.privacy import shareable
from nlp_adapt.recipe import read_yaml
from nlp_adapt.reporting.card_metadata import holds_adapters, looks_like_hub_id, metadata
from nlp_adapt.reporting.citations import papers
from nlp_adapt.reporting.comparison import conclusions, is_source_only
from nlp_adapt.reporting.escaping import escape, fenced, markdown_table, one_line
from nlp_adapt.reporting.label_free import (
    exported_scores,
    falls_back,
    sign_rows,
    verdict_sentences,
)
from nlp_adapt.reporting.seeds import read_results, seed_rows, seed_sentence
from nlp_adapt.reporting.several import few_shot_rows
from nlp_adapt.reporting.table import comparison_rows, domain_rows, type_rows
from nlp_adapt.tasks import TASKS

__all__ = ["build_card", "escape", "looks_like_hub_id", "recipe_to_repeat", "write_card"]

PLACE_OF_MODEL = "path/or/hub-id"
# What a reader needs no copy of: where the files lay, and how the run was watched.
_PRIVATE_KEYS = (
    *("output_dir", "overwrite", "resume", "disable_tqdm", "report_to", "push_to_hub"),
    "teacher",
)
_LIMITS = """\
The model knows the labels above and nothing else: it gives every {unit} one of them, also where \
none fits. {measured} Expect other quality on other text, in other languages and in later years, and \
measure on labelled rows of your own before you rely on it. It has the biases of its pretraining, of \
the source's labels and of the target's text. Scores are not calibrated on the target. It is no \
basis for decisions about people without a person's check."""
_UNMEASURED = "Its quality on the target was never measured, since there were no labels to do so."


def write_card(run_dir: str | Path) -> Path:
    """Write `model/README.md` of the run in `run_dir` from its results.json and recipe.yaml.

    Raises:
        RunError: If the folder does not hold a finished run.
    """
    run = Path(run_dir)
    results = read_results(run)
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
    unit = "word" if results["task"] == TOKEN_CLASSIFICATION else "text"
    sections = [
        f"---\n{metadata(results, recipe)}\n---",
        f"# {f'{source} to {target}' if target else source}: {escape(results['method'])}",
        _summary(results, source, target),
        f"Labels: {labels}.",
        "## Use",
        fenced(_usage(results, holds_adapters(recipe)), "python"),
        *_results(results),
        "## Training",
        _training(results),
        "## Intended use and limits",
        f"It is meant for text like **{target or source}**: {_purpose(results['task'])}.",
        _LIMITS.format(unit=unit, measured=_measured(results)),
        "## Recipe",
        fenced(_shown_recipe(recipe), "yaml"),
        "Saved as recipe.yaml, `nlp-adapt train --config recipe.yaml` repeats the run on the same "
        f"data{', given its teacher with --teacher' if recipe.get('teacher') else ''}.",
        _versions(results),
        *_citations(results, recipe),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def recipe_to_repeat(path: Path) -> str:
    """The recipe at `path` as others may see it: without folders, tokens and private options."""
    return _shown_recipe(read_yaml(path)) + "\n"


def _summary(results: Mapping[str, Any], source: str, target: str) -> str:
    released = few_shot_rows(results)
    labels = f"with {released:,} labelled rows" if released else "without labels"
    adapted = ""
    if target and not is_source_only(results):
        adapted = (
            f"; the model was adapted to **{target}** with {escape(results['method'])}, {labels} "
            "of the target"
        )
        if falls_back(results):
            adapted = (
                f"; adapting it to **{target}** with {escape(results['method'])} was tried and, by "
                "signs that need no labels of the target, not kept"
            )
    model = escape(shareable(results["model"]))
    return f"Labels were learned in **{source}**{adapted}. It started from {model}."


def _results(results: Mapping[str, Any]) -> list[str]:
    tables = [markdown_table(comparison_rows(results))]
    tables += [
        markdown_table(rows)
        for side in ("target", "source")
        if (rows := domain_rows(results, side))
    ]
    if types := type_rows(results):
        tables.append(markdown_table(types))
    if classes := _class_rows(results):
        tables.append(markdown_table(classes))
    return [
        "## Results",
        "Test rows of both domains, in percent; *source-only* is the same model trained with the "
        "same seed and budget, without adaptation.",
        *tables,
        " ".join(escape(sentence) for sentence in conclusions(results)),
        *_spread(results),
        *_without_labels(results),
    ]


def _spread(results: Mapping[str, Any]) -> list[str]:
    rows = seed_rows(results)
    return [*([markdown_table(rows)] if rows else []), escape(seed_sentence(results))]


def _without_labels(results: Mapping[str, Any]) -> list[str]:
    """What is known of both models without target labels."""
    rows = sign_rows(results)
    if not rows:
        return []
    return [
        "### Without target labels",
        "Estimates from the models' own answers, for readers whose domain has no labels either.",
        markdown_table(rows),
        " ".join(escape(sentence) for sentence in verdict_sentences(results)),
    ]


def _class_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Precision, recall and F1 of each class on the target, or on the source without one."""
    scores_of = exported_scores(results)
    domain = "target" if scores_of.get("target") else "source"
    classes = (scores_of.get(domain) or {}).get("per_class") or {}
    rows = [[f"on {domain}, %", "precision", "recall", "F1", "rows"]]
    for name, scores in classes.items():
        percents = [f"{100 * scores[key]:.1f}" for key in ("precision", "recall", "f1")]
        rows.append([name, *percents, f"{scores['support']:,}"])
    return rows if classes else []


def _usage(results: Mapping[str, Any], adapters: bool) -> str:
    task = TASKS[results["task"]]
    options = ', aggregation_strategy="first"' if task.units_are_words else ""
    last = 'print(model("A sentence of the target domain."))'
    if not adapters:
        return (
            "from transformers import pipeline\n\n"
            f'model = pipeline("{task.pipeline_tag}", model="{PLACE_OF_MODEL}"{options})\n{last}'
        )
    base = json.dumps(one_line(shareable(results["model"])))
    return (
        "from peft import PeftModel\n"
        f"from transformers import AutoConfig, {task.auto_class}, pipeline\n\n"
        f'folder = "{PLACE_OF_MODEL}"\n'
        "config = AutoConfig.from_pretrained(folder)\n"
        f"base = {task.auto_class}.from_pretrained({base}, config=config)\n"
        "adapted = PeftModel.from_pretrained(base, folder).get_base_model()\n"
        f'model = pipeline("{task.pipeline_tag}", model=adapted, tokenizer=folder{options})\n{last}'
    )


def _measured(results: Mapping[str, Any]) -> str:
    measured = bool(exported_scores(results).get("target"))
    return "It was measured on the domains above alone." if measured else _UNMEASURED


def _purpose(task: str) -> str:
    if task == TOKEN_CLASSIFICATION:
        return "finding the entities named above in it"
    return "sorting it into the labels above"


def _training(results: Mapping[str, Any]) -> str:
    """Rows, and what training on them took."""
    parts = []
    for side in ("source", "target"):
        rows = ((results.get(side) or {}).get("rows") or {}).get("train")
        if rows:
            kind = "labelled source" if side == "source" else "unlabelled target"
            parts.append(f"{rows:,} {kind} rows")
    if released := few_shot_rows(results):
        parts.append(f"{released:,} labelled target rows")
    listed = ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + "".join(parts[-1:])
    text = f"Trained on {listed}. " if parts else ""
    return f"{text}{_effort(results)}".strip()


def _effort(results: Mapping[str, Any]) -> str:
    """Steps, time, machine and size."""
    spent = []
    for key, name in (("adapted", "the adapted model"), ("source_only", "its source-only twin")):
        scores = results.get(key) or {}
        if "steps" in scores and "seconds" in scores:
            spent.append(
                f"{name} took {scores['steps']:,} steps in {scores['seconds']:,.0f} seconds"
            )
    if not spent:
        return ""
    text = f"{spent[0][0].upper()}{'; '.join(spent)[1:]}"
    machine = results.get("machine") or {}
    if machine.get("device"):
        processes = machine.get("processes", 1)
        text += f", on {escape(machine['device'])} with {escape(processes)} process"
        text += "" if processes == 1 else "es"
    text += f", in {escape(results['precision'])}." if results.get("precision") else "."
    if cost := results.get("cost"):
        text += (
            f" {cost['parameters']:,} parameters, of which {cost['trained_parameters']:,} were "
            f"trained, and about {cost['tokens_to_train']:,} tokens read."
        )
    return text


def _citations(results: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    cited = [
        f"- {escape(name)}: {escape(paper)}" for name, paper in papers(results, recipe).items()
    ]
    return ["## References", "\n".join(cited)] if cited else []


def _shown_recipe(recipe: Mapping[str, Any]) -> str:
    """The options that differ from their defaults, without folders of the user's machine."""
    defaults = Recipe().to_dict()
    shown = {
        key: shareable(value)
        for key, value in recipe.items()
        if key not in _PRIVATE_KEYS
        and not key.startswith("hub_")
        and (key in ("method", "seed", "model") or key not in defaults or value != defaults[key])
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).strip()


def _versions(results: Mapping[str, Any]) -> str:
    versions = results.get("versions") or {}
    listed = ", ".join(f"{escape(name)} {escape(number)}" for name, number in versions.items())
    return f"Made with {listed}." if listed else ""
