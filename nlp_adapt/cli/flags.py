"""The flags that commands share: those of a saved model, and every recipe key as one.

Names, help and choices of the keys come from the dataclass in `config.py`.
"""

import argparse
import dataclasses
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.config import PRECISIONS
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.options import coerce
from nlp_adapt.recipe import READING, READING_BY_SIDE, Recipe, load_recipe

if TYPE_CHECKING:
    from nlp_adapt.data.labels import LabelMap
    from nlp_adapt.prediction.predictor import Predictor

# The first key of each section of help; keys follow in the order of the dataclass.
SECTIONS = {
    "output_dir": "run",
    "num_train_epochs": "length of training",
    "learning_rate": "optimizer",
    "lora": "LoRA",
    "domain_features": "adversary",
    "target_class_shares": "what is known of the target",
    "auxiliary": "auxiliary tasks",
    "max_length": "text",
    "augment": "augmentation",
    "precision": "machine",
    "eval_strategy": "evaluation, logging and saving",
    "push_to_hub": "Hub",
    "model": "model and data",
}
SHOWN_FIRST = "model and data"


def add_model_arguments(parser: argparse._ActionsContainer, precision: str = "fp32") -> None:
    """Add how to run a saved model; `precision` is the default of the option of that name."""
    parser.add_argument(
        "--batch_size", type=positive, metavar="NUMBER", default=64, help="rows a batch (64)"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=precision, help=f"number format ({precision})"
    )
    parser.add_argument(
        "--max_length",
        type=positive,
        metavar="NUMBER",
        help="longest row in tokens (default: that of the run)",
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, ... (default: a GPU where there is one)"
    )


def add_reading_arguments(parser: argparse.ArgumentParser, *, by_side: bool = False) -> None:
    """Add the options that say how to read data, with `by_side` also those of each domain."""
    kinds = typing.get_type_hints(Recipe)
    for field in dataclasses.fields(Recipe):
        if field.name in READING or (by_side and field.name in READING_BY_SIDE):
            _add_flag(parser, field, kinds[field.name], default=None)


def given_label_map(args: argparse.Namespace) -> "LabelMap | None":
    """What `--label_map` says, if it is given; it remembers which of its names are met."""
    from nlp_adapt.data.labels import LabelMap

    if args.label_map is None:
        return None
    return LabelMap(coerce("label_map", args.label_map, dict[str, str]))


def open_model(args: argparse.Namespace) -> "Predictor":
    """The model that a command line names, opened as it says."""
    from nlp_adapt.prediction.opening import load_predictor

    return load_predictor(
        args.model,
        precision=args.precision,
        batch_size=args.batch_size,
        device=args.device,
        max_length=args.max_length,
    )


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def add_recipe_arguments(parser: argparse.ArgumentParser, printed: str) -> None:
    """Add a recipe's file, `--json` for what is `printed`, and a flag for every key of a recipe.

    Only flags that are given appear in the result.
    """
    parser.add_argument(
        "--config", metavar="RECIPE", help="recipe: a file, or a name such as sentiment/auto"
    )
    parser.add_argument("--json", action="store_true", help=f"print {printed} as one JSON object")
    kinds = typing.get_type_hints(Recipe)
    sections: dict[str, list[dataclasses.Field[Any]]] = {}
    section = ""
    for field in dataclasses.fields(Recipe):
        section = SECTIONS.get(field.name, section)
        sections.setdefault(section, []).append(field)
    for title in sorted(sections, key=lambda title: title != SHOWN_FIRST):
        group = parser.add_argument_group(title)
        for field in sections[title]:
            _add_flag(group, field, kinds[field.name])


