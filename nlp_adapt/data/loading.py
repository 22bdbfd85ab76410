"""From a domain reference to a `Domain`: the first arrow of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.data.columns import Examples, ReadOptions, read_examples
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.data.labels import encode
from nlp_adapt.data.reading.references import Source, describe, read_reference
from nlp_adapt.data.splits import split_by_hash
from nlp_adapt.data.tagging import bio2_names, entity_types, split_tag
from nlp_adapt.errors import DataError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TASKS, TOKEN_CLASSIFICATION, label_key


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
) -> Domain:
    """Read a domain from wherever it stands.

    A reference is one of:

    - a file: csv, tsv, jsonl, json (an array), parquet, txt (one text a line), or CoNLL columns
      (.conll, .bio, .iob, or .txt for token classification), each also gzip'd;
    - a folder whose file names tell the splits (train, dev / valid / validation, test,
      unlabeled / unlabelled), or a prefix in a folder of several domains: `reviews/books` reads
      `reviews/books.train.csv`, `reviews/books.test.csv`, ...; a folder that `save_to_disk` wrote;
    - a built-in domain: `builtin:snippets/movie` (see `builtin_names`);
    - a Hub dataset: `name`, `user/name`, `name:config`, `name:config/split`, `user/name/split`
      (a file or folder of the same name here comes first);
    - a `datasets.Dataset` or `DatasetDict`, a pandas data frame, a list of dicts or of texts;
    - a list of any of these, which are merged.

    Labels may be strings, whole numbers, booleans or ClassLabel ids. A missing label (null, empty,
    NaN, "nan", "null", or -1 in a ClassLabel column) makes a row of the training split unlabelled;
    rows of other splits without a label are left out. Star ratings stay classes of their own, "1"
    to "5". In a tsv, each line is a row and quotation marks mean nothing.

    Args:
        reference: What to read.
        task: "sequence-classification" or "token-classification".
        name: What to call the domain; by default a short form of the reference.
        text_column: The column of texts (or of tokens), where it is not recognised.
        label_column: The column of labels (or of tags), where it is not recognised; "none" reads
            the rows as unlabelled.
        label_map: Label -> class name, or "ignore" to leave such rows out; for numbers also
            thresholds, {"<3": "negative", ">3": "positive", "3": "ignore"}. For token
            classification entity type -> entity type, or "ignore" to make it O; ids without
            names -> tag. Case does not matter. It replaces a built-in domain's own map.
        split: The one split to read, as if it were a file of its own.
        test_fraction: How much of the labelled training rows to set aside where there is no test
            split, by a hash of the text; 0 sets nothing aside, 1 everything.
        max_rows: Read at most so many rows of each file or split, drawn at random with `seed`.
        seed: Seed of that draw and of the test split.
        repair_tags: Repair ill-formed BIO tags instead of refusing them.
        quarantine: Set aside up to so many unreadable lines of each file (not UTF-8, a NUL, too
            many fields, broken JSON), with the rows they are part of; 0 refuses the first.

    Raises:
        DataError: Nothing to read, or rows that cannot be used; names the file and line.
    """
    if isinstance(reference, Domain):
        return reference
    if task not in TASKS:
        raise DataError(f"unknown task {task!r}: choose {' or '.join(TASKS)}.")
    if not 0 <= test_fraction <= 1:
        raise DataError(f"test_fraction is {test_fraction}: give a number from 0 to 1.")
    if max_rows is not None and max_rows < 1:
        raise DataError(f"max_rows is {max_rows}: give a number of at least 1.")
    mapping = {str(key): str(value) for key, value in (label_map or {}).items()}
    splits: dict[str, Examples] = {}
    notes: list[str] = []
    sources = read_reference(reference, task, split, quarantine)
    for source in sources:
        options = ReadOptions(
            task=task,
            text_column=text_column,
            label_column=label_column,
            label_map=mapping if label_map is not None else source.label_map,
            max_rows=max_rows,
            seed=seed,
            repair_tags=repair_tags,
        )
        notes += source.notes
        _collect(source, options, splits)
    name = name or _short_name(sources, reference)
    for examples in splits.values():
        notes += examples.notes
    return _assemble(name, task, describe(reference), splits, notes, test_fraction, seed)


def load_labelled(reference: Any, tasks: Sequence[str], **options: Any) -> Domain:
    """Read a domain for the first of `tasks` that it has labels for; `options` as in `load_domain`.

    It comes without labels where it has none for any of them.

    Raises:
        DataError: It cannot be read for any; says why not for the first.
    """
    unlabelled: list[Domain] = []
    errors: list[DataError] = []
    for task in tasks:
        try:
            domain = load_domain(reference, task=task, **options)
        except DataError as error:
            errors.append(error)
            continue
        if domain.label_names is not None:
            return domain
        unlabelled.append(domain)
    if not unlabelled:
        raise errors[0]
    return unlabelled[-1]


def _short_name(sources: Sequence[Source], reference: Any) -> str:
    names = dict.fromkeys(source.name for source in sources)
    if len(names) == 1 and isinstance(reference, (str, Path)) and len(sources) == 1:
        return sources[0].name
    return "+".join(names)


def _collect(source: Source, options: ReadOptions, splits: dict[str, Examples]) -> None:
    """Read a source's tables and add them to the splits."""
    for role, tables in source.splits.items():
        into = splits.setdefault(role, Examples())
        before = len(into.texts)
        for table in tables:
            into.extend(read_examples(table, options, unlabelled=role == "unlabelled"))
        if len(into.texts) == before:
            raise DataError(f"the {role} split of {source.name} is empty: no row of it has text.")


def _assemble(
    name: str,
    task: str,
    reference: str,
    splits: dict[str, Examples],
    notes: list[str],
    test_fraction: float,
    seed: int,
) -> Domain:
    unlabelled = splits.pop("unlabelled", Examples())
    labelled: dict[str, Examples] = {}
    ordered = [n for examples in splits.values() for n in examples.ordered_names]
    for role, examples in splits.items():
        has_label = [label is not None for label in examples.labels]
        missing = examples.where([not has for has in has_label])
        if role == "train":
            unlabelled.extend(missing)
        elif missing.texts:
            notes.append(f"{len(missing.texts)} {role} rows of {name} lack a label: left out.")
        if any(has_label):
            labelled[role] = examples.where(has_label)
    if "train" in labelled and "test" not in labelled and test_fraction > 0:
        _set_test_aside(labelled, test_fraction, seed, notes)
    if not labelled and not unlabelled.texts:
        raise DataError(f"{name} has no usable rows.")
    names = _label_names(task, labelled, ordered)
    encoded = {role: _encode(task, examples, names) for role, examples in labelled.items()}
    return Domain(
        name=name,
        task=task,
        unlabelled=make_dataset(task, unlabelled.texts, unlabelled.rows)
        if unlabelled.texts
        else None,
        reference=reference,
        notes=tuple(dict.fromkeys(notes)),
        **encoded,
    )


def _set_test_aside(
    labelled: dict[str, Examples], fraction: float, seed: int, notes: list[str]
) -> None:
    train = labelled.pop("train")
    keys = [text if isinstance(text, str) else "\n".join(text) for text in train.texts]
    chosen = split_by_hash(keys, fraction, seed)
    if any(chosen):
        labelled["test"] = train.where(chosen)
        notes.append(
            f"There is no test split: {sum(chosen)} of {len(chosen)} labelled rows were set aside."
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
