"""Label names: their ids, what a label map says of them, and a column of labels as names."""

import difflib
import operator
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from nlp_adapt.data.reading.rows import Table, is_missing
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import label_key

NO_LABELS = "none"  # as label_column: read the rows as unlabelled

# What programs write for a missing value where a file has nothing but text.
_PERHAPS_MISSING = ("nan", "null", "none", "na", "n/a", "<na>")
_FRACTION = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_MAX_CLASSES_UNNAMED = 50
IGNORE = "ignore"
ALIKE = 0.8  # from here on a key is taken for a misspelt label

_WHOLE = re.compile(r"([+-]?\d+)\.0*")
_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_THRESHOLD = re.compile(r"(<=|>=|<|>)\s*([+-]?\d+(?:\.\d+)?)")
_HOLDS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def plain_number(label: str) -> str:
    """`4` for `4.0`; anything else as it is."""
    match = _WHOLE.fullmatch(label)
    return match[1] if match else label


def is_number(label: str) -> bool:
    """Whether a label is a number, and thresholds speak of it."""
    return _NUMBER.fullmatch(label) is not None


class LabelMap(dict[str, str]):
    """A label, threshold ("<3"), entity type or tag -> name, "ignore", or "" for no label.

    It remembers what it was asked for: a key that has met nothing is most likely misspelt. Several
    domains may share a map, and each then need not have every label.
    """

    def __init__(self, given: Mapping[Any, Any]) -> None:
        if empty := [key for key, value in dict(given).items() if value is None]:
            raise ConfigError(
                f"label_map: {empty[0]} has no value: write the label's name, '{IGNORE}' to leave such "
                "rows out, or '' for rows without a label."
            )
        super().__init__({str(key): _value(value) for key, value in dict(given).items()})
        self._by_key = {_key(key): value for key, value in self.items()}
        self._met: set[str] = set()
        self._left: dict[str, str] = {}  # labels that no key names

    @classmethod
    def of(cls, given: Mapping[Any, Any]) -> "LabelMap":
        """The map itself, or one of what is given."""
        return given if isinstance(given, cls) else cls(given)

    def exact(self, label: str) -> str | None:
        """What the map says of this very label, without taking it for met."""
        return self._by_key.get(_key(label)) if self else None

    def find(self, label: str) -> str | None:
        """What the map says of a label: by its own name first, then by the first threshold."""
        if not self:
            return None
        found = self._by_key.get(_key(label))
        if found is not None:
            self._met.add(_key(label))
        for key, name in self._by_key.items() if is_number(label) else ():
            if match := _THRESHOLD.fullmatch(key):
                # Numbers are there: that none of them lies beyond a threshold is no misspelling.
                self._met |= {one for one in self._by_key if _is_numeric(one)}
                if found is None and _HOLDS[match[1]](float(label), float(match[2])):
                    found = name
        if found is None:
            self._left[_key(label)] = label
        return found

    def refuse_unmet(self, where: str, *, shared: bool = False) -> None:
        """Refuse keys that name nothing in what was read.

        `shared` says that other domains may have such labels. A key then passes where every label
        is named or in no need of it, or where the domain speaks of its value already.

        Raises:
            DataError: There are such keys; proposes what may have been meant.
        """
        values = {_key(value) for value in self.values()}
        left = {key: label for key, label in self._left.items() if key not in values}
        known = {*self._left, *(_key(self._by_key[key]) for key in self._met)}
        for key in [key for key in self if _key(key) not in self._met]:
            meant = difflib.get_close_matches(_key(key), left or self._left, n=1)
            alike = bool(meant) and _likeness(_key(key), meant[0]) >= ALIKE
            value = _key(self[key])
            if shared and (not left or (not alike and (value in known or value in ("", IGNORE)))):
                continue
            seen = [*self._left.values(), *(key for key in self if _key(key) in self._met)]
            listed = ", ".join(seen[:20]) + (", ..." if len(seen) > 20 else "")
            advice = (
                f'did you mean "{self._left[meant[0]]}"?'
                if meant
                else "write one of these, or leave it out."
            )
            raise DataError(
                f'label_map: "{key}" is no label of {where} ({listed or "there are none"}): {advice}'
            )


