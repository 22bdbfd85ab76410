"""Look for faults in the data of a run, without training.

Takes what `nlp-adapt train` takes: put `doctor` in place of `train`, or name --source and --target.
Reports unreadable lines, empty, repeated, contradictory and damaged rows, test rows that training
has seen, labels that do not match, classes in other proportions, texts that are cut, and marks that
give a domain away: each with file and line, and with what is done about it. Exits with 2 where
training would be refused.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.recipe_flags import add_recipe_arguments, read_recipe, take_dotted_flags
from nlp_adapt.config import Recipe
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.names import TOKEN_CLASSIFICATION

if TYPE_CHECKING:
    from nlp_adapt.data.doctor import Finding
    from nlp_adapt.data.domain import Domain

USAGE = "nlp-adapt doctor --source DATA [--target DATA] [--config RECIPE.yaml] [--KEY VALUE ...] [--json]"
HELP = "look for faults in the data of a run"
TRAINING_REFUSED = 2
NO_LIMIT = 10**9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe file, and every key of a recipe as a flag."""
    add_recipe_arguments(parser, "findings")


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Print every finding, the serious ones first."""
    recipe = read_recipe(args)
    with console.stdout_for_results(args.json):
        report = diagnose(recipe)
    if args.json:
        console.print_json(report)
    else:
        print(render(report))
    return TRAINING_REFUSED if report["refused"] else 0


def diagnose(recipe: Recipe) -> dict[str, Any]:
    """Read what a recipe names, as far as it can be read, and examine it.

    Returns:
        `task`, `domains` (name and rows by side, or by side and name where it has several),
        `findings`, and `refused`: whether training on this data would be.
    """
    from nlp_adapt.data.doctor import SERIOUS, examine
    from nlp_adapt.training.inputs.recipe import sources_of, targets_of

    sources, findings = _read(recipe, "source", sources_of)
    targets, more = _read(recipe, "target", targets_of)
    findings += more
    if sources:
        tokenizer, more = _tokenizer(recipe)
        findings += more
        few_shot, more = _few_shot(recipe, sources, targets)
        findings += more
        limit = min(recipe.max_length, getattr(tokenizer, "model_max_length", recipe.max_length))
        found = examine(sources, targets, few_shot=few_shot, tokenizer=tokenizer, max_length=limit)
        told = {finding.message for finding in found}
        findings = [finding for finding in findings if finding.message not in told]
        findings = [f for f in findings if f.severity == SERIOUS] + found + [
            f for f in findings if f.severity != SERIOUS
        ]  # fmt: skip
    sides = {"source": sources, "target": targets}
    return {
        "task": recipe.task,
        "domains": {
            side if len(domains) == 1 else f"{side} {domain.name}": _sizes(domain)
            for side, domains in sides.items()
            for domain in domains
        },
        "findings": [finding.to_dict() for finding in findings],
        "refused": any(finding.severity == SERIOUS for finding in findings),
    }


def render(report: dict[str, Any]) -> str:
    """The report as text."""
    from nlp_adapt.escaping import one_line

    lines = []
    for side, domain in report["domains"].items():
        rows = ", ".join(f"{count:,} {split}" for split, count in domain["rows"].items())
        lines.append(f"{side}  {domain['name']}: {rows}")
    for finding in report["findings"]:
        message = one_line(finding["message"])  # it may quote a label or a file's name
        lines.append(f"\n{finding['severity']}  {finding['domain']}: {message}")
        if finding["rows"]:
            lines.append(f"    at {one_line(', '.join(finding['rows']))}{_more(finding)}")
        if finding["advice"]:
            lines.append(f"    {finding['advice']}")
    counts = {
        severity: sum(finding["severity"] == severity for finding in report["findings"])
        for severity in ("serious", "warning", "note")
    }
    summary = f"{counts['serious']} serious, {counts['warning']} warnings, {counts['note']} notes."
    verdict = " Training on this data would be refused." if report["refused"] else ""
    return "\n".join([*lines, f"\n{summary}{verdict}"])


def _more(finding: dict[str, Any]) -> str:
    return ", ..." if finding["count"] > len(finding["rows"]) else ""


def _read(recipe: Recipe, side: str, read: Any) -> tuple[Sequence[Domain], list[Finding]]:
    """A side's domains, bad lines set aside and ill-formed tags repaired, so that all are seen."""
    from nlp_adapt.data.doctor import SERIOUS, Finding

    findings: list[Finding] = []
    lenient = dataclasses.replace(recipe, quarantine=NO_LIMIT)
    for attempt in (recipe, lenient, dataclasses.replace(lenient, repair_tags=True)):
        try:
            return read(attempt), findings
        except DataError as error:
            # What training refuses; the same fault met on each attempt is told once.
            if str(error) not in {finding.message for finding in findings}:
                findings.append(Finding("refused", SERIOUS, side, str(error)))
    return (), findings


def _few_shot(
    recipe: Recipe, sources: Sequence[Domain], targets: Sequence[Domain]
) -> tuple[dict[str, Domain], list[Finding]]:
    """The labelled target rows that a recipe releases, as a run would draw or read them."""
    from nlp_adapt.data.doctor import SERIOUS, Finding
    from nlp_adapt.training.inputs.domains import gather_inputs
    from nlp_adapt.training.inputs.recipe import few_shot_of

    if recipe.target_few_shot is None:
        return {}, []
    try:
        return dict(gather_inputs(recipe, sources, targets, few_shot_of(recipe)).few_shot), []
    except DataError as error:
        return {}, [Finding("refused", SERIOUS, "target", str(error))]


def _tokenizer(recipe: Recipe) -> tuple[Any, list[Finding]]:
    from nlp_adapt.data.doctor import NOTE, Finding
    from nlp_adapt.modeling.backbone import load_tokenizer

    words = recipe.task == TOKEN_CLASSIFICATION
    try:
        return load_tokenizer(recipe.model, words=words), []
    except ModelError as error:
        return None, [
            Finding("tokenizer", NOTE, "both", f"{error}.".replace("..", "."), "Lengths in tokens were not checked.")
        ]  # fmt: skip


def _sizes(domain: Domain) -> dict[str, Any]:
    return {"name": domain.name, "rows": {name: len(rows) for name, rows in domain.splits.items()}}
