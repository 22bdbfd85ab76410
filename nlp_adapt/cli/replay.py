"""Run a step again whose gradients were not finite, and say where the numbers break.

Such steps are kept under black_box/ in the run's folder.
"""

from __future__ import annotations

import argparse
from typing import Any

from nlp_adapt.cli import console

HELP = "run a non-finite step of a run again, to find its cause"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt replay`."""
    parser.add_argument("run_folder", metavar="RUN", help="run folder")
    parser.add_argument("--step", help="which dump under black_box/ (default: the newest)")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    with console.stdout_for_results(args.json):
        from nlp_adapt.training.replay import replay

        found = replay(args.run_folder, args.step)
    if args.json:
        console.print_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['dump']}: {found['model']}, stage {found['stage']}, after step {found['step']}"
    ]
    lines += [f"  {name:24} {value}" for name, value in found["terms"].items()]
    if found["finite"]:
        return [
            *lines,
            "Everything is finite this time: the fault was not in these rows and weights.",
        ]
    for key, words in (
        ("weights", "Weights that were not finite before the step"),
        ("non_finite_terms", "Terms that are not finite"),
        ("parameters", "Parameters whose gradient is not finite"),
    ):
        if found[key]:
            lines.append(f"{words}: {', '.join(found[key])}")
    lines += [f"A {row['side']} row breaks the model: {row['text']!r}" for row in found["rows"]]
    return lines
