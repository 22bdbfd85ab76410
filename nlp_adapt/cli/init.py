"""Look at your data and write a recipe for it, with a comment on each choice.

Reads both domains, finds the task, the labels and the lengths, and proposes a label map, a method
and sizes that fit. The recipe is a start to read and to change: `nlp-adapt train --config` runs it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_reading_arguments, given_label_map, refuse_existing
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.escaping import in_lines
from nlp_adapt.names import TASKS, TOKEN_CLASSIFICATION
from nlp_adapt.recipe import READING, READING_BY_SIDE, by_side

if TYPE_CHECKING:
    from nlp_adapt.data.proposal import Line

HELP = "write a commented recipe for your own data"
SETTLED = ("model", "source", "target", "target_test", *READING, *READING_BY_SIDE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt init`."""
    parser.add_argument(
        "--source", required=True, metavar="DATA", help="labelled file, folder, Hub id or builtin:"
    )
    parser.add_argument(
        "--target", required=True, metavar="DATA", help="domain to adapt to, labelled or not"
    )
    parser.add_argument("--target_test", metavar="DATA", help="labelled target rows to evaluate on")
    parser.add_argument("--task", choices=TASKS, help="default: what the source has labels for")
    add_reading_arguments(parser, by_side=True)
    parser.add_argument(
        "--label_map", metavar="YAML", help="raw label -> label name, as YAML; others are proposed"
    )
    parser.add_argument(
        "--model", metavar="MODEL", default="builtin:minilm-l6", help="Hub id or local folder"
    )
    parser.add_argument(
        "--out", metavar="FILE", default="recipe.yaml", help="file to write (recipe.yaml)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file")
    parser.add_argument("--json", action="store_true", help="print what was chosen as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the recipe, and say what to do with it."""
    from nlp_adapt.data.proposal import as_recipe
    from nlp_adapt.files import replacing
    from nlp_adapt.prediction.files.writers import check_output
    from nlp_adapt.recipe import load_recipe

    out = Path(args.out)
    check_output(out, None)
    refuse_existing(out, args.overwrite)
    with console.stdout_for_results(args.json):
        lines = _propose(args)
    with replacing(out) as staged:
        staged.write_text(as_recipe(lines), encoding="utf-8")
        load_recipe(staged)
    shown = in_lines(str(out))
    console.show(
        args,
        {key: value for key, value, _ in lines if key},
        lambda _: (
            f"Wrote {shown}. Read it, then run:\n\n"
            f"  nlp-adapt doctor --config {shown}\n  nlp-adapt train --config {shown}"
        ),
    )
    return 0


def _propose(args: argparse.Namespace) -> "list[Line]":
    from nlp_adapt.data.loading import load_domain, load_labelled
    from nlp_adapt.data.proposal import propose

    tasks = [args.task] if args.task else TASKS
    label_map = given_label_map(args)
    options: dict[str, Any] = {"repair_tags": True, "label_map": label_map}
    source = load_labelled(args.source, tasks, **options, **by_side(vars(args), "source"))
    if source.label_names is None:
        raise DataError(
            f"{source.name} has no labels: name their column with --label_column."
            if args.task
            else f"{args.source} has no labels that are recognised: name their column with "
            "--label_column, or the task with --task."
        )
    target, held = (
        reference
        and load_domain(reference, task=source.task, **options, **by_side(vars(args), "target"))
        for reference in (args.target, args.target_test)
    )
    if label_map:
        label_map.refuse_unmet("either domain")
    return propose(
        source,
        target,
        held,
        given={key: getattr(args, key) for key in SETTLED},
        label_map=label_map,
        tokenizer=_tokenizer(args.model, source.task),
    )


def _tokenizer(model: str, task: str) -> Any:
    """The model's tokenizer; None where it is not here and cannot be fetched."""
    from nlp_adapt.modeling.tokenizers import load_tokenizer

    try:
        return load_tokenizer(model, words=task == TOKEN_CLASSIFICATION)
    except ModelError:
        return None
