"""Recipes: YAML and command-line flags read into the typed, closed schema of `config.py`.

YAML here is data only: aliases, tags and duplicate keys are refused and the size is capped, and
every value is checked against its option's type. Plain scalars follow YAML 1.2: `2e-5` is a number,
`010` is ten, and `no`, `on` or `2024-01-31` are text, where YAML 1.1 has surprises.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nlp_adapt.config import AdaptationConfig, Recipe
from nlp_adapt.errors import ConfigError
from nlp_adapt.options import nearest

MAX_RECIPE_BYTES = 1_000_000
MAX_DEPTH = 12


class _RecipeLoader(yaml.SafeLoader):
    """Safe YAML without aliases, duplicate keys, surprising types or surprising depth."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed in recipes")
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be text")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"key '{key.value}' appears twice, again at line {line}")
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"  # a label named `1` or `true` stays what was written
        return super().construct_mapping(node, deep=deep)

    def construct_decimal(self, node: Any) -> int:
        """A whole number in base ten, leading zeros or not."""
        return int(self.construct_scalar(node))


class _RecipeDumper(yaml.SafeDumper):
    """Writes what `_RecipeLoader` reads back unchanged: no aliases, quotes where they matter."""

    yaml_implicit_resolvers: dict[Any, Any] = {  # noqa: RUF012
        first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice in full."""
        return True


_RecipeLoader.add_constructor("tag:yaml.org,2002:int", _RecipeLoader.construct_decimal)
_PLAIN_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _PLAIN_SCALARS.items():
    for _kind in (_RecipeLoader, _RecipeDumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first
        )


def load_recipe(
    path: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe file and apply overrides.

    Args:
        path: YAML file with flat keys; None starts from the defaults.
        overrides: Values by key, as strings from the command line or plain Python values. A dotted
            key reaches into a mapping: `options.dann.weight`.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    values = read_yaml(path) if path is not None else {}
    origin = str(path) if path is not None else "the recipe"
    for key, value in (overrides or {}).items():
        _assign(values, key, value)
    schema = typing.get_type_hints(Recipe)
    known = {field.name for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in known:
            hint = nearest(str(key), sorted(known))
            raise ConfigError(f"{origin}: unknown key '{key}'{hint}")
    return Recipe(**{key: coerce(key, value, schema[key]) for key, value in values.items()})


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a mapping from a YAML file, without aliases, tags or duplicate keys."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise ConfigError(
                f"{path}: larger than {MAX_RECIPE_BYTES:,} bytes; a recipe is smaller."
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text.") from error
    try:
        values = yaml.load(text, Loader=_RecipeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: !!timestamp and the like
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML for a recipe: {reason}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines.")
    return values


def dump_recipe(config: AdaptationConfig, path: Path) -> None:
    """Write every option with its resolved value."""
    text = yaml.dump(config.to_dict(), Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def coerce(key: str, value: Any, kind: Any) -> Any:
    """Turn a YAML value or a command-line string into `kind`, or say what is wrong with it."""
    if kind is Any:
        return value
    options = typing.get_args(kind) if _is_union(kind) else (kind,)
    if value is None or (
        value in ("none", "null") and type(None) in options and str not in options
    ):
        if type(None) in options:
            return None
        raise ConfigError(f"{key} needs a value ({_describe(options)}).")
    candidates = [option for option in options if option is not type(None)]
    # A list given where one or many are allowed stays a list.
    candidates.sort(key=lambda option: typing.get_origin(option) is not list)
    for candidate in candidates:
        result = _convert(key, value, candidate)
        if result is not _FAILED:
            return result
    raise ConfigError(f"{key} is {value!r}, but must be {_describe(options)}.")


_FAILED = object()


def _convert(key: str, value: Any, kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is list:
        return _convert_list(key, value, kind)
    if origin is dict:
        return _convert_dict(key, value, kind)
    if kind is bool:
        words = {"true": True, "false": False}
        if isinstance(value, str):
            return words.get(value.lower(), _FAILED)
        return value if isinstance(value, bool) else _FAILED
    if kind is str:
        return value if isinstance(value, str) else _FAILED
    if isinstance(value, bool):
        return _FAILED
    return _convert_number(value, kind)


def _convert_number(value: Any, kind: type) -> Any:
    if kind is int:
        try:
            return int(value) if isinstance(value, (int, str)) else _whole(float(value))
        except (TypeError, ValueError):
            pass  # such as "1e3"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return _FAILED
    if not math.isfinite(number):
        return _FAILED
    return _whole(number) if kind is int else number


def _whole(number: float) -> Any:
    return int(number) if math.isfinite(number) and number == int(number) else _FAILED


def _convert_list(key: str, value: Any, kind: Any) -> Any:
    (item,) = typing.get_args(kind)
    if isinstance(value, str):
        parsed = _parse_inline(key, value) if value.startswith("[") else None
        if parsed is None and item is str and key == "report_to":
            parsed = [part.strip() for part in value.split(",") if part.strip()]
        value = parsed
    if not isinstance(value, list):
        return _FAILED
    return [coerce(f"{key}[{index}]", element, item) for index, element in enumerate(value)]


def _convert_dict(key: str, value: Any, kind: Any) -> Any:
    _, item = typing.get_args(kind)
    if isinstance(value, str):
        value = _parse_inline(key, value)
    if not isinstance(value, dict):
        return _FAILED
    for name in value:
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise ConfigError(f"{key}: the key {name!r} must be text; put it in quotes.")
    return {str(name): coerce(f"{key}.{name}", element, item) for name, element in value.items()}


def _parse_inline(key: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_RecipeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"{key}: not valid YAML or JSON: {' '.join(str(error).split())}."
        ) from error


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
    inner[rest[-1]] = _parse_inline(key, value) if isinstance(value, str) else value


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _describe(options: tuple[Any, ...]) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    names = []
    for kind in options:
        origin = typing.get_origin(kind)
        if kind is type(None):
            continue
        names.append("a list" if origin is list else "a mapping" if origin is dict else words[kind])
    return " or ".join(names)


def inline_yaml(value: Any) -> str:
    """A value on one line of YAML that `load_recipe` reads back unchanged."""
    dumped = yaml.dump(
        [value], Dumper=_RecipeDumper, default_flow_style=True, width=math.inf, allow_unicode=True
    )
    return dumped.strip().removeprefix("[").removesuffix("]")
