"""Tell from about forty answers which model of a run is better on the target.

nlp-adapt review runs/mine                       # writes review.csv and review.html
nlp-adapt review runs/mine --labels review.csv   # says which model is better

Rows on which the adapted and the source-only model agree tell nothing about their difference, so it
draws at random from those where they differ (for taggers: stretches of text), in an order that hides
which model said what. Answer them in the csv, on the page (keys 1, 2, 3), or in a labelling tool.
Some rows where both agree are drawn as well, which tell the accuracy itself. Call it again for more
rows: the interval stays valid however often one looks.
"""

import argparse
from pathlib import Path
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_model_arguments, positive
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import counted

HELP = "tell from about forty answers which model of a run is better"
TOOLS = ("doccano", "label-studio", "argilla")
# Options that say what is drawn and mean nothing where answers are read.
_OF_DRAW = ("rows", "agreeing", "data", "pool", "seed", "tool", "out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt review`."""
    parser.add_argument("run_folder", metavar="RUN", help="folder of a finished run")
    draw = parser.add_argument_group("to draw rows")
    draw.add_argument(
        "--rows", type=positive, metavar="NUMBER", help="rows where the models differ (40)"
    )
    draw.add_argument(
        "--agreeing", type=_count, metavar="NUMBER", help="rows where they agree (10)"
    )
    draw.add_argument(
        "--data", metavar="DATA", help="other text of the target: file, folder, Hub id or builtin:"
    )
    draw.add_argument(
        "--test_rows", action="store_true", help="draw also from the target's test rows"
    )
    draw.add_argument(
        "--pool", type=positive, metavar="NUMBER", help="texts that both models read at most (5000)"
    )
    draw.add_argument("--seed", type=int, metavar="NUMBER", help="seed of the draw (42)")
    draw.add_argument(
        "--for", dest="tool", choices=TOOLS, help="also write what a labelling tool imports"
    )
    draw.add_argument("--out", metavar="FOLDER", help="where the files go (default: the run's)")
    draw.add_argument(
        "--anew", action="store_true", help="begin a new review, and forget earlier answers"
    )
    add_model_arguments(draw)
    read = parser.add_argument_group("to read answers")
    read.add_argument("--labels", metavar="FILE", help="answers: csv, jsonl or a tool's export")
    read.add_argument(
        "--level",
        type=float,
        metavar="SHARE",
        default=0.95,
        help="level of the intervals (default: 0.95)",
    )
    read.add_argument(
        "--switch_export",
        action="store_true",
        help="let the better model be the one in model/, if the answers settle it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the files, or print the verdict."""
    given = {name: getattr(args, name) for name in _OF_DRAW}
    given = {name: value for name, value in given.items() if value is not None}
    flags: dict[str, Any] = {name: True for name in ("test_rows", "anew") if getattr(args, name)}
    if args.labels is not None and (given or flags):
        name = next(iter({**given, **flags})).replace("tool", "for")
        raise ConfigError(
            f"--{name} is for drawing rows: read the answers first, then call it without --labels."
        )
    if args.labels is None and args.switch_export:
        raise ConfigError("--switch_export needs answers: name their file with --labels.")
    with console.stdout_for_results(args.json):
        from nlp_adapt.reviewing.session import review

        options = ("precision", "batch_size", "device", "max_length")
        found = review(
            Path(args.run_folder),
            args.labels,
            **given,
            **flags,
            level=args.level,
            switch_export=args.switch_export,
            **{name: getattr(args, name) for name in options},
        )
    console.show(args, found, _drawn if args.labels is None else _concluded)
    if args.switch_export and "exported" not in found:
        console.note("The answers do not settle it, so the exported model stays as it is.")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def _drawn(found: dict[str, Any]) -> str:
    lines = [
        f"The models differ on {found['differing']:,} of {found['units']:,} decisions about "
        f"{counted(found['texts'], 'text')} of {found['name']}.",
        f"{counted(found['rows'], 'row')} where they differ and {found['agreeing']:,} where they "
        f"agree wait for an answer in {found['files'][0]} and {found['files'][1]}.",
    ]
    if found["files"][2:]:
        lines.append(f"Also written: {', '.join(found['files'][2:])}.")
    return "\n".join([*lines, "Then read the answers with --labels FILE."])


def _concluded(found: dict[str, Any]) -> str:
    from nlp_adapt.reporting.reviewed import review_sentences

    lines = review_sentences({"review": found})
    if found["better_is_kept_apart"]:
        lines.append("It is not the one in model/: --switch_export puts it there.")
    if found["labels"]:
        lines.append(
            f"Labelled texts are in {found['labels']}: a later run takes them as target_few_shot, and "
            "the class shares as target_class_shares."
        )
    return "\n".join(lines)
