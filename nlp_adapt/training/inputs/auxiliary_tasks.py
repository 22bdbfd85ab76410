"""The auxiliary tasks of a run with their labels: a column of the source, or rows of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_adapt.config import AdaptationConfig, nearest
from nlp_adapt.data.batches.mixing import APART
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.row_labels import class_names, read_row_labels
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.objectives.base import AuxiliarySpec
from nlp_adapt.training.inputs.auxiliary_checks import (
    check_classes,
    is_renaming,
    refuse_target_labels,
)
from nlp_adapt.training.inputs.auxiliary_entries import AuxiliaryEntry, check_entry, read_entries

DEFAULT_SHARE = 0.5


@dataclass(frozen=True)
class AuxiliaryTask:
    """An auxiliary task with its labels.

    Attributes:
        name: What the user calls it.
        entry: What the recipe says of it.
        label_names: Its classes.
        rows: Labelled rows of its own, or None.
        of_source: Where it has none: of each source, the class names of its rows by their place.
        column: Its number among the tasks that label the source's rows.
    """

    name: str
    entry: AuxiliaryEntry
    label_names: tuple[str, ...]
    rows: Domain | None = None
    of_source: tuple[Mapping[str, str], ...] = ()
    column: int = 0

    @property
    def spec(self) -> AuxiliarySpec:
        """What the objective may know of it."""
        own = self.rows is not None
        share = DEFAULT_SHARE if self.entry.share is None else self.entry.share
        return AuxiliarySpec(
            self.name,
            len(self.label_names),
            side=f"{APART}{self.name}" if own else "source",
            weight=self.entry.weight,
            words=self.rows is not None and self.rows.text_column == "tokens",
            column=self.column,
            share=share if own else 1.0,
        )

    def fingerprint(self) -> str:
        """A hash of its texts and labels."""
        if self.rows is not None:
            return self.rows.fingerprint()
        text = json.dumps([dict(labels) for labels in self.of_source], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def gather_auxiliary(
    config: AdaptationConfig,
    sources: Sequence[Domain],
    targets: Sequence[Domain],
    given: Mapping[str, Any] | None = None,
) -> dict[str, AuxiliaryTask]:
    """The auxiliary tasks of a run with their labels.

    Args:
        config: The run's options.
        sources: Its sources.
        targets: Its targets, whose own labels no auxiliary task may bring in.
        given: By name what was read already: a domain of rows of its own, or of each source a
            mapping as `read_row_labels` gives. The other references are read here.

    Raises:
        AdaptationError: If an entry or its labels cannot be used; the message names the key.
    """
    entries, given = read_entries(config), dict(given or {})
    if unknown := [name for name in given if name not in entries]:
        raise ConfigError(
            f"auxiliary task '{unknown[0]}' is given, but the option `auxiliary` has no such entry"
            f"{nearest(unknown[0], list(entries))}."
        )
    found: dict[str, AuxiliaryTask] = {}
    columns = 0
    for name, entry in entries.items():
        rows = given.get(name)
        if rows is None:
            rows = read_rows(name, entry, [source.reference for source in sources], config)
        if isinstance(rows, Domain):
            found[name] = _with_rows(name, entry, rows)
            names = [one for source in sources for one in source.label_names or ()]
            refuse_target_labels(f"auxiliary.{name}", rows, targets, names)
        else:
            found[name] = _of_source(name, entry, sources, rows, columns)
            columns += 1
    return found


def read_rows(
    name: str,
    entry: AuxiliaryEntry,
    sources: Sequence[Any],
    config: AdaptationConfig,
    quarantine: int = 0,
) -> Domain | list[dict[str, str]]:
    """What an entry names: rows of its own, or a column of each source.

    Args:
        name: The task.
        entry: Its entry.
        sources: References of the run's sources.
        config: The run's options.
        quarantine: As in `load_domain`.

    Raises:
        AdaptationError: If it cannot be read; the message names the key.
    """
    where = f"auxiliary.{name}"
    try:
        if entry.reference is not None:
            return load_domain(
                entry.reference,
                task=entry.task,
                name=name,
                text_column=entry.text_column,
                label_column=entry.label_column,
                label_map=entry.label_map or None,
                test_fraction=0.0,
                max_rows=entry.max_rows,
                seed=config.seed,
                quarantine=quarantine,
            )
        check_entry(name, entry)
        return _columns_of(entry, sources, config.task, quarantine)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _columns_of(
    entry: AuxiliaryEntry, sources: Sequence[Any], task: str, quarantine: int
) -> list[dict[str, str]]:
    """The column of each source; one that lacks it is unlabelled if another has it."""
    assert entry.label_column is not None
    found: list[dict[str, str]] = []
    problems: list[DataError] = []
    for reference in sources:
        try:
            labels = read_row_labels(
                reference,
                entry.label_column,
                task=task,
                label_map=entry.label_map,
                quarantine=quarantine,
            )
        except DataError as error:
            problems.append(error)
            labels = {}
        found.append(labels)
    if problems and not any(found):
        raise problems[0]
    return found


def _with_rows(name: str, entry: AuxiliaryEntry, rows: Domain) -> AuxiliaryTask:
    where = f"auxiliary.{name}"
    if rows.train is None:
        raise DataError(f"{where}: {rows.name} has no labelled training rows to learn from.")
    names = rows.label_names or ()
    found = rows.train[rows.label_column][:]
    if rows.text_column == "tokens":
        check_classes(where, [names[i] for tags in found for i in tags], len(found))
    else:
        check_classes(where, [names[i] for i in found], len(found))
    return AuxiliaryTask(name, entry, names, rows=rows)


def _of_source(
    name: str,
    entry: AuxiliaryEntry,
    sources: Sequence[Domain],
    labels: Sequence[Mapping[str, str]],
    column: int,
) -> AuxiliaryTask:
    """Labels of the sources' own rows, if they say something else than the main ones."""
    where = f"auxiliary.{name}"
    own: list[str] = []
    held_out: list[str] = []
    pairs: list[tuple[str, str]] = []
    for source, classes in zip(sources, labels, strict=True):
        names = source.label_names or ()
        if source.validation is not None:
            held_out += [classes[row] for row in source.validation["row"][:] if row in classes]
        if source.train is None:
            continue
        places = source.train["row"][:]
        own += [classes[row] for row in places if row in classes]
        if source.text_column == "text":
            pairs += [
                (classes[row], names[label])
                for row, label in zip(places, source.train["label"], strict=True)
                if row in classes
            ]
    check_classes(where, own, len(own))
    if pairs and is_renaming(pairs):
        raise DataError(
            f"{where}.label_column: '{entry.label_column}' says the same of every source row as the "
            "run's own labels; name another column."
        )
    return AuxiliaryTask(
        name, entry, class_names([*own, *held_out]), of_source=tuple(labels), column=column
    )
