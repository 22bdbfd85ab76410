"""YAML as data alone: aliases, tags and duplicate keys are refused, and the size is capped.

Plain scalars follow YAML 1.2: `2e-5` is a number, `010` is ten, and `no`, `on` or `2024-01-31` are
text, where YAML 1.1 has surprises.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from nlp_adapt.errors import ConfigError
from nlp_adapt.files import write_text

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


def parse_inline(key: str, text: str) -> Any:
    """The value of a flag or a key that is written as YAML or JSON on one line."""
    try:
        return yaml.load(text, Loader=_RecipeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"{key}: not valid YAML or JSON: {' '.join(str(error).split())}."
        ) from error


def inline_yaml(value: Any) -> str:
    """A value on one line of YAML that `parse_inline` reads back unchanged."""
    dumped = yaml.dump(
        [value], Dumper=_RecipeDumper, default_flow_style=True, width=math.inf, allow_unicode=True
    )
    return dumped.strip().removeprefix("[").removesuffix("]")


def yaml_text(values: dict[str, Any]) -> str:
    """A mapping as YAML, a key a line, which `read_yaml` reads back unchanged."""
    return yaml.dump(values, Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True).rstrip()


def dump_yaml(values: dict[str, Any], path: Path) -> None:
    """Write `yaml_text` to a file."""
    write_text(path, f"{yaml_text(values)}\n")
