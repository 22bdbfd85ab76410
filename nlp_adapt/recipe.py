"""Recipes: YAML and command-line flags read into the typed, closed schema of `config.py`.

Every value is checked against its option's type.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.options import given_by_name, option
from nlp_adapt.usual_names import hint, nearest
from nlp_adapt.yaml_text import dump_yaml, parse_inline, read_yaml

READING = ("text_column", "label_column", "encoding")
"""Options that say how to read a domain, of which source and target may have their own."""
READING_BY_SIDE = tuple(f"{side}_{name}" for side in ("source", "target") for name in READING)

LAUNCHING = "accelerate"
_FOR_LAUNCHING = (
    "this is no recipe but what `accelerate launch --config_file` reads, before "
    "`-m nlp_adapt train --config RECIPE`; `nlp-adapt recipes NAME --copy` writes it here"
)
"""The folder of recipes that holds launch files instead."""


@given_by_name
@dataclass(kw_only=True)
class Recipe(AdaptationConfig):
    """A whole run as a recipe file states it: the options, plus model and data."""

    model: str = option("builtin:minilm-l6", "Hub id, local folder or builtin: encoder")
    source: str | list[str] | None = option(
        None, "labelled domain: file, folder, Hub id or builtin:"
    )
    target: str | list[str] | None = option(
        None, "domain to adapt to; labels in it are not trained on"
    )
    sources: list[str] | dict[str, str | list[str]] | None = option(
        None, "several labelled domains, instead of source: a list, or names with their references"
    )
    targets: list[str] | dict[str, str | list[str]] | None = option(
        None, "several domains to adapt to, instead of target: a list, or names with references"
    )
    source_test: str | list[str] | dict[str, str | list[str]] | None = option(
        None, "labelled source rows to evaluate on; with sources, by name"
    )
    target_test: str | list[str] | dict[str, str | list[str]] | None = option(
        None, "labelled target rows, only ever evaluated; with targets, by name"
    )
    target_few_shot: int | str | list[str] | dict[str, int | str | list[str]] | None = option(
        None,
        "labelled target rows to train on: a file, or how many to draw of each class (how many "
        "sentences, for words) from the target's training rows; with targets, by name",
    )
    text_column: str | None = option(None, "column that holds the text (or the words)")
    label_column: str | None = option(
        None, "column that holds the label (or the tags, or the entities)"
    )
    encoding: str | None = option(
        None, "encoding of text files, such as cp1252 or utf-16; default: UTF-8"
    )
    source_text_column: str | None = option(None, "text_column of the source, where they differ")
    source_label_column: str | None = option(None, "label_column of the source")
    source_encoding: str | None = option(None, "encoding of the source")
    target_text_column: str | None = option(None, "text_column of the target, where they differ")
    target_label_column: str | None = option(None, "label_column of the target")
    target_encoding: str | None = option(None, "encoding of the target")
    label_map: dict[str, str] = option({}, "raw label -> label name, or `ignore`, in either domain")
    repair_tags: bool = option(False, "repair ill-formed tag sequences instead of refusing them")
    quarantine: int = option(
        0, "unreadable lines of a file to set aside at most, instead of refusing the file"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in ("source", "target"):
            if getattr(self, side) and getattr(self, f"{side}s"):
                raise ConfigError(
                    f"{side} and {side}s exclude each other: name one domain, or several."
                )

    def reading(self, side: str) -> dict[str, Any]:
        """How to read the domains of a side, source or target, as options of `load_domain`."""
        return by_side(vars(self), side)

    def adaptation_config(self) -> AdaptationConfig:
        """The options alone, without model and data."""
        names = [field.name for field in dataclasses.fields(AdaptationConfig)]
        return AdaptationConfig(**{name: getattr(self, name) for name in names})


def by_side(values: Mapping[str, Any], side: str) -> dict[str, Any]:
    """The columns and the encoding of a side among options: its own, or else those of both."""
    return {name: values.get(f"{side}_{name}") or values.get(name) for name in READING}


def recipes_folder() -> Path:
    """Where the recipes are that come with the package: in it, or beside it in the repository."""
    package = Path(__file__).parent
    own = package / "recipes"
    return own if own.is_dir() else package.parent / "recipes"


def recipe_files() -> dict[str, Path]:
    """All that recipes/ holds, by name; launch files for `accelerate launch` among them."""
    found = sorted(recipes_folder().glob("*/*.yaml"))
    return {f"{path.parent.name}/{path.stem}": path for path in found}


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by names such as `sentiment/auto`."""
    return {name: path for name, path in recipe_files().items() if path.parent.name != LAUNCHING}


def find_recipe(reference: str | Path) -> Path:
    """The file that is meant: a path, or the name of a recipe that comes with the package.

    A file of that name comes first. What is neither is given back as it is, for the reader to refuse,
    unless it looks like one of ours.

    Raises:
        ConfigError: There is no such file, but one of our recipes is called nearly so.
    """
    path = Path(reference)
    if path.exists() or path.is_absolute():
        return path
    shipped = shipped_recipes()
    name = path.as_posix()
    if name in shipped:
        return shipped[name]
    meant = name.removeprefix("recipes/").removesuffix(".yaml")
    if meant in recipe_files() and meant not in shipped:
        raise ConfigError(f"{path}: {_FOR_LAUNCHING}.")
    if meant in shipped:
        raise ConfigError(
            f"{path}: there is no such file here; {meant} is the recipe that comes with nlp-adapt."
        )
    close = nearest(meant, list(shipped)) if "/" in name or "." not in name else ""
    if close:
        raise ConfigError(f"{path}: there is no such recipe{close}")
    return path


def load_recipe(
    path: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        path: YAML file with flat keys, or a recipe that comes with the package, such as
            `sentiment/auto`; None starts from the defaults.
        overrides: Values by key, as strings from the command line or plain Python values. A dotted
            key reaches into a mapping: `options.dann.weight`.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    values = read_yaml(find_recipe(path)) if path is not None else {}
    origin = str(path) if path is not None else "the recipe"
    for key, value in (overrides or {}).items():
        _assign(values, key, value)
    known = [field.name for field in dataclasses.fields(Recipe)]
    if "compute_environment" in values:
        raise ConfigError(f"{origin}: {_FOR_LAUNCHING}.")
    for key in values:
        if key not in known:
            raise ConfigError(f"{origin}: unknown key '{key}'{hint(key, known)}")
    return Recipe(**values)


def dump_recipe(config: AdaptationConfig, path: Path) -> None:
    """Write every option with its resolved value."""
    dump_yaml(config.to_dict(), path)


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    first, *rest = key.split(".")
    if not rest:
        values[first] = value
        return
    inner = values
    for depth, name in enumerate([first, *rest[:-1]], start=1):
        if inner.get(name) is None:
            inner[name] = {}
        inner = inner[name]
        if not isinstance(inner, dict):
            holder = ".".join(key.split(".")[:depth])
            raise ConfigError(f"{key} cannot be set: {holder} is not a mapping.")
    inner[rest[-1]] = parse_inline(key, value) if isinstance(value, str) else value
