"""Look for faults in the data of a run, without training.

Takes what `nlp-adapt train` takes: put `doctor` in place of `train`, or name --source and --target.
Reports unreadable lines, empty, repeated, contradictory and damaged rows, test rows that training
has seen, labels that do not match, classes in other proportions, texts that are cut, and marks that
give a domain away: each with file and line, and with what is done about it. Exits with 2 where
training would be refused.
"""

import argparse
from collections import Counter
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_recipe_arguments, read_recipe, take_dotted_flags
from nlp_adapt.names import counted

USAGE = "nlp-adapt doctor --source DATA [--target DATA] [--config RECIPE.yaml] [--KEY VALUE ...] [--json]"
HELP = "look for faults in the data of a run"
TRAINING_REFUSED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe file, and every key of a recipe as a flag."""
    add_recipe_arguments(parser, "findings")


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Print every finding, the serious ones first."""
    from nlp_adapt.training.inputs.diagnosis import diagnose

    recipe = read_recipe(args)
    with console.stdout_for_results(args.json):
        report = diagnose(recipe)
    console.show(args, report, render)
    return TRAINING_REFUSED if report["refused"] else 0


def render(report: dict[str, Any]) -> str:
    """The report as text."""
    lines = []
    for side, domain in report["domains"].items():
        rows = ", ".join(f"{count:,} {split}" for split, count in domain["rows"].items())
        lines.append(f"{side}  {domain['name']}: {rows}")
        lines.append(f"    {domain['read']}")
    for finding in report["findings"]:
        lines.append(f"\n{finding['severity']}  {finding['domain']}: {finding['message']}")
        if finding["rows"]:
            more = ", ..." if finding["count"] > len(finding["rows"]) else ""
            lines.append(f"    at {', '.join(finding['rows'])}{more}")
        if finding["advice"]:
            lines.append(f"    {finding['advice']}")
    counts = Counter(finding["severity"] for finding in report["findings"])
    warnings, notes = (counted(counts[kind], kind) for kind in ("warning", "note"))
    summary = f"{counts['serious']} serious, {warnings}, {notes}."
    verdict = " Training on this data would be refused." if report["refused"] else ""
    return "\n".join([*lines, f"\n{summary}{verdict}"])
