"""One domain: its labelled splits, its unlabelled text, where each row came from, and how to split it.

Rows are split by what they say, not by where they stand.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from nlp_adapt.data.label_proposal import ask_for_map, propose_label_map
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.errors import DataError
from nlp_adapt.files import text_hash
from nlp_adapt.names import TOKEN_CLASSIFICATION, label_key


@dataclass(frozen=True)
class Domain:
    """Rows of one domain in canonical columns.

    Sequence classification has `text` (string) and `label` (ClassLabel); token classification has
    `tokens` (list of strings) and `labels` (list of ClassLabel, always BIO2). Each row's `row` says
    where it came from ("file:line" or "name/split:index"). Unlabelled rows have no label column.

    Attributes:
        name: A short name for tables and cards.
        task: "sequence-classification" or "token-classification".
        train: Labelled training rows, or None.
        validation: Labelled validation rows, or None.
        test: Labelled test rows, or None.
        unlabelled: Rows without a usable label, or None.
        reference: What the user wrote to name the domain.
        notes: What was dropped, mapped or repaired while reading, in plain sentences.
        columns: The columns of text and of labels (None: none) that were read, of each table.
    """

    name: str
    task: str
    train: Dataset | None = None
    validation: Dataset | None = None
    test: Dataset | None = None
    unlabelled: Dataset | None = None
    reference: str = ""
    notes: tuple[str, ...] = ()
    columns: tuple[tuple[str, str | None], ...] = ()

    @property
    def splits(self) -> dict[str, Dataset]:
        """The splits that are there, by name."""
        names = ("train", "validation", "test", "unlabelled")
        return {name: rows for name in names if (rows := getattr(self, name)) is not None}

    @property
    def text_column(self) -> str:
        """`tokens` or `text`."""
        return "tokens" if self.task == TOKEN_CLASSIFICATION else "text"

    @property
    def label_column(self) -> str:
        """`labels` or `label`."""
        return "labels" if self.task == TOKEN_CLASSIFICATION else "label"

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The label names in the order of their ids, or None where nothing is labelled."""
        for split in (self.train, self.validation, self.test):
            if split is not None:
                feature = split.features[self.label_column]
                return tuple(getattr(feature, "feature", feature).names)
        return None

    def without_labels(self) -> Dataset:
        """Every training and unlabelled row, without labels: all that adaptation may see."""
        from datasets import concatenate_datasets

        keep = [self.text_column, "row"]
        parts = [part.select_columns(keep) for part in (self.train, self.unlabelled) if part]
        if not parts:
            raise DataError(
                f"{self.name} has no text to adapt to: it holds evaluation rows alone. "
                "Give it training or unlabelled rows."
            )
        return concatenate_datasets(parts)

    def with_labels(self, names: Sequence[str]) -> "Domain":
        """The same domain with its labels encoded in another order of names, or among more names."""
        if self.label_names is None:
            return self
        ids = {label_key(name): i for i, name in enumerate(names)}
        new_id = [ids.get(label_key(name)) for name in self.label_names]
        labelled = {name: rows for name, rows in self.splits.items() if name != "unlabelled"}
        recoded = {name: self._recode(rows, new_id, names) for name, rows in labelled.items()}
        return replace(self, **recoded)

    def _recode(self, dataset: Dataset, new_id: list[int | None], names: Sequence[str]) -> Dataset:
        tagging = self.task == TOKEN_CLASSIFICATION
        old = dataset[self.label_column][:]
        used = {i for row in old for i in row} if tagging else set(old)
        if missing := sorted(i for i in used if new_id[i] is None):
            unknown = ", ".join((self.label_names or ())[i] for i in missing)
            kinds = [
                entity_types(one) if tagging else one for one in (names, self.label_names or ())
            ]
            raise DataError(
                f"{self.name} has labels that are not among {', '.join(names)}: {unknown}. "
                f"{ask_for_map(propose_label_map(*kinds))}"
            )
        labels = [[new_id[i] for i in row] for row in old] if tagging else [new_id[i] for i in old]
        return make_dataset(
            self.task, dataset[self.text_column][:], dataset["row"][:], labels, names
        )

    def fingerprint(self) -> str:
        """SHA-256 over all texts and label names, the same on every machine."""
        digest = hashlib.sha256(self.task.encode())
        names = self.label_names or ()
        for split, dataset in self.splits.items():
            digest.update(f"\n{split}\n".encode())
            texts = dataset[self.text_column][:]
            unlabelled = split == "unlabelled"
            labels = [None] * len(texts) if unlabelled else dataset[self.label_column][:]
            for text, label in zip(texts, labels, strict=True):
                value = [names[i] for i in label] if isinstance(label, list) else label
                if isinstance(value, int):
                    value = names[value]
                digest.update(json.dumps([text, value]).encode())
        return digest.hexdigest()


def make_dataset(
    task: str,
    texts: Sequence[str] | Sequence[Sequence[str]],
    rows: Sequence[str],
    labels: Sequence | None = None,
    names: Sequence[str] = (),
) -> Dataset:
    """Rows in canonical columns; without `labels` there is no label column."""
    tagging = task == TOKEN_CLASSIFICATION
    text, label = ("tokens", "labels") if tagging else ("text", "label")
    columns: dict[str, list] = {text: list(texts), "row": list(rows)}
    features: dict = {text: Value("string"), "row": Value("string")}
    if labels is not None:
        columns[label] = list(labels)
        features[label] = ClassLabel(names=list(names))
    if tagging:
        features |= {name: List(features[name]) for name in (text, label) if name in features}
    return Dataset.from_dict(columns, Features(features))


def split_by_hash(groups: Sequence[Hashable], fraction: float, seed: int) -> list[bool]:
    """Choose about `fraction` of the rows, whole groups at a time.

    The groups are taken in the order of a hash of their name and the seed, so the choice depends
    neither on the order of the rows nor on the machine. Rows of one group (equal texts, sentences
    of one document) never part, which keeps duplicates from leaking.

    Returns:
        For each row, whether it was chosen. Neither side is empty where there are two groups or
        more and the fraction is neither 0 nor 1.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    ranked = sorted(members, key=lambda group: text_hash(f"{seed}|{group}"))
    wanted = round(fraction * len(groups))
    both = 0 < fraction < 1 and len(ranked) > 1
    least, most = (1, len(ranked) - 1) if both else (0, len(ranked))
    chosen = [False] * len(groups)
    count = 0
    for taken, group in enumerate(ranked[:most]):
        # Stop where the next group would lead further from the wanted size than it is now.
        if taken >= least and count + len(members[group]) / 2 > wanted:
            break
        count += len(members[group])
        for index in members[group]:
            chosen[index] = True
    return chosen


def hold_out_validation(domain: Domain, fraction: float, seed: int) -> Domain:
    """The domain with validation rows: its own, or about `fraction` of its training rows by text."""
    if domain.validation is not None or domain.train is None or not fraction:
        return domain
    texts = [
        " ".join(text) if isinstance(text, list) else text
        for text in domain.train[domain.text_column][:]
    ]
    held = np.array(split_by_hash(texts, fraction, seed))
    if held.all() or not held.any():
        return domain
    return replace(
        domain,
        train=domain.train.select(np.flatnonzero(~held)),
        validation=domain.train.select(np.flatnonzero(held)),
    )


def shuffled_head(dataset: Any, most: int | None, seed: int) -> Any:
    """At most `most` rows, chosen at random but the same for the same seed."""
    if most is None or len(dataset) <= most:
        return dataset
    order = np.random.default_rng([seed, 7]).permutation(len(dataset))[:most]
    return dataset.select(np.sort(order))
