"""Say whether a run is complete, and whether resuming it would be exact.

The exit code is 0 for a complete run and 1 for any other.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.escaping import in_lines

HELP = "say whether a run is complete or can be resumed exactly"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt verify`."""
    parser.add_argument("run_folder", metavar="RUN", help="run folder")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    from nlp_adapt.training.saving.verify import verify_run

    found = verify_run(args.run_folder)
    console.show(args, found, lambda found: "\n".join(_lines(in_lines(args.run_folder), found)))
    return 0 if found["complete"] else 1


def _lines(folder: str, found: dict[str, Any]) -> Iterator[str]:
    if found["complete"]:
        yield f"{folder}: complete."
    elif found["exact_resume"]:
        last = f" from {found['checkpoints'][-1]}" if found["checkpoints"] else ""
        yield f"{folder}: not complete; a resume{last} would be exact."
    else:
        yield f"{folder}: not complete, and a resume would not be exact."
    yield from (f"  {problem}" for problem in found["problems"])
    notes = (found["resumed"] or {}).get("notes", [])
    yield from (f"  It was resumed inexactly: {note}" for note in notes)
