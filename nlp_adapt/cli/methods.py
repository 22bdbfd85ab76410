"""List the adaptation methods: what each does, its paper, its tasks and its options."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from typing import Any

from nlp_adapt.cli import console

HELP = "list the adaptation methods and their options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt methods`."""
    parser.add_argument("--json", action="store_true", help="print them as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print every method."""
    described = describe_methods()
    if args.json:
        console.print_json(described)
        return 0
    for name, method in described.items():
        print(f"{name}: {method['summary']}")
        if method["paper"]:
            print(f"    paper    {method['paper']}")
        print(f"    tasks    {', '.join(method['tasks'])}")
        for objective, options in method["options"].items():
            for option in options:
                _print_option(f"--options.{objective}.{option['name']}", option)
        print()
    print("Auxiliary tasks train beside any method with a task term; see --auxiliary:")
    for option in _options_of("auxiliary"):
        _print_option(f"--options.auxiliary.{option['name']}", option)
    print()
    print("Use one with `nlp-adapt train --method NAME`.")
    return 0


def describe_methods() -> dict[str, dict[str, Any]]:
    """Every method by name: summary, paper, tasks, objectives, and the options of each of them."""
    from nlp_adapt.config import AdaptationConfig
    from nlp_adapt.methods import METHODS

    config = AdaptationConfig()
    return {
        name: {
            "summary": method.summary,
            "paper": method.paper,
            "tasks": list(method.tasks),
            "options": {
                objective: _options_of(objective)
                for objective in _objectives_of(method.stages(config))
            },
        }
        for name, method in METHODS.items()
    }


def _options_of(objective: str) -> list[dict[str, Any]]:
    from nlp_adapt.objectives import OBJECTIVES

    return [
        {
            "name": field.name,
            "help": field.metadata.get("help", ""),
            "default": _default(field),
            "choices": list(field.metadata.get("choices", ())),
        }
        for field in dataclasses.fields(OBJECTIVES[objective].config_class)
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _objectives_of(stages: Any) -> list[str]:
    names = [str(name) for stage in stages for name in stage.objectives]
    return list(dict.fromkeys(names))


def _print_option(flag: str, option: dict[str, Any]) -> None:
    text = option["help"]
    if option["choices"]:
        text += f": {', '.join(map(str, option['choices']))}"
    if option["default"] is not None:
        text += f" (default: {option['default']})"
    print(textwrap.fill(f"{flag}  {text}", 100, initial_indent=" " * 4, subsequent_indent=" " * 8))
