"""Auxiliary tasks: what a recipe says of them, and their labelled rows.

Every task has rows of its own: those of a reference, or the sources' texts with the labels of
another column.
"""

import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, hold_out_validation, make_dataset, shuffled_head
from nlp_adapt.data.labels import encode
from nlp_adapt.data.loading import classes_by_row, load_domain
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TASKS, TOKEN_CLASSIFICATION, counted, label_key
from nlp_adapt.objectives.base import AuxiliarySpec
from nlp_adapt.options import coerce
from nlp_adapt.training.inputs.few_shot import gives_away, is_renaming
from nlp_adapt.usual_names import nearest

FEWEST_ROWS = 10
MOST_CLASSES = 50
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class AuxiliaryEntry:
    """One entry of the option `auxiliary`.

    Attributes:
        reference: Labelled rows, as `load_domain` reads them; None for the sources' own texts.
        task: What carries the labels: rows (sequence-classification) or words.
        label_column: The column of labels; needed without a `reference`.
        text_column: The column of texts or words of a `reference`.
        max_rows: Rows to read of a `reference` at most.
    """

    reference: str | list[str] | None = None
    task: str = SEQUENCE_CLASSIFICATION
    label_column: str | None = None
    text_column: str | None = None
    label_map: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0
    share: float = 0.5
    max_rows: int | None = None


@dataclass(frozen=True)
class AuxiliaryTask:
    """An auxiliary task with its labelled rows.

    Attributes:
        rows: Its training rows, and validation or test rows if it brings any.
    """

    entry: AuxiliaryEntry
    rows: Domain
    fingerprint: str
    spec: AuxiliarySpec


def read_entries(config: AdaptationConfig) -> dict[str, AuxiliaryEntry]:
    """The entries of the option `auxiliary`, each key checked."""
    kinds = typing.get_type_hints(AuxiliaryEntry)
    entries = {}
    for name, raw in config.auxiliary.items():
        where = f"auxiliary.{name}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: a name consists of letters, digits, - and _.")
        if unknown := [key for key in raw if key not in kinds]:
            raise ConfigError(
                f"{where}: unknown key '{unknown[0]}'{nearest(unknown[0], list(kinds))} "
                f"(there are {', '.join(kinds)})"
            )
        values = {key: coerce(f"{where}.{key}", value, kinds[key]) for key, value in raw.items()}
        entries[name] = entry = AuxiliaryEntry(**values)
        for key, good, wanted in (
            ("task", entry.task in TASKS, " or ".join(TASKS)),
            ("weight", entry.weight > 0, "above 0"),
            ("share", 0 < entry.share <= 1, "above 0, at most 1"),
            (
                "max_rows",
                entry.max_rows is None or entry.max_rows >= FEWEST_ROWS,
                f"at least {FEWEST_ROWS}",
            ),
        ):
            if not good:
                value = getattr(entry, key)
                raise ConfigError(f"{where}.{key} is {value!r}, but must be {wanted}.")
    return entries


def gather_auxiliary(
    config: AdaptationConfig,
    sources: Sequence[Domain],
    targets: Sequence[Domain],
    given: Mapping[str, Any] | None = None,
    *,
    references: Sequence[Any] = (),
    quarantine: int = 0,
    encoding: str | None = None,
) -> dict[str, AuxiliaryTask]:
    """The auxiliary tasks of a run with their rows.

    Args:
        targets: Its targets, whose own labels no auxiliary task may bring in.
        references: What the sources were read from; default: what they say of it.

    Raises:
        AdaptationError: If an entry or its labels cannot be used; the message names the key.
    """
    entries, given = read_entries(config), given or {}
    if unknown := [name for name in given if name not in entries]:
        raise ConfigError(
            f"auxiliary task '{unknown[0]}' is given, but the option `auxiliary` has no such entry"
            f"{nearest(unknown[0], list(entries))}."
        )
    references = references or [source.reference for source in sources]
    reading = {"quarantine": quarantine, "encoding": encoding}
    own = [name for source in sources for name in source.label_names or ()]
    tasks = {}
    for name, entry in entries.items():
        where = f"auxiliary.{name}"
        if name not in given and entry.reference is None:
            columns = _read_columns(where, entry, references, config.task, reading)
            rows = _rows_of_sources(name, entry, config, sources, columns)
            fingerprint = sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()
        else:
            rows = _read_rows(name, entry, given.get(name), config.seed, reading)
            fingerprint = rows.fingerprint()
            _check_classes(where, rows)
        for target in targets:
            if gives_away(rows, target, own):
                raise ConfigError(
                    f"{where}: its labels of {target.name} give away the run's own labels there, "
                    "which are never trained on; release a few with target_few_shot instead."
                )
        spec = AuxiliarySpec(
            name,
            len(rows.label_names or ()),
            weight=entry.weight,
            words=rows.task == TOKEN_CLASSIFICATION,
            share=entry.share,
        )
        tasks[name] = AuxiliaryTask(entry, rows, fingerprint, spec)
    return tasks