def read_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that a command line gives."""
    recipe = load_recipe(args.config, recipe_overrides(args))
    if not recipe.source and not recipe.sources:
        own = Path(recipe.output_dir, "recipe.yaml")
        hint = f"; that of the run is {own}: --config {own} --resume" if own.is_file() else ""
        raise ConfigError(
            f"name the labelled domain: --source FILE, or `source: FILE` in the recipe{hint}."
        )
    return recipe


def recipe_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The recipe keys that the command line gives, as strings, lists and dotted keys."""
    kinds = typing.get_type_hints(Recipe)
    names = [field.name for field in dataclasses.fields(Recipe)]
    overrides = {name: getattr(args, name) for name in names if hasattr(args, name)}
    for name, value in overrides.items():
        if isinstance(value, list) and len(value) == 1 and _reads_text(kinds[name], value[0]):
            overrides[name] = value[0]
    return {**overrides, **getattr(args, "dotted", {})}


def take_dotted_flags(args: argparse.Namespace, words: list[str]) -> list[str]:
    """Move `--options.dann.weight 0.5` from `words` to `args.dotted`; return what is left."""
    mappings = [
        name
        for name, kind in typing.get_type_hints(Recipe).items()
        if any(typing.get_origin(member) is dict for member in _members(kind))
    ]
    args.dotted, rest = {}, []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        first = name.partition(".")[0]
        if not (word.startswith("--") and "." in name and first in mappings):
            rest.append(word)
            continue
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise ConfigError(f"--{name} needs a value.")
            value = queue.pop(0)
        args.dotted[name] = value
    return rest


def _add_flag(
    group: argparse._ActionsContainer,
    field: dataclasses.Field[Any],
    kind: Any,
    default: Any = argparse.SUPPRESS,
) -> None:
    flags = [f"--{name}" for name in (field.name, field.metadata.get("short")) if name]
    choices = field.metadata["choices"]
    metavar = "{" + ",".join(choices) + "}" if choices else _takes(field.name, kind)
    shared: dict[str, Any] = {"dest": field.name, "default": default}
    shared["help"] = _help(field)
    if bool in _members(kind):
        group.add_argument(*flags, nargs="?", const="true", metavar="true|false", **shared)
        shared["help"] = argparse.SUPPRESS
        group.add_argument(f"--no_{field.name}", action="store_const", const="false", **shared)
    elif list[str] in _members(kind):
        group.add_argument(*flags, nargs="+", action="extend", metavar=metavar, **shared)
    else:
        group.add_argument(*flags, metavar=metavar, **shared)


# What an option takes, by the end of its name, where its type says too little.
_TAKES = {
    "output_dir": "FOLDER",
    "model": "MODEL",
    "teacher": "MODEL",
    "column": "COLUMN",
    "source": "DATA",
    "target": "DATA",
    "sources": "DATA",
    "targets": "DATA",
    "source_test": "DATA",
    "target_test": "DATA",
    "few_shot": "DATA|NUMBER",
    "hub_model_id": "USER/NAME",
}


def _takes(name: str, kind: Any) -> str:
    members = set(_members(kind))
    for ending, metavar in _TAKES.items():
        if name == ending or name.endswith(f"_{ending}"):
            return metavar
    if any(typing.get_origin(one) is dict or one == list[dict[str, Any]] for one in members):
        return "YAML"
    number, text = members & {int, float}, members & {str, list[str]}
    return "NUMBER|NAME" if number and text else "NUMBER" if number else "NAME"


def refuse_existing(out: str | Path, overwrite: bool, option: str = "--out") -> None:
    """Refuse to replace a file that the user has not given up.

    Raises:
        RunError: There is such a file, and `overwrite` is not set.
    """
    if Path(out).is_file() and not overwrite:
        raise RunError(f"{option} {out}: already exists; set --overwrite, or choose another name.")


def _help(field: dataclasses.Field[Any]) -> str:
    text = field.metadata["help"]
    if field.default is not dataclasses.MISSING and field.default is not None:
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        text += f" (default: {default})"
    return text.replace("%", "%%")


def _members(kind: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _reads_text(kind: Any, text: str) -> bool:
    """Whether a key takes one text, or reads it as a list or mapping."""
    return str in _members(kind) or text.startswith(("[", "{")) or "," in text
