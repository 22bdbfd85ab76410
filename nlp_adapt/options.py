"""What an option is: its default, help line, choices and bounds, beside each other in a dataclass."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_adapt.errors import ConfigError


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
) -> Any:
    """A dataclass field with all that is to be known of an option.

    Args:
        default: Its default.
        help: What the command line says of it.
        choices: The values that it may have.
        short: Its short flag.
        bounds: The numbers that it may have.
        recipe: For an objective's option that is None by default: the recipe's option that it then
            follows.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "short": short,
        "bounds": bounds,
        "recipe": recipe,
    }
    if isinstance(default, (dict, list)):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_options(config: Any) -> None:
    """Check every option of a dataclass against its choices and bounds.

    Raises:
        ConfigError: If a value is outside of them.
    """
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


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint such as `; did you mean 'seed'?`, or an empty string."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
