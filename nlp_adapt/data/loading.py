"""From a domain reference to a `Domain`: the first arrow of a run."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nlp_adapt.data.columns import Examples, NoTextError, ReadOptions, read_examples
from nlp_adapt.data.domain import Domain, make_dataset, split_by_hash
from nlp_adapt.data.labels import IGNORE, LabelMap, encode, read_classes
from nlp_adapt.data.reading.references import Reader, Source, describe, read_reference
from nlp_adapt.data.tagging import bio2_names, entity_types, split_tag
from nlp_adapt.errors import DataError
from nlp_adapt.names import (
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TOKEN_CLASSIFICATION,
    counted,
    label_key,
    were,
)


def load_domain(
    reference: Any,
    *,
    task: str = SEQUENCE_CLASSIFICATION,
    name: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    label_map: Mapping[Any, str] | None = None,
    split: str | None = None,
    test_fraction: float = 0.2,
    max_rows: int | None = None,
    seed: int = 42,
    repair_tags: bool = False,
    quarantine: int = 0,
    encoding: str | None = None,
) -> Domain:
    """Read a domain from wherever it stands.

    Args:
        reference: A file (csv, tsv, xlsx, jsonl, json, parquet, txt, or CoNLL columns: .conll, .bio,
            .iob; each also gzip'd); a folder, or a prefix in one (`reviews/books`), whose file
            names tell the splits; a folder of texts by class (`pos/`, `neg/`), or of brat's
            documents; `builtin:snippets/movie`; a Hub dataset (`user/name:config/split`;
            files of that name come first); a `Dataset`, `DatasetDict` or data frame; a list of
            dicts or texts; or a list of any of these, which are merged.
        task: "sequence-classification" or "token-classification".
        name: What to call the domain; by default a short form of the reference.
        text_column: The column of texts (or of tokens), where it is not recognised.
        label_column: The column of labels (or of tags, or of entities by their characters), where
            it is not recognised; "none" reads the rows as unlabelled. Labels are strings, whole
            numbers, booleans or ClassLabel ids.
        label_map: Label -> class name, or "ignore" to leave such rows out; for numbers also
            thresholds, {"<3": "negative", ">3": "positive"}; for tags entity type -> entity type,
            or "ignore" for O, and other tags -> tag. "" stands for no label. It replaces a built-in
            domain's own. A key that names nothing is refused; a `LabelMap` leaves that to the caller.
        split: The one split to read, as if it were a file of its own.
        test_fraction: Share of the labelled training rows to set aside, by a hash of the text,
            where there is no test split.
        max_rows: Most rows of each file or split, drawn at random with `seed`.
        seed: Seed of that draw and of the test split.
        repair_tags: Repair ill-formed BIO tags instead of refusing them.
        quarantine: Unreadable lines of each file that may be left out; 0 refuses the first.
        encoding: Of text files, such as "cp1252" or "utf-16"; by default UTF-8.

    Raises:
        DataError: Nothing to read, or rows that cannot be used; names the file and line.
    """
    if isinstance(reference, Domain):
        return reference
    _check(task, test_fraction, max_rows)
    mapping = LabelMap.of(label_map or {})
    options = ReadOptions(task, text_column, label_column, mapping, max_rows, seed, repair_tags)
    sources = read_reference(reference, Reader(task, quarantine, encoding), split)
    splits, notes = _collect(sources, options, own_maps=label_map is None)
    name = name or "+".join(dict.fromkeys(source.name for source in sources))
    if mapping is not label_map and max_rows is None:
        mapping.refuse_unmet(name, shared=True)
    domain = _assemble(name, task, splits, notes, test_fraction, seed)
    return replace(domain, reference=describe(reference))


def _check(task: str, test_fraction: float, max_rows: int | None) -> None:
    if task not in TASKS:
        raise DataError(f"unknown task {task!r}: choose {' or '.join(TASKS)}.")
    if not 0 <= test_fraction <= 1:
        raise DataError(f"test_fraction is {test_fraction}: give a number from 0 to 1.")
    if max_rows is not None and max_rows < 1:
        raise DataError(f"max_rows is {max_rows}: give a number of at least 1.")


def load_labelled(reference: Any, tasks: Sequence[str], **options: Any) -> Domain:
    """Read a domain for the first of `tasks` that it has labels for; `options` as in `load_domain`.

    It comes without labels where it has none for any of them.

    Raises:
        DataError: It cannot be read for any, or has labels for none and something is wrong with them.
    """
    unlabelled: Domain | None = None
    errors: list[DataError] = []
    for task in tasks:
        try:
            domain = load_domain(reference, task=task, **options)
        except DataError as error:
            errors.append(error)
            continue
        if domain.label_names is not None:
            return domain
        unlabelled = domain
    # Text alone can be read for any task; that its labels cannot be is what the user must know.
    telling = [error for error in errors if not isinstance(error, NoTextError)]
    if telling or unlabelled is None:
        raise (telling or errors)[0]
    return unlabelled


def classes_by_row(
    reference: Any,
    column: str,
    label_map: Mapping[str, str],
    task: str,
    quarantine: int = 0,
    encoding: str | None = None,
) -> dict[str, str]:
    """The class that a column gives each row of a reference, all splits together.

    Takes what `load_domain` and `read_classes` take; the column labels whole rows whatever the
    task. Class names are by what a domain calls its rows ("file:line"); rows without are left out.
    """
    tables = [
        table
        for source in read_reference(reference, Reader(task, quarantine, encoding))
        for parts in source.splits.values()
        for table in parts
    ]
    if not any(column in table.columns for table in tables):
        names = dict.fromkeys(name for table in tables for name in table.columns)
        raise DataError(
            f"{describe(reference)} has no column {column!r} (columns: {', '.join(names)})."
        )
    found: dict[str, str] = {}
    seen: set[str] = set()
    mapping = LabelMap(label_map)
    for table in tables:
        if not seen.isdisjoint(table.rows):
            raise DataError(
                f"two files of {describe(reference)} are called {table.short_name}: rename one, so "
                "that their rows can be told apart."
            )
        seen.update(table.rows)
        if column in table.columns:
            labels, _, _ = read_classes(table, column, mapping, named=True)
            pairs = zip(table.rows, labels, strict=True)
            found |= {row: label for row, label in pairs if label is not None and label != IGNORE}
    mapping.refuse_unmet(describe(reference))
    return found


def _collect(
    sources: Sequence[Source], options: ReadOptions, own_maps: bool
) -> tuple[dict[str, Examples], list[str]]:
    """The examples of each split, and notes; with `own_maps` each source has its own label map."""
    splits: dict[str, Examples] = defaultdict(Examples)
    for source in sources:
        if own_maps:
            options = replace(options, label_map=LabelMap(source.label_map))
        for role, tables in source.splits.items():
            parts = [read_examples(table, options, role == "unlabelled") for table in tables]
            if not any(part.texts for part in parts):
                raise DataError(
                    f"the {role} split of {source.name} is empty: no row of it has text."
                )
            for part in parts:
                splits[role].extend(part)
    notes = [note for source in sources for note in source.notes]
    return splits, notes + [note for examples in splits.values() for note in examples.notes]


def _assemble(
    name: str,
    task: str,
    splits: dict[str, Examples],
    notes: list[str],
    test_fraction: float,
    seed: int,
) -> Domain:
    unlabelled = splits.pop("unlabelled", Examples())
    labelled: dict[str, Examples] = {}
    ordered = [n for examples in splits.values() for n in examples.ordered_names]
    read = [pair for one in (*splits.values(), unlabelled) for pair in one.columns]
    for role, examples in splits.items():
        has_label = [label is not None for label in examples.labels]
        missing = examples.where([not has for has in has_label])
        if role == "train":
            unlabelled.extend(missing)
        elif missing.texts:
            rows, lack = len(missing.texts), "tags" if task == TOKEN_CLASSIFICATION else "a label"
            notes.append(
                f"{counted(rows, f'{role} row')} of {name} without {lack} {were(rows)} left out."
            )
        if any(has_label):
            labelled[role] = examples.where(has_label)
    if "train" in labelled and "test" not in labelled and test_fraction > 0:
        _set_test_aside(labelled, test_fraction, seed, notes)
    if not labelled and not unlabelled.texts:
        raise DataError(f"{name} has no usable rows.")
    names = _label_names(task, labelled, ordered)
    parts = {role: _encode(task, examples, names) for role, examples in labelled.items()}
    if unlabelled.texts:
        parts["unlabelled"] = make_dataset(task, unlabelled.texts, unlabelled.rows)
    columns, notes = list(dict.fromkeys(read)), list(dict.fromkeys(notes))
    return Domain(name, task, notes=tuple(notes), columns=tuple(columns), **parts)


def _set_test_aside(
    labelled: dict[str, Examples], fraction: float, seed: int, notes: list[str]
) -> None:
    train = labelled.pop("train")
    keys = [text if isinstance(text, str) else "\n".join(text) for text in train.texts]
    chosen = split_by_hash(keys, fraction, seed)
    if any(chosen):
        labelled["test"] = train.where(chosen)
        notes.append(
            f"There is no test split: {sum(chosen):,} of {counted(len(chosen), 'labelled row')} "
            f"{were(sum(chosen))} set aside."
        )
    if not all(chosen):
        labelled["train"] = train.where([not is_test for is_test in chosen])


def _label_names(
    task: str, labelled: Mapping[str, Examples], ordered: Sequence[str]
) -> tuple[str, ...]:
    """Names in the order that a ClassLabel column declares, the rest in natural order."""
    if not labelled:
        return ()
    labels = [label for examples in labelled.values() for label in examples.labels]
    if task == TOKEN_CLASSIFICATION:
        kinds: dict[str, str] = {}
        for kind in entity_types(tag for tags in labels for tag in tags):
            kinds.setdefault(label_key(kind), kind)
        return bio2_names(kinds.values())
    names: dict[str, str] = {}
    for label in (*ordered, *sorted(set(labels), key=_natural)):
        names.setdefault(label_key(label), label)
    return tuple(names.values())


def _natural(label: str) -> tuple[float, str]:
    return (float(label), "") if re.fullmatch(r"[+-]?\d+", label) else (float("inf"), label)


def _encode(task: str, examples: Examples, names: Sequence[str]) -> Any:
    if task == TOKEN_CLASSIFICATION:
        # Prefix and type are compared apart, so that B- and a type's spelling cannot clash.
        ids = {_tag_key(name): i for i, name in enumerate(names)}
        labels: list = [[ids[_tag_key(tag)] for tag in tags] for tags in examples.labels]
    else:
        labels = encode(examples.labels, names)
    return make_dataset(task, examples.texts, examples.rows, labels, names)


def _tag_key(tag: str) -> tuple[str, str]:
    prefix, kind = split_tag(tag)
    return prefix, label_key(kind)
