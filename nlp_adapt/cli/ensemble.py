"""Make one model of several runs.

average: a folder that averages the models' probabilities. stack: a folder that weighs them, fitted
on labelled source rows (--data). soup: one plain model with averaged weights; with --data members
join only while the score on it does not fall, and with --target the label-free score decides.
A folder of the first two is opened by `nlp-adapt predict`, and distilled into one plain model by
`nlp-adapt train --method distillation --teacher FOLDER`.
"""

import argparse

from nlp_adapt.cli import console

HELP = "make one model of several runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt ensemble`."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="run or model folders")
    parser.add_argument(
        "--how", choices=("average", "stack", "soup"), default="average", help="how they are joined"
    )
    parser.add_argument("--output_dir", required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="labelled source rows, not trained on; of its splits, validation before test",
    )
    parser.add_argument("--target", metavar="DATA", help="target text, for the label-free score")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Join the models and say what was written."""
    from nlp_adapt.prediction.joining import join

    with console.stdout_for_results(args.json):
        names = join(args.models, args.output_dir, args.how, data=args.data, target=args.target)
    console.show(
        args,
        {"folder": args.output_dir, "how": args.how, "members": names},
        lambda it: f"{it['folder']} holds the {it['how']} of {', '.join(it['members'])}.",
    )
    return 0
