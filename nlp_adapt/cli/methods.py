"""List the adaptation methods: what each does, its paper, its tasks and its options."""

import argparse
import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

from nlp_adapt.cli import console

HELP = "list the adaptation methods and their options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt methods`."""
    parser.add_argument("--json", action="store_true", help="print them as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print every method."""
    console.show(args, describe_methods(), lambda methods: "\n".join(_lines(methods)))
    return 0


def describe_methods() -> dict[str, dict[str, Any]]:
    """Every method by name: summary, paper, tasks, objectives, and the options of each of them."""
    from nlp_adapt.config import AdaptationConfig
    from nlp_adapt.methods import METHODS
    from nlp_adapt.objectives import about

    config = AdaptationConfig()
    described = {}
    for name, method in METHODS.items():
        summary, paper = about(name)
        objectives = [str(one) for stage in method.stages(config) for one in stage.objectives]
        described[name] = {
            "summary": summary,
            "paper": paper,
            "tasks": list(method.tasks),
            "options": {objective: _options_of(objective) for objective in objectives},
        }
    return described


def _options_of(objective: str) -> list[dict[str, Any]]:
    from nlp_adapt.objectives import OBJECTIVES

    defaults = vars(OBJECTIVES[objective].config_class())
    return [
        {
            "name": field.name,
            "help": field.metadata.get("help", ""),
            "default": defaults[field.name],
            "choices": list(field.metadata.get("choices", ())),
        }
        for field in dataclasses.fields(OBJECTIVES[objective].config_class)
    ]


def _lines(methods: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, method in methods.items():
        yield f"{name}: {method['summary']}"
        if method["paper"]:
            yield f"    paper    {method['paper']}"
        yield f"    tasks    {', '.join(method['tasks'])}"
        for objective, options in method["options"].items():
            yield from (_option_line(objective, option) for option in options)
        yield ""
    yield "Auxiliary tasks train beside any method with a task term; see --auxiliary:"
    yield from (_option_line("auxiliary", option) for option in _options_of("auxiliary"))
    yield "\nUse one with `nlp-adapt train --method NAME`."


def _option_line(objective: str, option: dict[str, Any]) -> str:
    text = f"--options.{objective}.{option['name']}  {option['help']}"
    if option["choices"]:
        text += f": {', '.join(map(str, option['choices']))}"
    if option["default"] is not None:
        text += f" (default: {option['default']})"
    return textwrap.fill(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8)
