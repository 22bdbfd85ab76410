"""What annotation tools write: entities as stretches of characters, and labels in nested objects.

doccano, spaCy, Prodigy and Label Studio each have a way of their own; `data.spans` makes words and tags
of what stands in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_adapt.data.reading.rows import listed
from nlp_adapt.errors import DataError

LONGEST_NAME = 1_000  # of a file; longer ones no system can look up
ANSWER = "answer"  # Prodigy's column
_ANSWERS = {"accept", "reject", "ignore", None}
_STARTS, _ENDS = ("start", "start_offset"), ("end", "end_offset")
_TYPES = ("label", "labels", "type", "entity_group", "tag")


class UnusableSpansError(Exception):
    """Entities that no tags can say; the message is said of the row."""


class Span(NamedTuple):
    """An entity from character `start` to before `end`, with its text where the file holds it."""

    start: int
    end: int
    type: str
    text: str | None = None


def unfold(record: Any) -> Any:
    """A record with its text and labels in columns, where spaCy or Label Studio nested them.

    A pair such as `("text", {"entities": [[0, 5, "PER"]]})`, and a task of Label Studio: its data,
    and what was annotated by the name of its control. What was skipped is no annotation. Labels of
    texts are what spaCy's `cats` hold true, and the options of Prodigy that were accepted.

    Raises:
        DataError: Annotations of a task differ, or cannot be read; said of the row.
    """
    if is_pair(record):
        return unfold({"text": record[0], **record[1]})
    if isinstance(record, Mapping) and (chosen := _chosen(record)) is not None:
        return {**record, "label": chosen}
    if not isinstance(record, Mapping) or not isinstance(record.get("data"), Mapping):
        return record
    given = record.get("annotations", record.get("completions"))
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        return record
    found: list[dict[str, Any]] = []
    for one in given:
        if not one.get("was_cancelled") and (result := _controls(one.get("result"))) not in found:
            found.append(result)
    if len(found) > 1:
        raise DataError(f"has {len(found)} annotations that differ: keep one of them.")
    return {**record["data"], **(found[0] if found else {})}


def _chosen(record: Mapping[str, Any]) -> list[Any] | None:
    """The labels of a text that its annotation tool keeps apart; None where there are none."""
    cats, accepted = record.get("cats"), record.get("accept")
    if "label" in record:
        return None
    if isinstance(cats, Mapping) and cats and all(map(_is_number, cats.values())):
        return [name for name, value in cats.items() if value >= 0.5]
    return accepted if isinstance(accepted, list) and "options" in record else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def unfold_all(items: Sequence[Any], places: Sequence[str]) -> list[Any]:
    """`unfold` of each item; a `DataError` names its place."""
    found = []
    for item, place in zip(items, places, strict=True):
        try:
            found.append(unfold(item))
        except DataError as error:
            raise DataError(f"{place} {error}") from None
    return found


def is_pair(record: Any) -> bool:
    """Whether a record is a text with its annotations, as spaCy's examples are."""
    pair = isinstance(record, (list, tuple)) and len(record) == 2
    return pair and isinstance(record[0], str) and isinstance(record[1], Mapping)


def refuse_bare_rows(items: Sequence[Any]) -> None:
    """Refuse rows such as `("a text", "positive")`, whose values no name tells apart.

    A list of files may stand in a list.
    """
    for index, item in enumerate(items):
        bare = isinstance(item, (list, tuple)) and all(
            isinstance(v, (str, int, float)) for v in item
        )
        if not bare or not item:
            continue
        names = [value for value in item if isinstance(value, str) and len(value) < LONGEST_NAME]
        if not any(name.startswith("builtin:") or Path(name).exists() for name in names):
            raise DataError(
                f"item {index} of the list is a {type(item).__name__} of bare values: name them in "
                'each row, such as {"text": "...", "label": "..."}.'
            )


