"""The model card: README.md beside the model, in the Hub's format, from the run's own files.

Names and labels come from the user's data, so each is escaped for Markdown and HTML; metadata goes
through the Hub's own classes, which serialise it. No row of the data is shown.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nlp_adapt.escaping import escape, fenced, markdown_table, one_line, shareable
from nlp_adapt.files import write_text
from nlp_adapt.names import ADAPTER_CONFIG, TOKEN_CLASSIFICATION, counted
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.card_metadata import bibtex, metadata, papers, project_url
from nlp_adapt.reporting.card_training import hyperparameter_rows, interval_sentence, log_rows
from nlp_adapt.reporting.comparison import answer_sentences, conclusions, verdict_sentences
from nlp_adapt.reporting.results import (
    Results,
    as_written,
    exported_scores,
    falls_back,
    few_shot_rows,
    is_source_only,
    one_seed,
    part,
    read_log,
    read_recipe,
    read_results,
    share_sentences,
)
from nlp_adapt.reporting.runs import seed_rows, seed_sentence
from nlp_adapt.reporting.table import comparison_rows, domain_rows, kind_rows, sign_rows, type_rows
from nlp_adapt.reporting.yardsticks import yardstick_rows
from nlp_adapt.tasks import TASKS

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
_MEASURED = "It was measured on the domains above alone."
_UNMEASURED = "Its quality on the target was never measured, since there were no labels to do so."


def write_card(run_dir: str | Path) -> Path:
    """Write `model/README.md` of the run in `run_dir` from its results.json and recipe.yaml.

    Raises:
        RunError: If the folder does not hold a finished run.
    """
    run = Path(run_dir)
    card = run / "model" / "README.md"
    adapters = (run / "model" / ADAPTER_CONFIG).is_file()
    with as_written(run):
        results, recipe = read_results(run), read_recipe(run)
        text = build_card(results, recipe, adapters, read_log(run), _pictures(run))
    write_text(card, text)
    return card


def _pictures(run: Path) -> dict[str, str]:
    """Pictures beside the card, where the extra `plots` is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return {}
    from nlp_adapt.reporting.plots import write_pictures

    return write_pictures(run, run / "model")