def _read_rows(
    name: str, entry: AuxiliaryEntry, given: Any, seed: int, reading: Mapping[str, Any]
) -> Domain:
    try:
        return load_domain(
            entry.reference if given is None else given,
            task=entry.task,
            name=name,
            text_column=entry.text_column,
            label_column=entry.label_column,
            label_map=entry.label_map or None,
            test_fraction=0.0,
            max_rows=entry.max_rows,
            seed=seed,
            **reading,
        )
    except DataError as error:
        raise DataError(f"auxiliary.{name}: {error}") from error


def _read_columns(
    where: str,
    entry: AuxiliaryEntry,
    references: Sequence[Any],
    task: str,
    reading: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Of each source, the class of each row by its place; one of them has to have the column."""
    column = entry.label_column
    if column is None:
        raise ConfigError(
            f"{where} needs label_column, a column of the source, or reference, rows of its own."
        )
    for key in ("task", "text_column", "max_rows"):
        if getattr(entry, key) != getattr(AuxiliaryEntry(), key):
            raise ConfigError(f"{where}.{key} is about a reference: set one, or leave it out.")
    found: list[dict[str, str]] = []
    problems: list[DataError] = []
    for reference in references:
        try:
            found.append(classes_by_row(reference, column, entry.label_map, task, **reading))
        except DataError as error:
            found.append({})
            problems.append(error)
    if problems and not any(found):
        raise DataError(f"{where}: {problems[0]}") from problems[0]
    return found


def _rows_of_sources(
    name: str,
    entry: AuxiliaryEntry,
    config: AdaptationConfig,
    sources: Sequence[Domain],
    columns: Sequence[Mapping[str, str]],
) -> Domain:
    """The sources' texts with the classes of another column, split and limited as theirs are."""
    found: dict[str, list[tuple[str, str, str]]] = {"train": [], "validation": []}
    pairs: list[tuple[str, str]] = []
    for source, labels in zip(sources, columns, strict=True):
        source = hold_out_validation(source, config.validation_fraction, config.seed)
        train = shuffled_head(source.train, config.max_source_rows, config.seed)
        for part, rows in (("train", train), ("validation", source.validation)):
            if rows is None:
                continue
            names = source.label_names or ()
            texts, places, own = (
                rows[key][:] for key in (source.text_column, "row", source.label_column)
            )
            for text, place, label in zip(texts, places, own, strict=True):
                if place in labels:
                    joined = text if isinstance(text, str) else " ".join(text)
                    found[part].append((joined, place, labels[place]))
                    if isinstance(label, int):
                        pairs.append((label_key(labels[place]), label_key(names[label])))
    every = {label_key(label): label for rows in found.values() for _, _, label in rows}
    classes = sorted(every.values(), key=_by_size)
    splits = {}
    for part, own in found.items():
        if own:
            texts, places, named = zip(*own, strict=True)
            splits[part] = make_dataset(
                SEQUENCE_CLASSIFICATION, texts, places, encode(named, classes), classes
            )
    domain = Domain(name, SEQUENCE_CLASSIFICATION, **splits)
    _check_classes(f"auxiliary.{name}", domain)
    if pairs and is_renaming(pairs):
        raise DataError(
            f"auxiliary.{name}.label_column: '{entry.label_column}' says the same of every source "
            "row as the run's own labels; name another column."
        )
    return domain


def _by_size(label: str) -> tuple[float, str]:
    """Numbers by size and before words."""
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


def _check_classes(where: str, rows: Domain) -> None:
    """Refuse labels that nothing can be learned from."""
    names = rows.label_names or ()
    found = [] if rows.train is None else rows.train[rows.label_column][:]
    if len(found) < FEWEST_ROWS:
        raise DataError(
            f"{where}: has {counted(len(found), 'labelled training row')}, but "
            f"needs at least {FEWEST_ROWS}."
        )
    used = {i for label in found for i in (label if isinstance(label, list) else [label])}
    if len(used) < 2:
        raise DataError(
            f'{where}: every training row is labelled "{names[min(used)]}": an auxiliary task '
            "needs at least two classes."
        )
    if len(used) > max(MOST_CLASSES, len(found) // 2):
        raise DataError(
            f"{where}: {len(used)} different values in {len(found)} rows do not look like "
            "classes: name another label_column, or sort them into classes with label_map."
        )
