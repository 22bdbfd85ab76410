"""The arguments of all commands, in argparse, with hints where a word is unknown."""

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import nlp_adapt
from nlp_adapt.cli import console
from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import visible
from nlp_adapt.usual_names import hint, nearest

COMMANDS = {
    name: import_module(f"nlp_adapt.cli.{name}")
    for name in (
        *("init", "train", "evaluate", "predict", "ensemble", "report", "compare", "export"),
        "demo",
        *("review", "card", "push", "diagnose", "doctor", "verify"),
        *("labels", "methods", "recipes", "env", "completion"),
    )
}

DESCRIPTION = """\
Adapt a Hugging Face text classifier or tagger to a domain that has no labels.

  nlp-adapt train --config sentiment/auto --source reviews.csv --target tweets.jsonl
  nlp-adapt evaluate runs/adaptation --data labelled_tweets.csv
  nlp-adapt predict runs/adaptation new_tweets.csv --out predictions.csv
"""

# What other programs call our commands.
USUAL_COMMANDS = {
    name: ours
    for ours, names in {
        "train": "fit finetune fine-tune fine_tune adapt run learn",
        "evaluate": "eval test score benchmark metrics",
        "predict": "infer inference label tag classify annotate generate apply transform",
        "push": "upload publish deploy share",
        "doctor": "check lint validate inspect",
        "verify": "checksum",
        "methods": "list algorithms objectives",
        "recipes": "configs examples templates",
        "env": "info version versions environment",
        "export": "onnx convert",
        "init": "new create setup configure",
        "compare": "diff leaderboard",
        "report": "html plot visualize visualise summary",
        "card": "model_card model-card readme",
        "ensemble": "merge soup average stack",
        "labels": "classes label_map map",
        "review": "annotate_by_hand audit",
        "completion": "complete completions autocomplete shell",
    }.items()
    for name in names.split()
}


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises `ConfigError` instead of leaving the program."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.color = False  # of Python 3.14, which `escaping` would show as escapes

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into one sentence of ours."""
        raise ConfigError(f"{message} (`{self.prog} --help` shows what there is).")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, with headings and flags in colour on a terminal."""
        stream = sys.stderr if file is None else file
        if message and console.has_colours(stream):
            message = _HEADING.sub(
                lambda found: console.painted(found[0], "bold"), visible(message)
            )
            message = _FLAG.sub(lambda found: console.painted(found[0], "cyan"), message)
            getattr(stream, "bare", stream).write(message)
        elif message:
            stream.write(message)


_HEADING = re.compile(r"^\S[^\n]*:$", re.MULTILINE)
_FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z]\w*(?:\.\w+)*")


def build_parser(only: str | None = None) -> Parser:
    """The parser of every command; with `only`, the others are there without their arguments."""
    parser = Parser(
        prog="nlp-adapt",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"nlp-adapt {nlp_adapt.__version__}"
    parser.add_argument("--version", action="version", version=version)
    # Long option names keep a column of their own.
    help_format = partial(argparse.RawDescriptionHelpFormatter, max_help_position=34)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            usage=getattr(module, "USAGE", None),
            formatter_class=help_format,
            allow_abbrev=False,
        )
        if only in (None, name):
            module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show tracebacks and warnings")
        command.set_defaults(run=module.run, parser=command)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line, in which `--output-dir` is `--output_dir`.

    What the command's parser does not know goes to the command's `accept_unknown`, where it has
    one, and is refused otherwise.
    """
    words = underscored(words)
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        meant = USUAL_COMMANDS.get(command.lower())
        said = f"; did you mean '{meant}'?" if meant else nearest(command, list(COMMANDS))
        raise ConfigError(f"unknown command '{command}'{said} (there are {', '.join(COMMANDS)})")
    parser = build_parser(command)
    if not words:
        parser.print_help()
        raise SystemExit(2)
    try:
        args, unknown = parser.parse_known_args(words)
    except ConfigError:
        _refuse_unknown_flags(parser, command, words)  # it may stand for one that is missing
        raise
    if command is None:
        raise ConfigError(f"name a command: {', '.join(COMMANDS)}.")
    if accept := getattr(COMMANDS[command], "accept_unknown", None):
        unknown = accept(args, unknown)
    if unknown:
        raise ConfigError(_unknown_message(args.parser, unknown[0]))
    return args


def underscored(words: Sequence[str]) -> list[str]:
    """Write `--output-dir` as `--output_dir`; values and what follows a dot stay as they are."""
    result: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            return [*result, *words[index:]]
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            first, dot, rest = name.partition(".")
            word = f"--{first.replace('-', '_')}{dot}{rest}{equals}{value}"
        result.append(word)
    return result


def _refuse_unknown_flags(parser: Parser, command: str | None, words: Sequence[str]) -> None:
    choices: Any = next(one.choices for one in parser._actions if one.dest == "command")
    if command is None:
        return
    known = {flag for action in choices[command]._actions for flag in action.option_strings}
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and len(name) > 2 and "." not in name and name not in known:
            raise ConfigError(_unknown_message(choices[command], word))


def _unknown_message(parser: argparse.ArgumentParser, word: str) -> str:
    if not word.startswith("-"):
        return f"unexpected argument '{word}' (`{parser.prog} --help` shows what there is)"
    name = word.partition("=")[0]
    plain = {one.dest: str(one.metavar or one.dest) for one in parser._get_positional_actions()}
    if name.strip("-") in plain:
        usage = " ".join([parser.prog, *plain.values()])
        return f"unknown option {name}: give what it names alone, as in `{usage}`"
    known = [flag for action in parser._actions for flag in action.option_strings]
    return f"unknown option {name}{hint(name, known)} (`{parser.prog} --help` lists the options)"