def build_card(
    results: Results,
    recipe: Mapping[str, Any],
    adapters: bool = False,
    lines: Sequence[Mapping[str, Any]] = (),
    pictures: Mapping[str, str] | None = None,
) -> str:
    """The card's text, from the content of results.json and the resolved recipe.

    Args:
        adapters: Whether the model is saved as PEFT adapters on its base model.
        lines: Of log.jsonl.
        pictures: What pictures beside the card show, by file name.
    """
    source = escape(part(results, "source").get("name", "the source"))
    target = escape(part(results, "target").get("name", ""))
    labels = ", ".join(escape(label) for label in results.get("labels", ()))
    tagger = results["task"] == TOKEN_CLASSIFICATION
    purpose = (
        "finding the entities named above in it" if tagger else "sorting it into the labels above"
    )
    measured = _MEASURED if exported_scores(results).get("target") else _UNMEASURED
    sections = [
        f"---\n{metadata(results, recipe, adapters)}\n---",
        f"# {f'{source} to {target}' if target else source}: {escape(results['method'])}",
        _summary(results, source, target),
        f"Labels: {labels}.",
        "## Use",
        fenced(_usage(results, adapters), "python"),
        *_results(results),
        *(f"![{what}]({name})" for name, what in (pictures or {}).items()),
        "## Training",
        _training(results),
        *(
            markdown_table(rows)
            for rows in (hyperparameter_rows(results, recipe), log_rows(results, lines))
            if rows
        ),
        "## Intended use and limits",
        f"It is meant for text like **{target or source}**: {purpose}.",
        _LIMITS.format(unit="word" if tagger else "text", measured=measured),
        "## Recipe",
        fenced(recipe_to_repeat(recipe), "yaml"),
        "Saved as recipe.yaml, `nlp-adapt train --config recipe.yaml` repeats the run on the same "
        f"data{', given its teacher with --teacher' if recipe.get('teacher') else ''}.",
        _versions(results),
        *_citations(results, recipe),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def recipe_to_repeat(recipe: Mapping[str, Any]) -> str:
    """The options that differ from their defaults, as YAML without folders, tokens and secrets."""
    defaults = Recipe().to_dict()
    shown = {
        key: shareable(value)
        for key, value in recipe.items()
        if key not in _PRIVATE_KEYS
        and not key.startswith("hub_")
        and (key in ("method", "seed", "model") or key not in defaults or value != defaults[key])
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).strip()


def _summary(results: Results, source: str, target: str) -> str:
    released = few_shot_rows(results)
    labels = f"with {counted(released, 'labelled row')}" if released else "without labels"
    method = escape(results["method"])
    adapted = ""
    if target and not is_source_only(results):
        reviewed = part(results, "review").get("exported")
        signs = "a person's answers" if reviewed else "signs that need no labels of the target"
        adapted = (
            f"; adapting it to **{target}** with {method} was tried and, by {signs}, not kept"
            if falls_back(results)
            else f"; the model was adapted to **{target}** with {method}, {labels} of the target"
        )
    model = escape(shareable(results["model"]))
    taught = results["method"] == "distillation" and not falls_back(results)
    head = "A teacher's answers were learned, not labels of" if taught else "Labels were learned in"
    return f"{head} **{source}**{adapted}. It started from {model}."


def _results(results: Results) -> list[str]:
    tables = [
        comparison_rows(results),
        domain_rows(results, "target"),
        domain_rows(results, "source"),
        type_rows(results),
        _class_rows(results),
        yardstick_rows(results),
    ]
    seeds: list[Any] = []
    spread = one_seed(results)
    if results.get("seeds"):
        seeds, spread = seed_rows(results), seed_sentence(results)
    signs = sign_rows(results)
    sections = [
        "## Results",
        "Test rows of both domains, in percent; *source-only* is the same model trained with the "
        "same seed and schedule, without adaptation. What the best threshold would give is for reading "
        "only: the target's test labels choose it, and no model.",
        *(markdown_table(rows) for rows in tables if rows),
        " ".join(map(escape, [*conclusions(results), interval_sentence(results)])).strip(),
        *([markdown_table(seeds)] if seeds else []),
        escape(spread),
    ]
    if signs:
        sections += [
            "### Without target labels",
            "Estimates from the models' own answers, for readers whose domain has no labels either.",
            markdown_table(signs),
            " ".join(map(escape, [*share_sentences(results), *verdict_sentences(results)])),
        ]
    if answers := answer_sentences(results):
        sections += ["### By a person's answers", " ".join(map(escape, answers))]
    return sections


def _class_rows(results: Results) -> list[list[str]]:
    """Precision, recall and F1 of each class on the target, or on the source without one."""
    scored = exported_scores(results)
    side = "target" if scored.get("target") else "source"
    rows = kind_rows({"per_class": part(scored, side, "per_class")})
    return [[f"on {side}, %", "precision", "recall", "F1", "rows"], *rows[1:]] if rows else []


def _usage(results: Results, adapters: bool) -> str:
    task = TASKS[results["task"]]
    options = ", truncation=True"  # the tokenizer states the length
    if task.units_are_words:  # read in windows, as here
        options = ', aggregation_strategy="first"'
        options += f", stride={results['max_length'] // 4}" if "max_length" in results else ""
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
        f"base = {task.auto_class}.from_pretrained("
        f"{base}, config=config, ignore_mismatched_sizes=True)  # the head is the adapters'\n"
        "adapted = PeftModel.from_pretrained(base, folder).get_base_model()\n"
        f'model = pipeline("{task.pipeline_tag}", model=adapted, tokenizer=folder{options})\n{last}'
    )


def _training(results: Results) -> str:
    """Rows, and what training on them took."""
    counts = {
        "labelled source": part(results, "source", "rows").get("train"),
        "unlabelled target": part(results, "target", "rows").get("train"),
        "labelled target": few_shot_rows(results),
    }
    parts = [counted(count, f"{kind} row") for kind, count in counts.items() if count]
    listed = ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + "".join(parts[-1:])
    text = f"Trained on {listed}. " if parts else ""
    return f"{text}{_effort(results)}".strip()


def _effort(results: Results) -> str:
    """Steps, time, machine and size."""
    spent = []
    for key, name in (("adapted", "the adapted model"), ("source_only", "its source-only twin")):
        scores = part(results, key)
        if "steps" in scores and "seconds" in scores:
            took = f"{counted(scores['steps'], 'step')} in {scores['seconds']:,.0f} seconds"
            spent.append(f"{name} took {took}")
    if not spent:
        return ""
    text = f"{spent[0][0].upper()}{'; '.join(spent)[1:]}"
    machine = part(results, "machine")
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


def _versions(results: Results) -> str:
    versions = part(results, "versions").items()
    listed = ", ".join(f"{escape(name)} {escape(number)}" for name, number in versions)
    url = project_url()
    made = f"Made with [nlp_adapt]({url}): " if url else "Made with "
    return f"{made}{listed}." if listed else ""


def _citations(results: Results, recipe: Mapping[str, Any]) -> list[str]:
    found = papers(results, recipe).items()
    cited = [f"- {escape(name)}: {escape(paper)}" for name, paper in found]
    entries = bibtex(paper for _, paper in found)
    return ["## References", "\n".join(cited), fenced(entries, "bibtex")] if cited else []