def _controls(results: Any) -> dict[str, Any]:
    """What an annotation of Label Studio says, by the name of the control, as its JSON-MIN does."""
    found: dict[str, Any] = {}
    results = results or []
    if not isinstance(results, list) or not all(isinstance(one, Mapping) for one in results):
        raise DataError("has an annotation whose result is no list of objects: export it again.")
    for result in results:
        value, name = result.get("value"), str(result.get("from_name"))
        kind = str(result.get("type"))
        said = value.get(kind) if isinstance(value, Mapping) else None
        if kind == "labels":
            said = [value]
        if kind in ("labels", "choices") and isinstance(said, list):
            before = found.get(name)
            found[name] = [*before, *said] if isinstance(before, list) else said
        elif kind == "rating":
            found[name] = said
        elif kind.endswith("labels"):
            raise DataError(f"is annotated with {kind}: labels of plain text alone can be read.")
    return found if found or results else {"label": []}


def rejected(answers: Iterable[Any]) -> list[bool] | None:
    """Which rows were rejected or passed over in Prodigy; None where the column says other things."""
    values = list(answers)
    ours = all(isinstance(value, (str, type(None))) for value in values) and {*values} <= _ANSWERS
    return [value in ("reject", "ignore") for value in values] if ours else None


def holds_spans(column: Iterable[Any]) -> bool:
    """Whether the first cell that holds anything holds stretches of characters."""
    return is_spans(first_filled(column))


def first_filled(column: Iterable[Any]) -> Any:
    """What the first cell holds that is not empty."""
    return next((cell for value in column if (cell := cell_items(value)) or cell == 0), None)


def cell_items(value: Any) -> Any:
    """A cell's list; columns in parallel, as `datasets` keeps some lists of objects, as objects."""
    value = listed(value)
    if isinstance(value, Mapping) and isinstance(value.get("entities"), (list, tuple)):
        return value["entities"]
    if isinstance(value, Mapping) and value and all(isinstance(v, list) for v in value.values()):
        return [
            dict(zip(value, cells, strict=False)) for cells in zip(*value.values(), strict=False)
        ]
    if isinstance(value, str) and not value.strip():
        return None
    return None if isinstance(value, float) and value != value else value


def is_spans(cell: Any) -> bool:
    """Whether a cell holds nothing but stretches of characters."""
    return isinstance(cell, (list, tuple)) and bool(cell) and all(map(_is_span, cell))


def _is_span(item: Any) -> bool:
    if isinstance(item, Mapping):
        return _of(item, _STARTS) is not None and _of(item, _ENDS) is not None
    if not isinstance(item, (list, tuple)) or len(item) < 3:
        return False
    places = all(type(place) is int for place in item[:2])
    return isinstance(item[2], str) or (places and (item[2] is None or isinstance(item[2], list)))


def _of(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def spans_of(cell: Any) -> list[Span]:
    """The entities of a cell, one for each of their types.

    Raises:
        UnusableSpansError: Some are none.
    """
    if not isinstance(cell, (list, tuple)) or not all(map(_is_span, cell)):
        raise UnusableSpansError("does not hold a list of entities, as other rows do.")
    found = []
    for item in cell:
        kinds: Any = _of(item, _TYPES) if isinstance(item, Mapping) else item[2]
        start, end = (
            (_of(item, _STARTS), _of(item, _ENDS)) if isinstance(item, Mapping) else item[:2]
        )
        if type(start) is not int or type(end) is not int:
            raise UnusableSpansError(
                f"has an entity from {start!r} to {end!r}: give whole numbers."
            )
        text = item.get("text") if isinstance(item, Mapping) else None
        for kind in kinds if isinstance(kinds, list) and kinds else [kinds]:
            if not isinstance(kind, str) or not kind.strip():
                raise UnusableSpansError(f"has an entity at {start} to {end} without a type.")
            found.append(Span(start, end, kind.strip(), text if isinstance(text, str) else None))
    return found
