"""Write the model card of a finished run again, with the spread over seeds if there are several.

Train the same recipe with other seeds into other folders, then name those folders:

nlp-adapt train --config recipe.yaml --seed 43 --output_dir runs/seed43
nlp-adapt card runs/seed42 --seeds runs/seed43 runs/seed44

The spread goes into the card and the results of the first run, which keeps its own weights.
"""

import argparse
from pathlib import Path

from nlp_adapt.cli import console

HELP = "write a run's model card again, with the spread over seeds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt card`."""
    parser.add_argument("run_folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--seeds", nargs="+", default=[], metavar="RUN", help="the same run with other seeds"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the card, then say where it is and what the spread is."""
    from nlp_adapt.files import Manifest, write_json
    from nlp_adapt.reporting.card import write_card
    from nlp_adapt.reporting.page.build import report_run
    from nlp_adapt.reporting.results import as_written, read_results
    from nlp_adapt.reporting.runs import collect_seeds, seed_rows, seed_sentence
    from nlp_adapt.reporting.table import layout

    folder = Path(args.run_folder)
    results = read_results(folder)
    if args.seeds:
        with as_written(folder, *args.seeds):
            results["seeds"] = collect_seeds(folder, [Path(other) for other in args.seeds])
        write_json(folder / "results.json", results)
        Manifest(folder).seal(folder / "results.json")
        report_run(folder)  # which has a dot for each seed
    card = write_card(folder)
    with as_written(folder):
        rows = seed_rows(results)
        spread = f"{layout(rows)}\n\n{seed_sentence(results)}\n\n" if rows else ""
    written = {"card": str(card), "seeds": results.get("seeds", [])}
    console.show(args, written, lambda shown: f"{spread}Wrote {shown['card']}.")
    return 0
