"""Show the scores of several finished runs on the same target, or train several methods and rank them.

nlp-adapt compare runs/auto runs/dann runs/mcc
nlp-adapt compare runs/auto runs/dann --out runs.html    # a page to look at as well
nlp-adapt compare --config recipe.yaml --methods source_only,dann,mcc,auto --seeds 3

Finished runs may differ in anything but the task, the labels and the target. What a run gained is counted
from the source-only model of the same encoder, source, seed and length, in whichever of the runs it
was trained.

With --methods, each method trains on the recipe with the same seeds, into a folder of its own under
--output_dir. A run that is finished is not trained again, and one that was interrupted goes on: give the
same command. Three methods or more are ranked by how far each says of the target what the others say,
two by label_free, unless metric_for_best_model names another score; true scores stand beside it where
the target has test rows. The exit code is 2 where a run failed.
"""

import argparse
from pathlib import Path
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import (
    add_recipe_arguments,
    positive,
    read_recipe,
    recipe_overrides,
    refuse_existing,
    take_dotted_flags,
)
from nlp_adapt.errors import ConfigError
from nlp_adapt.options import coerce

USAGE = (
    "nlp-adapt compare RUN [RUN ...] [--out PAGE [--overwrite]] [--markdown | --json]\n"
    "       nlp-adapt compare --config RECIPE.yaml --methods METHOD,METHOD [--seeds N] "
    "[--output_dir FOLDER] [--out PAGE [--overwrite]] [--KEY VALUE ...]"
)
HELP = "show several finished runs side by side, or train several methods and rank them"
FOLDER = "runs/compare"
RUN_FAILED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt compare`, and every key of a recipe as a flag."""
    parser.add_argument("run_folders", nargs="*", metavar="RUN", help="folders of finished runs")
    parser.add_argument(
        "--methods", metavar="METHOD,METHOD", help="methods to train, separated by commas"
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        metavar="NUMBER",
        help="runs of each method, from the recipe's seed on (1)",
    )
    parser.add_argument(
        "--out",
        metavar="PAGE",
        help="also write a page to look at, such as runs.html; --overwrite replaces it",
    )
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    add_recipe_arguments(parser, "what was found")


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if args.markdown and args.json:
        raise ConfigError("--markdown and --json exclude each other.")
    given = recipe_overrides(args)
    overwrite = given.pop("overwrite", False)  # the page alone: no run is replaced
    if args.out:
        refuse_existing(args.out, coerce("overwrite", overwrite, bool))
    if args.run_folders:
        if args.methods or args.seeds or args.config or given:
            raise ConfigError(
                "name finished runs, or a recipe and --methods to train, not both at once."
            )
        return _finished(args)
    if not args.methods:
        raise ConfigError(
            "name finished runs, as in `nlp-adapt compare runs/a runs/b`, or methods to train: "
            "--methods source_only,auto."
        )
    if "method" in given:
        raise ConfigError("--method is for a single run: name all under --methods.")
    return _trained(args, str(given.get("output_dir", FOLDER)))


def _finished(args: argparse.Namespace) -> int:
    from nlp_adapt.reporting.results import as_written, read_results
    from nlp_adapt.reporting.runs import comparison, require_comparable, run_rows

    runs = {folder: read_results(Path(folder)) for folder in args.run_folders}
    with as_written(*runs):
        require_comparable(runs)
        found, rows = {"models": comparison(runs)}, _table(args, run_rows(runs))
    _write_page(args, args.run_folders)
    console.show(args, found, lambda _: rows)
    return 0


def _trained(args: argparse.Namespace, out: str) -> int:
    recipe = read_recipe(args)
    methods = [name.strip() for name in args.methods.split(",") if name.strip()]
    with console.stdout_for_results(True):  # progress is no result
        from nlp_adapt.cli.train import import_training

        import_training()
        from nlp_adapt.comparing.ranking import LABEL_FREE, rank
        from nlp_adapt.comparing.training import plan, train_all

        trained = train_all(plan(recipe, methods, args.seeds or 1, out), console.note)
        selector = recipe.metric_for_best_model
        found = rank(trained, None if selector == LABEL_FREE else selector)
    folders = [folder for one in trained for folder in one.folders.values()]
    if folders:
        _write_page(args, folders)
    console.show(args, found, lambda found: _ranking(args, found))
    return RUN_FAILED if any(one.failed for one in trained) else 0


def _ranking(args: argparse.Namespace, found: dict[str, Any]) -> str:
    from nlp_adapt.comparing.ranking import ranking_rows, ranking_sentences
    from nlp_adapt.escaping import escape

    said = ranking_sentences(found)
    if args.markdown:
        said = [f"- {escape(one)}" for one in said]
    return "\n".join([_table(args, ranking_rows(found)), "", *said])


def _table(args: argparse.Namespace, rows: Any) -> str:
    from nlp_adapt.escaping import markdown_table
    from nlp_adapt.reporting.table import layout

    return markdown_table(rows) if args.markdown else layout(rows)


def _write_page(args: argparse.Namespace, folders: list[str]) -> None:
    if args.out:
        from nlp_adapt.reporting.page.compare import write_comparison

        console.note(f"Wrote {write_comparison(folders, args.out)}.")
