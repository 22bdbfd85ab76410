"""What an option is: its default, help line, choices and bounds, beside each other in a dataclass."""

import dataclasses
import math
import os
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import hint, nearest
from nlp_adapt.yaml_text import parse_inline

Config = TypeVar("Config")


@dataclass(frozen=True)
class Bounds:
    """The numbers that an option may have."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether `value` is one of them; what is not a number never is."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"between {self.at_least} and {self.at_most}"
        return " and ".join(
            f"{name.replace('_', ' ')} {limit}"
            for name, limit in vars(self).items()
            if limit is not None
        )


COUNT = Bounds(at_least=1)
NOT_NEGATIVE = Bounds(at_least=0)
POSITIVE = Bounds(above=0)
SHARE = Bounds(at_least=0, below=1)
PART = Bounds(above=0, at_most=1)


def option(
    default: Any,
    help: str,
    choices: Sequence[str] = (),
    short: str | None = None,
    *,
    bounds: Bounds | None = None,
    recipe: str | None = None,
    where: tuple[str, Sequence[str]] | None = None,
) -> Any:
    """A dataclass field with all that is to be known of an option.

    Args:
        help: What the command line says of it.
        where: Another option, and the values of it with which this one is read; None: with any.
        recipe: For an objective's option that is None by default: the recipe's option that it then
            follows.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "short": short,
        "bounds": bounds,
        "recipe": recipe,
        "where": where,
    }
    if isinstance(default, (dict, list)):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_options(config: Any) -> None:
    """Check every option of a dataclass against its choices and bounds."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        choices, bounds = field.metadata.get("choices"), field.metadata.get("bounds")
        if value is None and field.default is None:
            continue
        if choices and value not in choices:
            hint = nearest(str(value), choices)
            raise ConfigError(
                f"{field.name} is '{value}', but must be one of {', '.join(choices)}{hint}"
            )
        if bounds is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{field.name} is {value!r}, but must be a number.")
        if not bounds.hold(value):
            raise ConfigError(f"{field.name} is {value}, but must be {bounds}.")


def given_by_name(config: type[Config]) -> type[Config]:
    """Let a dataclass of options read what it is given, and answer with a sentence what it cannot.

    Raises:
        ConfigError: When one is made with an unknown option, a value of another type, or no names.
    """
    made: Any = config.__init__
    kinds = typing.get_type_hints(config)

    @wraps(made)
    def checked(self: Any, *nameless: Any, **options: Any) -> None:
        if nameless:
            raise ConfigError(
                f"{config.__name__} takes its options by name, such as "
                f"{config.__name__}(output_dir={nameless[0]!r})."
            )
        for name in options:
            if name not in kinds:
                raise ConfigError(
                    f"{config.__name__}: unknown option '{name}'{hint(name, list(kinds))}"
                )
        made(self, **{name: coerce(name, value, kinds[name]) for name, value in options.items()})

    config.__init__ = checked  # type: ignore[method-assign]
    config.__doc__ = f"{(config.__doc__ or '').rstrip()}\n\n{_described(config)}"
    return config


def _described(config: Any) -> str:
    """Every option with its help, as `help()` shows it below the docstring of the class."""
    lines = ["    Args:"]
    for field in dataclasses.fields(config):
        said = field.metadata.get("help", "")
        choices = ", ".join(map(str, field.metadata.get("choices") or ()))
        text = f"{field.name}: {said}{f' ({choices})' if choices else ''}"
        lines += textwrap.wrap(text, 96, initial_indent=" " * 8, subsequent_indent=" " * 12)
    return "\n".join(lines)


def coerce(key: str, value: Any, kind: Any) -> Any:
    """Turn a value of YAML, Python or the command line into `kind`, or say what is wrong with it.

    Nothing, where a list or a mapping is due, is an empty one.
    """
    value = _plain(value)
    if kind is Any:
        return value
    options = typing.get_args(kind) if _is_union(kind) else (kind,)
    if kind == list[str]:
        value = _names(value)
    if value is None or (value in ("none", "null") and str not in options):
        if type(None) in options:
            return None
        empty = typing.get_origin(options[0])
        if empty in (list, dict):
            return empty()
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


def _plain(value: Any) -> Any:
    """A value as YAML could hold it: no enum, path or tuple, and no number of numpy's."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _key(key: Any) -> Any:
    """A key; a class of one's own stands for the name that it is imported by."""
    if not isinstance(key, type):
        return key
    if "<locals>" in key.__qualname__:
        raise ConfigError(
            f"{key.__name__} is defined inside a function: move it to the top of its module, since a "
            "run writes down where its objectives are."
        )
    return f"{key.__module__}:{key.__qualname__}"


def _names(value: Any) -> Any:
    """Names as Trainer's users write them: `en`, `tensorboard,wandb` or `none` beside a list."""
    if isinstance(value, str) and not value.startswith("["):
        value = [part.strip() for part in value.split(",") if part.strip()]
    return [] if value == ["none"] else value


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
        value = parse_inline(key, value) if value.startswith("[") else None
    if not isinstance(value, list):
        return _FAILED
    return [coerce(f"{key}[{index}]", element, item) for index, element in enumerate(value)]


def _convert_dict(key: str, value: Any, kind: Any) -> Any:
    _, item = typing.get_args(kind)
    if isinstance(value, str):
        value = parse_inline(key, value)
    if not isinstance(value, dict):
        return _FAILED
    for name in value:
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise ConfigError(f"{key}: the key {name!r} must be text; put it in quotes.")
    return {str(name): coerce(f"{key}.{name}", element, item) for name, element in value.items()}


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
