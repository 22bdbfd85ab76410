"""What a recipe says of auxiliary tasks: the entries of the option `auxiliary`, each key checked."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlp_adapt.config import AdaptationConfig, nearest
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import TASKS
from nlp_adapt.recipe import coerce

FEWEST_ROWS = 10
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class AuxiliaryEntry:
    """One entry of the option `auxiliary`.

    Attributes:
        reference: Rows of its own, as `load_domain` reads them; None for the source's own rows.
        task: What carries the labels: rows (sequence-classification) or words.
        label_column: The column of labels; needed for the source's own rows.
        text_column: The column of texts or words of a `reference`.
        label_map: Raw label -> label name, or "ignore".
        weight: Factor of its loss.
        share: Rows of a `reference` in a batch, as a share of the source's.
        max_rows: Rows to read of a `reference` at most.
    """

    reference: str | list[str] | None = None
    task: str = TASKS[0]
    label_column: str | None = None
    text_column: str | None = None
    label_map: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0
    share: float | None = None
    max_rows: int | None = None


def read_entries(config: AdaptationConfig) -> dict[str, AuxiliaryEntry]:
    """The entries of the option `auxiliary`, each key checked.

    Raises:
        ConfigError: If a name, a key or a value cannot be used.
    """
    return {name: _read_entry(name, raw) for name, raw in config.auxiliary.items()}


def _read_entry(name: str, raw: Mapping[str, Any]) -> AuxiliaryEntry:
    where = f"auxiliary.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name consists of letters, digits, - and _.")
    kinds = typing.get_type_hints(AuxiliaryEntry)
    known = [item.name for item in dataclasses.fields(AuxiliaryEntry)]
    for key in raw:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown key '{key}'{nearest(key, known)} (there are {', '.join(known)})"
            )
    values = {key: coerce(f"{where}.{key}", value, kinds[key]) for key, value in raw.items()}
    entry = AuxiliaryEntry(**values)
    if entry.task not in TASKS:
        raise ConfigError(f"{where}.task is '{entry.task}', but must be {' or '.join(TASKS)}.")
    if not entry.weight > 0:
        raise ConfigError(f"{where}.weight is {entry.weight}, but must be above 0.")
    if entry.share is not None and not 0 < entry.share <= 1:
        raise ConfigError(f"{where}.share is {entry.share}, but must be above 0, at most 1.")
    if entry.max_rows is not None and entry.max_rows < FEWEST_ROWS:
        raise ConfigError(
            f"{where}.max_rows is {entry.max_rows}, but must be at least {FEWEST_ROWS}."
        )
    return entry


def check_entry(name: str, entry: AuxiliaryEntry) -> None:
    """Refuse what makes no sense for labels of the source's own rows.

    Raises:
        ConfigError: If it does not.
    """
    where = f"auxiliary.{name}"
    if entry.label_column is None:
        raise ConfigError(
            f"{where} needs label_column, a column of the source, or reference, rows of its own."
        )
    if entry.task != TASKS[0]:
        raise ConfigError(
            f"{where}: labels of words have to be named with their rows: set reference to the file."
        )
    for key in ("text_column", "share", "max_rows"):
        if getattr(entry, key) is not None:
            raise ConfigError(
                f"{where}.{key} is about rows of its own: set reference, or leave it out."
            )
