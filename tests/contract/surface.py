"""What the package offers by name: Python names, commands, flags, recipe keys and methods."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import re
from pathlib import Path
from typing import Any

import nlp_adapt
from nlp_adapt.cli import build_parser, main

HERE = Path(__file__).parent
# Where documented names lived in the first release: older imports still find them there.
OLDER_PATHS = (
    "nlp_adapt.data.doctor.finding.Finding",
    "nlp_adapt.inference.load_predictor",
    "nlp_adapt.inference.Predictor",
    "nlp_adapt.tagged_text.tag_texts",
    "nlp_adapt.tagged_text.TaggedText",
    "nlp_adapt.evaluation_attack.Attack",
    "nlp_adapt.evaluation_attack.attacked_logits",
    "nlp_adapt.export.OnnxModel",
)
REFERENCE = HERE.parents[1] / "docs" / "reference" / "python.md"


def stored(name: str) -> Any:
    """What `record.py` wrote to a file beside this one."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def surface() -> dict[str, Any]:
    """Everything that `surface.json` holds."""
    documented = re.findall(r"^::: (\S+)$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "package": {name: describe(getattr(nlp_adapt, name)) for name in nlp_adapt.__all__},
        "documented": {path: describe(resolve(path)) for path in [*documented, *OLDER_PATHS]},
        "commands": commands(),
        "recipe": recipe_keys(),
        "methods": methods(),
    }


def resolve(path: str) -> Any:
    """What stands at a dotted path: a module, or a name in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def describe(found: Any) -> Any:
    """The parameters of a function; of a class those of its own methods too; a module's errors."""
    if inspect.ismodule(found):
        return {
            name: value.__bases__[0].__name__
            for name, value in vars(found).items()
            if inspect.isclass(value) and issubclass(value, BaseException)
        }
    if not inspect.isclass(found):
        return parameters(found)
    members = {"": parameters(found)}
    for base in reversed(found.__mro__):
        if base.__module__.startswith("nlp_adapt"):
            for name, value in vars(base).items():
                if not name.startswith("_") and (kind := member(value)) is not None:
                    members[name] = kind
    return members


def member(value: Any) -> Any:
    """The parameters of a method, a word for a property, None for anything else."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if inspect.isfunction(value):
        return parameters(value)
    if isinstance(value, property) or hasattr(value, "func"):  # functools.cached_property
        return "property"
    return None


def parameters(function: Any) -> str:
    """Names of the parameters in their order; `*` before those that are given by name alone."""
    if isinstance(function, type) and function.__init__ is Exception.__init__:
        return "*args"  # Python's versions disagree about the signature of a plain exception
    names, named_only = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not named_only:
            named_only = True
            names.append("*")
        names.append(
            {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            + name
        )
    return ", ".join(names)


def commands() -> dict[str, dict[str, str]]:
    """Every command with its arguments."""
    (choices,) = (
        action.choices
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        name: {
            flag: argument(action)
            for action in command._actions
            for flag in action.option_strings or [action.dest]
        }
        for name, command in choices.items()
    }


def argument(action: argparse.Action) -> str:
    """What an argument takes and what it is when it is left out."""
    parts = ["required"] if action.required else []
    if action.nargs is not None:
        parts.append(f"takes {action.nargs}")
    if action.choices:
        parts.append("|".join(map(str, action.choices)))
    if action.const is not None:
        parts.append(f"stands for {action.const}")
    if action.default not in (None, argparse.SUPPRESS):
        parts.append(f"default {action.default}")
    return ", ".join(parts)


def recipe_keys() -> dict[str, dict[str, Any]]:
    """The default of every key, by the class that holds it."""
    return {
        kind.__name__: dict(kind().to_dict())
        for kind in (nlp_adapt.AdaptationConfig, nlp_adapt.Recipe)
        if dataclasses.is_dataclass(kind)
    }


def methods() -> dict[str, Any]:
    """Every method: its tasks, and the defaults of the options of its objectives."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["methods", "--json"]) == 0
    return {
        name: {
            "tasks": method["tasks"],
            **{
                f"options.{objective}.{option['name']}": option["default"]
                for objective, options in method["options"].items()
                for option in options
            },
        }
        for name, method in json.loads(printed.getvalue()).items()
    }
