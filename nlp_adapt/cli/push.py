"""Push a finished run to the Hub.

One commit holds the plain model with its tokenizer and card, and under adaptation/ the
discriminators, results and recipe. Log in first with `hf auth login`, or set HF_TOKEN.
"""

import argparse

from nlp_adapt.cli import console
from nlp_adapt.escaping import in_lines

HELP = "push a finished run to the Hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt push`."""
    parser.add_argument("run_folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--repo", required=True, metavar="USER/NAME", help="repository, such as me/my-model"
    )
    parser.add_argument("--private", action="store_true", help="create it as private")
    parser.add_argument(
        "--merge_lora",
        "--merge",
        action="store_true",
        help="push a plain model with the run's adapters merged in",
    )
    parser.add_argument("--create_pr", action="store_true", help="open a pull request")
    parser.add_argument("--revision", metavar="NAME", help="branch to commit to (main)")
    parser.add_argument(
        "--commit_message",
        metavar="TEXT",
        default="Add adapted model",
        help="first line of the commit",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Push, then say where it is."""
    from nlp_adapt.hub.push import push_run

    with console.stdout_for_results(args.json):
        names = ("private", "revision", "create_pr", "commit_message", "merge_lora")
        options = {name: getattr(args, name) for name in names}
        url = push_run(args.run_folder, args.repo, **options)
    pushed = {"repo": args.repo, "url": url}
    console.show(
        args, pushed, lambda shown: f"Pushed {in_lines(args.run_folder)} to {shown['url']}"
    )
    return 0
