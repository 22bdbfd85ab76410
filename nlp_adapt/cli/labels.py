"""Compare the labels of two domains and propose a label map.

Prints every class (or entity type) of both domains with how often it occurs. Labels that only the
target has need a decision before training: the proposed label map is a start, to be read before it
goes into a recipe. Built-in domains bring a label map of their own; --label_map '{}' shows their
labels as they are.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_reading_arguments, given_label_map
from nlp_adapt.errors import DataError
from nlp_adapt.escaping import visible
from nlp_adapt.names import TASKS, TOKEN_CLASSIFICATION
from nlp_adapt.recipe import by_side

if TYPE_CHECKING:
    from nlp_adapt.data.domain import Domain

HELP = "compare the labels of two domains and propose a label map"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt labels`."""
    parser.add_argument("source", metavar="SOURCE", help="file, folder, Hub id or builtin:")
    parser.add_argument("target", metavar="TARGET", help="file, folder, Hub id or builtin:")
    parser.add_argument("--task", choices=TASKS, help="default: what the source has labels for")
    add_reading_arguments(parser, by_side=True)
    parser.add_argument("--label_map", metavar="YAML", help="raw label -> label name, as YAML")
    parser.add_argument("--repair_tags", action="store_true", help="repair ill-formed tags")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print both label sets and the proposal."""
    from nlp_adapt.data.loading import load_domain, load_labelled

    given = given_label_map(args)
    options: dict[str, Any] = {"label_map": given, "test_fraction": 0.0}
    options["repair_tags"] = args.repair_tags
    with console.stdout_for_results(args.json):
        # Tagged words can be read as texts too, so tags are looked for first.
        tasks = [args.task] if args.task else TASKS[::-1]
        source = load_labelled(args.source, tasks, **options, **by_side(vars(args), "source"))
        target = load_domain(
            args.target, task=source.task, **options, **by_side(vars(args), "target")
        )
        if given:
            given.refuse_unmet("either domain")
        for line in (*source.notes, *target.notes):
            console.note(line)
        report = compare(source, target)
    console.show(args, report, partial(render, proposal=report["label_map"]))
    return 0


def compare(source: "Domain", target: "Domain") -> dict[str, Any]:
    """Counts of both domains, what they share, and a label map for what only the target has."""
    from nlp_adapt.data.label_proposal import propose_label_map
    from nlp_adapt.data.label_spaces import compare_labels, label_counts

    if source.label_names is None:
        raise DataError(
            f"{source.name} has no labels: name its label column with --label_column, or the task "
            "with --task."
        )
    space = compare_labels(source, target)
    counts = label_counts(source)
    return {
        "task": source.task,
        "source": {"name": source.name, "labels": counts},
        "target": {"name": target.name, "labels": label_counts(target)},
        "shared": list(space.shared),
        "source_only": list(space.source_only),
        "target_only": list(space.target_only),
        "label_map": propose_label_map(counts, (*space.shared, *space.target_only)),
    }


def render(report: dict[str, Any], proposal: dict[str, str]) -> str:
    """The report as text: a table, then what to do; `proposal` is the label map as it must be."""
    from nlp_adapt.names import label_key
    from nlp_adapt.reporting.table import layout

    source, target = report["source"], report["target"]
    what = "entity type" if report["task"] == TOKEN_CLASSIFICATION else "label"
    theirs = {label_key(name): count for name, count in target["labels"].items()}
    rows = [[what, source["name"], target["name"]]]
    for name, count in source["labels"].items():
        rows.append([name, f"{count:,}", f"{theirs.get(label_key(name), 0):,}"])
    rows += [[name, "0", f"{target['labels'][name]:,}"] for name in report["target_only"]]
    return f"{layout(rows)}\n\n{_advice(report, proposal)}"


def _advice(report: dict[str, Any], proposal: dict[str, str]) -> str:
    source, target = report["source"]["name"], report["target"]["name"]
    if not report["target"]["labels"]:
        what = "tags" if report["task"] == TOKEN_CLASSIFICATION else "labels"
        return f"{target} has no {what}: there is nothing to map."
    if not report["target_only"]:
        lacking = ", ".join(report["source_only"])
        return f"{source} has every label of {target}: no map is needed." + (
            f" {target} lacks {lacking}." if lacking else ""
        )
    if not proposal:
        return (
            f"{target} has labels that {source} lacks, and no name tells what they mean: say so "
            "with label_map."
        )
    import yaml

    written = yaml.safe_dump({"label_map": proposal}, sort_keys=False, allow_unicode=True)
    if visible(written) != written:  # YAML has escapes of its own
        written = yaml.safe_dump({"label_map": proposal}, sort_keys=False)
    return (
        f"{target} has labels that {source} lacks. A proposal for the recipe, from the labels alone; read "
        f"it before use (ignore leaves out what it names):\n\n{written.rstrip()}"
    )