@lru_cache(maxsize=4096)
def _key(label: str) -> str:
    return label_key(plain_number(label.strip()))


def _value(given: Any) -> str:
    name = str(given).strip()
    return IGNORE if name.casefold() == IGNORE else name


def _is_numeric(key: str) -> bool:
    return is_number(key) or _THRESHOLD.fullmatch(key) is not None


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def as_yaml(mapping: Mapping[str, str]) -> str:
    """A label map on one line, as it can be pasted into a recipe."""
    return "{" + ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in mapping.items()) + "}"


def _quoted(word: str) -> str:
    # Bare 0, 1, true and no would be read as something other than text.
    plain = re.fullmatch(r"[A-Za-z][\w-]*", word)
    reserved = word.casefold() in {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return word if plain and not reserved else '"' + word.replace('"', '\\"') + '"'


def encode(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Label names to indices; `KeyError` for a label that is not among the names."""
    ids = {label_key(name): i for i, name in enumerate(names)}
    return [ids[label_key(label)] for label in labels]


def read_classes(
    table: Table, column: str, label_map: LabelMap, named: bool
) -> tuple[list[str | None], list[str], list[str]]:
    """Read a column of classes: strings, whole numbers, booleans, or ClassLabel ids.

    A column of very many values is refused unless the user named it.

    Returns:
        Each row's class name ("ignore" where it is mapped so; None: no label), the names in the
        order that a ClassLabel column declares, and notes.

    Raises:
        DataError: A label is of another type, is out of range, is a number that is not whole, or
            may as well mean that there is none.
    """
    feature = (table.features or {}).get(column)
    declared: list[str] | None = getattr(feature, "names", None)
    raw = [_raw_label(value, declared, table, i) for i, value in enumerate(table.columns[column])]
    present = dict.fromkeys(label for label in (*raw, *(declared or ())) if label is not None)
    names = {label: _mapped(label, label_map) for label in present}
    labels = [None if label is None else names[label] or None for label in raw]
    _refuse_fractions(table, column, labels)
    _refuse_doubtful(table, column, raw, label_map)
    if declared is None and not named and len(present) > max(_MAX_CLASSES_UNNAMED, len(raw) // 2):
        raise DataError(
            f"column {column!r} of {table.origin} holds {len(present)} different values in "
            f"{len(raw)} rows, which do not look like classes: name the column with label_column."
        )
    notes = []
    if declared is None and "-1" in present and label_map.exact("-1") is None:
        notes.append(
            f"-1 in column {column!r} of {table.short_name} is read as a class of its own: "
            'if it means that the label is missing, set label_map to {"-1": ignore}.'
        )
    return (
        labels,
        [names[name] for name in declared or () if names[name] not in (IGNORE, "")],
        notes,
    )


def _mapped(label: str, label_map: LabelMap) -> str:
    name = label_map.find(label)
    return label if name is None else name


def _refuse_doubtful(
    table: Table, column: str, raw: Sequence[str | None], label_map: LabelMap
) -> None:
    """Refuse labels that are words for no label, or for one to leave out, where nothing tells which."""
    for i, label in enumerate(raw):
        if label == IGNORE and label_map.exact(label) is None:
            raise DataError(
                f"{table.locate(i)} has the label {label} (column {column!r}), the word for rows that "
                f"are left out: set label_map to {as_yaml({label: 'ignored'})} for a class, or to "
                f"{as_yaml({label: IGNORE})} to leave them out."
            )
        if not table.untyped:
            continue
        if label and label.casefold() in _PERHAPS_MISSING and label_map.exact(label) is None:
            raise DataError(
                f"{table.locate(i)} has the label {label} (column {column!r}), which may be a class "
                f"or mean that there is none: set label_map to {as_yaml({label: label})} for a class "
                f"of that name, or to {as_yaml({label: ''})} for rows without a label."
            )


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
    if is_missing(value):
        return None
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
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        label = str(value).strip()
        missing = not label or value != value  # NaN, which data frames put in the place of nothing
        return None if missing else plain_number(label)
    raise DataError(
        f"{table.locate(index)} has a {type(value).__name__} where a label is expected: labels "
        "are strings, whole numbers or booleans; name another column with label_column."
    )
