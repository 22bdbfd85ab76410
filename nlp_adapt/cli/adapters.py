"""Keep adapters of several domains on one base model, and label rows with any of them.

nlp-adapt adapters add FOLDER RUN --domain tweets       copy a LoRA run's adapters
nlp-adapt adapters list FOLDER                          what the folder holds
nlp-adapt adapters predict FOLDER INPUT --domain tweets --out predictions.csv
"""

from __future__ import annotations

import argparse
import dataclasses

from nlp_adapt.cli import console, predict
from nlp_adapt.cli.evaluate import add_model_arguments
from nlp_adapt.errors import ConfigError

USAGE = "nlp-adapt adapters {add,list,predict} FOLDER [RUN|INPUT] [--domain NAME] [--out FILE]"
HELP = "keep adapters of several domains on one base model"
ACTIONS = ("add", "list", "predict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt adapters`."""
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="add, list or predict")
    parser.add_argument("folder", metavar="FOLDER", help="folder of the adapters")
    parser.add_argument(
        "input", nargs="?", metavar="RUN|INPUT", help="run to add, or file to label (- for stdin)"
    )
    parser.add_argument("--domain", metavar="NAME", help="whose adapters")
    predict.add_output_arguments(parser, required=False)
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Add, list or predict."""
    if args.action == "list":
        return _list(args)
    what = "RUN" if args.action == "add" else "INPUT"
    for name, value in ((what, args.input), ("--domain", args.domain)):
        if value is None:
            raise ConfigError(f"nlp-adapt adapters {args.action} needs {name}.")
    return _add(args) if args.action == "add" else _predict(args)


def _list(args: argparse.Namespace) -> int:
    from nlp_adapt.adapter_set import AdapterSet

    infos = AdapterSet(args.folder).domains()
    if args.json:
        console.print_json([dataclasses.asdict(info) for info in infos])
        return 0
    for info in infos:
        print(f"{info.domain}: {info.kind} on {info.base}, labels {', '.join(info.label_names)}")
    if not infos:
        print(f"{args.folder} holds no adapters.")
    return 0


def _add(args: argparse.Namespace) -> int:
    from nlp_adapt.adapter_set import AdapterSet

    info = AdapterSet(args.folder).add(args.domain, args.input)
    if args.json:
        console.print_json(dataclasses.asdict(info))
    else:
        print(f"{args.folder} now holds {info.domain} ({info.kind} on {info.base}).")
    return 0


def _predict(args: argparse.Namespace) -> int:
    from nlp_adapt.adapter_set import AdapterSet

    if args.out is None:
        raise ConfigError("nlp-adapt adapters predict needs --out FILE.")
    args.model = args.folder
    options = {"precision": args.precision, "batch_size": args.batch_size, "device": args.device}
    return predict.label_file(
        args, lambda: AdapterSet(args.folder).predictor(args.domain, **options)
    )
