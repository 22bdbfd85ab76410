"""What an option is: its default, help, choices and bounds; how it is read and checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.yaml_text import parse_inline


def option(
    default: Any,
    help: str,
    choices: Sequence[str] = (),
    short: str | None = None,
    **bounds: float,
) -> Any:
    """A dataclass field with what the command line shows and `check_values` holds it to.

    Args:
        default: Its default.
        help: One line for people.
        choices: The values it may have, if they are few.
        short: A second, shorter flag.
        bounds: Limits of a number: `at_least`, `above`, `at_most`, `below`.
    """
    metadata = {"help": help, "choices": tuple(choices), "short": short, "bounds": bounds}
    if isinstance(default, (dict, list)):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_values(options: Any) -> None:
    """Hold every option to its own choices and bounds; None is left to who reads it.

    Raises:
        ConfigError: If one is outside of them.
    """
    for field in dataclasses.fields(options):
        value, choices = getattr(options, field.name), field.metadata.get("choices")
        if choices and value not in choices:
            raise ConfigError(
                f"{field.name} is '{value}', but must be one of {', '.join(choices)}"
                f"{nearest(str(value), choices)}"
            )
        bounds = field.metadata.get("bounds")
        if bounds and not (value is None and field.default is None):
            _check_number(field.name, value, bounds)


def _check_number(name: str, value: Any, bounds: dict[str, float]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} is {value!r}, but must be a number.")
    inside = {
        "at_least": lambda limit: value >= limit,
        "above": lambda limit: value > limit,
        "at_most": lambda limit: value <= limit,
        "below": lambda limit: value < limit,
    }
    if not all(inside[kind](limit) for kind, limit in bounds.items()):
        limits = " and ".join(f"{kind.replace('_', ' ')} {limit}" for kind, limit in bounds.items())
        raise ConfigError(f"{name} is {value}, but must be {limits}.")


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint such as `; did you mean 'seed'?`, or an empty string."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


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
        parsed = parse_inline(key, value) if value.startswith("[") else None
        if parsed is None and item is str and key == "report_to":
            parsed = [part.strip() for part in value.split(",") if part.strip()]
        value = parsed
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
