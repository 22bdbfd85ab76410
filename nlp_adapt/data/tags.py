"""A column of token tags, in any scheme, as BIO2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.data.reading.tables import Table
from nlp_adapt.data.tagging import (
    apply_label_map,
    detect_scheme,
    find_ill_formed,
    first_mixed,
    repair_bio2,
    split_tag,
    to_bio2,
)
from nlp_adapt.errors import DataError

Tags = list[str]


def read_tags(
    table: Table,
    column: str,
    lengths: Sequence[int],
    label_map: Mapping[str, str],
    repair: bool,
) -> tuple[list[Tags | None], list[str]]:
    """Read a column of tags.

    Args:
        table: Raw columns.
        column: The column of tags: lists of names, or of ids with declared names.
        lengths: How many tokens each row has.
        label_map: Entity type -> new type or "ignore"; for ids without names, id -> tag.
        repair: Open an entity where I- continues none, instead of refusing.

    Returns:
        BIO2 tags of each row (None: unlabelled), and notes on what was repaired or ignored.

    Raises:
        DataError: Tags and tokens differ in number, a tag is unknown, schemes are mixed, or a
            sequence is ill-formed; names file and line.
    """
    feature = (table.features or {}).get(column)
    declared = getattr(getattr(feature, "feature", None), "names", None)
    raw = [
        _read_row(value, length, declared, label_map, table, i)
        for i, (value, length) in enumerate(zip(table.columns[column], lengths, strict=True))
    ]
    labelled = {i: tags for i, tags in enumerate(raw) if tags is not None}
    mixed = first_mixed(labelled.values())
    if mixed is not None:
        index = list(labelled)[mixed]
        try:
            detect_scheme(labelled.values())
        except DataError as error:
            raise DataError(f"{table.locate(index)}: {error}") from None
    scheme = detect_scheme(labelled.values())
    notes = _refuse_ill_formed(table, labelled, scheme, repair)
    bio2: list[Tags | None] = list(raw)
    ignored = 0
    for i, tags in labelled.items():
        converted = to_bio2(tags, scheme)
        if repair:
            converted = repair_bio2(converted)
        mapped = apply_label_map(converted, dict(label_map))
        ignored += sum(
            old.startswith("B-") and new == "O" for old, new in zip(converted, mapped, strict=True)
        )
        bio2[i] = mapped
    if ignored:
        notes.append(
            f"{ignored} entities of {table.short_name} became O, their type being ignored."
        )
    return bio2, notes


def _refuse_ill_formed(
    table: Table, labelled: Mapping[int, Tags], scheme: str, repair: bool
) -> list[str]:
    bad = [(i, at) for i, tags in labelled.items() for at in find_ill_formed(tags, scheme)]
    if not bad:
        return []
    index, position = bad[0]
    if repair:
        return [
            f"{len(bad)} ill-formed tags of {table.short_name} were repaired, the first at "
            f"{table.locate(index, position)}."
        ]
    raise DataError(
        f"{table.locate(index, position)}: the tag {labelled[index][position]} is ill-formed in "
        f"{scheme} ({len(bad)} such tags in {table.origin}): mend them, or set repair_tags to "
        "open a new entity there."
    )


def _read_row(
    value: Any,
    length: int,
    declared: Sequence[str] | None,
    label_map: Mapping[str, str],
    table: Table,
    index: int,
) -> Tags | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise DataError(f"{table.locate(index)} does not hold a list of tags.")
    if len(value) != length:
        raise DataError(
            f"{table.locate(index)} has {length} tokens but {len(value)} tags: "
            "each token needs one tag."
        )
    return [
        _read_tag(tag, declared, label_map, table.locate(index, at)) for at, tag in enumerate(value)
    ]


def _read_tag(
    tag: Any, declared: Sequence[str] | None, label_map: Mapping[str, str], where: str
) -> str:
    if isinstance(tag, int) and not isinstance(tag, bool):
        if declared is not None and 0 <= tag < len(declared):
            tag = declared[tag]
        elif declared is not None:
            raise DataError(f"{where} has the tag {tag}, but {len(declared)} tags are declared.")
        elif str(tag) in label_map:
            tag = str(label_map[str(tag)])
        else:
            raise DataError(
                f"{where} has the tag {tag}, a number without a name: name each in label_map, "
                'such as {"0": O, "1": B-PER}.'
            )
    if not isinstance(tag, str) or not tag.strip():
        raise DataError(f"{where} has no tag, or one that is not a string: {tag!r}.")
    prefix, kind = split_tag(tag.strip())
    if prefix != "O" and not kind:
        raise DataError(f"{where} has the tag {tag!r}, which names no entity type.")
    return tag.strip()
