"""Show the scores of several finished runs on the same target, side by side.

nlp-adapt compare runs/auto runs/dann runs/mcc
nlp-adapt compare runs/auto runs/dann --out runs.html    # a page to look at as well

The runs may differ in anything but the task, the labels and the target. What a run gained is counted
from the source-only model of the same encoder, source, seed and length, in whichever of the runs it
was trained.
"""

import argparse
from pathlib import Path

from nlp_adapt.cli import console

HELP = "show several finished runs side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt compare`."""
    parser.add_argument("run_folders", nargs="+", metavar="RUN", help="folders of finished runs")
    parser.add_argument(
        "--out", metavar="PAGE", help="also write a page to look at, such as runs.html"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from nlp_adapt.reporting.results import read_results
    from nlp_adapt.reporting.runs import comparison, require_comparable, run_rows
    from nlp_adapt.reporting.table import layout

    runs = {folder: read_results(Path(folder)) for folder in args.run_folders}
    require_comparable(runs)
    if args.out:
        from nlp_adapt.reporting.page.compare import write_comparison

        console.note(f"Wrote {write_comparison(args.run_folders, args.out)}.")
    console.show(args, {"models": comparison(runs)}, lambda _: layout(run_rows(runs)))
    return 0
