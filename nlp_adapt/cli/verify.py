"""Say whether a run is complete, and whether resuming it would be exact.

The exit code is 0 for a complete run and 1 for any other.
"""

from __future__ import annotations

import argparse

from nlp_adapt.cli import console

HELP = "say whether a run is complete or can be resumed exactly"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt verify`."""
    parser.add_argument("run_folder", metavar="RUN", help="run folder")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    from nlp_adapt.training.saving.verify import verify_run

    found = verify_run(args.run_folder)
    if args.json:
        console.print_json(found)
    else:
        print(_sentence(args.run_folder, found))
        for problem in found["problems"]:
            print(f"  {problem}")
        for note in (found["resumed"] or {}).get("notes", []):
            print(f"  It was resumed inexactly: {note}")
    return 0 if found["complete"] else 1


def _sentence(folder: str, found: dict) -> str:
    if found["complete"]:
        return f"{folder}: complete."
    if found["exact_resume"]:
        last = f" from {found['checkpoints'][-1]}" if found["checkpoints"] else ""
        return f"{folder}: not complete; a resume{last} would be exact."
    return f"{folder}: not complete, and a resume would not be exact."
