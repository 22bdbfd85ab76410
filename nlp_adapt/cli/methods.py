"""List the adaptation methods, or tell all about one: its stages, its paper and its options."""

import argparse
import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import nearest

HELP = "list the adaptation methods, or tell all about one"
AFTER = (
    "\nUse one with `nlp-adapt train --method NAME`; `nlp-adapt methods NAME` lists its options."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt methods`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="tell all about it, such as dann")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print every method in a line, or one with all that there is to know."""
    described = describe_methods()
    if args.name is None:
        console.show(args, described, _table)
        return 0
    if args.name not in described:
        raise ConfigError(
            f"there is no method '{args.name}'{nearest(args.name, list(described))} "
            "(`nlp-adapt methods` lists them)."
        )
    one = {args.name: {**described[args.name], "stages": describe_stages(args.name)}}
    console.show(args, one, lambda shown: "\n".join(_details(args.name, shown[args.name])))
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
        set_here: dict[str, dict[str, Any]] = {}
        for stage in method.stages(config):
            for objective, own in stage.objectives.items():
                set_here.setdefault(objective, {}).update(own)
        described[name] = {
            "summary": summary,
            "paper": paper,
            "tasks": list(method.tasks),
            "options": {
                objective: _options_of(objective, own) for objective, own in set_here.items()
            },
        }
    return described


def describe_stages(name: str) -> list[dict[str, Any]]:
    """The stages of a method in order, as a recipe with the defaults has them: what each one sets."""
    from nlp_adapt.config import AdaptationConfig
    from nlp_adapt.methods import METHODS

    config = AdaptationConfig()
    stages = []
    for stage in METHODS[name].stages(config):
        said = {key: value for key, value in vars(stage).items() if value is not None}
        if stage.fit is None and stage.steps is None:
            said.setdefault("epochs", config.num_train_epochs)
        stages.append({key: value for key, value in said.items() if value != {}})
    return stages


def _options_of(objective: str, own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every option of an objective, and what a method sets of it (`own`), as `here`."""
    from nlp_adapt.objectives import OBJECTIVES

    defaults = vars(OBJECTIVES[objective].config_class())
    return [
        {
            "name": field.name,
            "help": field.metadata.get("help", ""),
            "default": defaults[field.name],
            "choices": list(field.metadata.get("choices", ())),
            "follows": field.metadata.get("recipe"),
            **({"here": own[field.name]} if field.name in own else {}),
        }
        for field in dataclasses.fields(OBJECTIVES[objective].config_class)
    ]


def _table(methods: dict[str, dict[str, Any]]) -> str:
    width = max(map(len, methods))
    lines = (
        textwrap.fill(
            f"{name:{width}}  {method['summary']}"
            + (f" ({method['paper']})" * bool(method["paper"])),
            100,
            subsequent_indent=" " * (width + 2),
        )
        for name, method in methods.items()
    )
    return "\n".join([*lines, AFTER])


def _details(name: str, method: dict[str, Any]) -> Iterator[str]:
    yield textwrap.fill(f"{name}: {method['summary']}", 100, subsequent_indent="    ")
    if method["paper"]:
        yield f"    paper    {method['paper']}"
    yield f"    tasks    {', '.join(method['tasks'])}"
    recipes = " and ".join(f"{folder}/{name}" for folder in ("sentiment", "ner"))
    yield f"    recipes  {recipes} (`nlp-adapt recipes NAME` prints one)"
    yield "\nStages"
    for number, stage in enumerate(method["stages"], start=1):
        yield from _stage_lines(number, stage)
    yield "\nOptions"
    for objective, options in method["options"].items():
        yield from (_option_line(objective, option) for option in options)
    if not any(method["options"].values()):
        yield "    none of its own"
    yield "\nAuxiliary tasks train beside any method with a task term; see --auxiliary:"
    yield from (_option_line("auxiliary", option) for option in _options_of("auxiliary", {}))
    yield f"\nUse it with `nlp-adapt train --method {name}`."


def _stage_lines(number: int, stage: dict[str, Any]) -> Iterator[str]:
    if "fit" in stage:
        yield f"    {number}. {stage['fit']}, fitted on the features of the encoder as it is"
        return
    length = f"{stage['steps']} steps" if "steps" in stage else f"{stage['epochs']:.3g} epochs"
    rest = [f"{key} {stage[key]}" for key in ("learning_rate", "freeze") if key in stage]
    yield f"    {number}. {' + '.join(stage['objectives'])}: {', '.join([length, *rest])}"
    for objective, own in stage["objectives"].items():
        if own:
            said = ", ".join(f"{key} {value}" for key, value in own.items())
            yield f"         {objective} with {said}"


def _option_line(objective: str, option: dict[str, Any]) -> str:
    text = f"--options.{objective}.{option['name']}  {option['help']}"
    if option["choices"]:
        text += f": {', '.join(map(str, option['choices']))}"
    if "here" in option:
        text += f" (here: {option['here']})"
    elif option["default"] is not None:
        text += f" (default: {option['default']})"
    elif option["follows"]:
        text += f" (default: that of --{option['follows']})"
    return textwrap.fill(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8)
