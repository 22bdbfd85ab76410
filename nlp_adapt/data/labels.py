"""Label names: which are the same, what a label map may say, and a column of labels as names."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_adapt.data.reading.rows import Table
from nlp_adapt.data.tagging import IGNORE
from nlp_adapt.errors import DataError
from nlp_adapt.names import label_key

NO_LABELS = "none"  # as label_column: read the rows as unlabelled

# Names that different corpora give to one class. A key's first name stands for the group.
_SYNONYMS = (
    ("PER", "person", "people", "human", "per-name"),
    ("LOC", "location", "gpe", "geo-loc", "geo", "place", "geopolitical", "city", "country"),
    ("ORG", "organization", "organisation", "company", "corporation", "group", "business", "corp"),
    ("MISC", "miscellaneous", "other"),
    ("positive", "pos", "1", "true", "good", "+"),
    ("negative", "neg", "0", "false", "bad", "-"),
    ("neutral", "neu", "mixed"),
)
_GROUP_OF = {name.casefold(): group for group, names in enumerate(_SYNONYMS) for name in names}

_MISSING = ("", "nan", "null")
_WHOLE = re.compile(r"\A([+-]?\d+)\.0*\Z")
_FRACTION = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_THRESHOLD = re.compile(r"(<=|>=|<|>)\s*([+-]?\d+(?:\.\d+)?)")
_HOLDS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MAX_CLASSES_UNNAMED = 50


def encode(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Label names to indices; `KeyError` for a label that is not among the names."""
    ids = {label_key(name): i for i, name in enumerate(names)}
    return [ids[label_key(label)] for label in labels]


def propose_label_map(source_types: Iterable[str], target_types: Iterable[str]) -> dict[str, str]:
    """Propose what each label of the target means in the source's label space.

    For a person to read, never applied by itself: equal names and common synonyms (person -> PER,
    geo-loc -> LOC, company -> ORG, 1 -> positive) are mapped, the rest is ignored.
    """
    by_key = {label_key(name): name for name in source_types}
    by_group = {_GROUP_OF[key]: name for key, name in by_key.items() if key in _GROUP_OF}
    proposal = {}
    for name in target_types:
        key = label_key(name)
        proposal[name] = by_key.get(key) or by_group.get(_GROUP_OF.get(key, -1)) or IGNORE
    return proposal


def as_yaml(mapping: dict[str, str]) -> str:
    """A label map on one line, as it can be pasted into a recipe."""
    return "{" + ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in mapping.items()) + "}"


def _quoted(word: str) -> str:
    # Bare 0, 1, true and no would be read as something other than text.
    plain = re.fullmatch(r"[A-Za-z][\w-]*", word)
    reserved = word.casefold() in {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return word if plain and not reserved else '"' + word.replace('"', '\\"') + '"'


def read_classes(
    table: Table, column: str, label_map: Mapping[str, str], named: bool
) -> tuple[list[str | None], list[str], list[str]]:
    """Read a column of classes: strings, whole numbers, booleans, or ClassLabel ids.

    `label_map` maps a label or threshold ("<3") to a class name or "ignore"; a column of very many
    values is refused unless the user named it.

    Returns:
        Each row's class name ("ignore" where it is mapped so; None: no label), the names in the
        order that a ClassLabel column declares, and notes.

    Raises:
        DataError: A label is of another type, is out of range, or is a number that is not whole.
    """
    feature = (table.features or {}).get(column)
    declared: list[str] | None = getattr(feature, "names", None)
    mapping = {label_key(key): value.strip() for key, value in label_map.items()}
    raw = [_raw_label(value, declared, table, i) for i, value in enumerate(table.columns[column])]
    labels = [None if label is None else _map_label(label, mapping) for label in raw]
    mapped = [_map_label(name, mapping) for name in declared or ()]
    _refuse_fractions(table, column, labels)
    present = {label for label in raw if label is not None}
    if declared is None and not named and len(present) > max(_MAX_CLASSES_UNNAMED, len(raw) // 2):
        raise DataError(
            f"column {column!r} of {table.origin} holds {len(present)} different values in "
            f"{len(raw)} rows, which do not look like classes: name the column with label_column."
        )
    notes = []
    if declared is None and "-1" in present and "-1" not in mapping:
        notes.append(
            f"-1 in column {column!r} of {table.short_name} is read as a class of its own: "
            'if it means that the label is missing, set label_map to {"-1": ignore}.'
        )
    return labels, [name for name in mapped if name != IGNORE], notes


def _refuse_fractions(table: Table, column: str, labels: list[str | None]) -> None:
    for i, label in enumerate(labels):
        if label is not None and _FRACTION.fullmatch(label):
            raise DataError(
                f"{table.locate(i)} has the label {label}, a number that is not whole (column "
                f"{column!r}): turn it into classes with thresholds in label_map, such as "
                '{"<3": negative, ">=3": positive}, or read the rows as unlabelled with '
                f"label_column: {NO_LABELS}."
            )


def _raw_label(value: Any, declared: list[str] | None, table: Table, index: int) -> str | None:
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if declared is not None and isinstance(value, int):
        if value == -1:  # the Hub's convention for a label that is withheld
            return None
        if not 0 <= value < len(declared):
            raise DataError(
                f"{table.locate(index)} has the label {value}, but only {len(declared)} classes "
                f"are declared ({', '.join(declared)})."
            )
        return declared[value]
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        label = str(value).strip()
        if label.casefold() in _MISSING:
            return None
        return _WHOLE.sub(r"\1", label)
    raise DataError(
        f"{table.locate(index)} has a {type(value).__name__} where a label is expected: labels "
        "are strings, whole numbers or booleans; name another column with label_column."
    )


def _map_label(label: str, mapping: Mapping[str, str]) -> str:
    """The mapped name: an exact key first, then the first threshold (such as "<3") that holds."""
    exact = mapping.get(label_key(label))
    if exact is not None or not mapping:
        return exact if exact is not None else label
    try:
        number = float(label)
    except ValueError:
        return label
    for key, name in mapping.items():
        if (match := _THRESHOLD.fullmatch(key)) and _HOLDS[match[1]](number, float(match[2])):
            return name
    return label
