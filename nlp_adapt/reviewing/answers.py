"""Answers out of a file: our own csv or page's, or the export of a labelling tool."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nlp_adapt.data.reading.files import read_file
from nlp_adapt.data.reading.rows import listed
from nlp_adapt.errors import DataError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, label_key
from nlp_adapt.reviewing.items import Item
from nlp_adapt.reviewing.state import UNSURE, Review

A, B, BOTH, NEITHER = "A", "B", "both", "neither"
CODES = (A, B, BOTH, NEITHER, UNSURE)
MEANINGS = {BOTH: "both right", NEITHER: "both wrong", UNSURE: "unsure"}
ID = "review_id"  # tools have an `id` of their own
ANSWER = "answer"
_ID_COLUMNS = (ID, "id")
_ANSWER_COLUMNS = (ANSWER, "label", "labels", "choice", "sentiment", "responses")


class Outcome(NamedTuple):
    """What an answer says: which model was right, and the true label where it tells."""

    adapted: bool
    source_only: bool
    label: str | None


def codes(labels: tuple[str, ...]) -> dict[str, str]:
    """How each answer is written: by its name, or longer where a label has that name."""
    taken = {label_key(label) for label in labels}
    return {
        code: f"({MEANINGS.get(code, code)})" if label_key(code) in taken else code
        for code in CODES
    }


def outcome(item: Item, answer: str) -> Outcome | None:
    """What an answer, as `read_answers` gives it, says of both models; None for unsure."""
    if answer == UNSURE:
        return None
    if answer in (BOTH, NEITHER):
        return Outcome(answer == BOTH, answer == BOTH, None)
    reading = {A: item.a, B: item.b}.get(answer, answer.removeprefix("="))
    unit = item.unit
    return Outcome(reading == unit.adapted, reading == unit.source_only, reading)


def read_answers(path: str | Path, review: Review) -> dict[str, str]:
    """Answers by id: a code, or `=` and a label. Rows without an answer are left out.

    Raises:
        DataError: If a row is not of this review, or its answer is none; names the row.
    """
    table = read_file(Path(path), SEQUENCE_CLASSIFICATION)
    records = [
        dict(zip(table.columns, values, strict=True))
        for values in zip(*table.columns.values(), strict=True)
    ]
    key = _column(records, _ID_COLUMNS, review, path)
    known = _vocabulary(review)
    found: dict[str, str] = {}
    for place, record in zip(table.rows, records, strict=True):
        name = str(record.get(key) or "").strip()
        if name not in review.items:
            raise DataError(
                f"{place} is no row of this review: its {key} is {name!r}. Take the row out."
            )
        for said in _said(record, place):
            answer = known.get(label_key(said), known.get(label_key(said.removeprefix("'"))))
            if answer is None:
                raise DataError(f"{place} has the answer {said!r}: write {_choices(review)}.")
            if found.setdefault(name, answer) != answer:
                raise DataError(f"{place} answers {name} in another way than before: keep one.")
    return found


def _column(
    records: list[dict[str, Any]], names: tuple[str, ...], review: Review, path: str | Path
) -> str:
    """The column with the ids of this review."""
    for name in names:
        if any(str(record.get(name) or "").strip() in review.items for record in records):
            return name
    raise DataError(
        f"{path}: no row is of this review: it needs the column id (or {ID}) of the file that "
        "`nlp-adapt review` wrote for this run."
    )


def _said(record: Mapping[str, Any], place: str) -> Iterator[str]:
    """The answers in a row, as they were typed: none, one, or several where people disagree."""
    for name in _ANSWER_COLUMNS:
        if name in record:
            value = record[name]
            if name == "responses":  # of Argilla, one a person
                own = value.get(ANSWER) if isinstance(value, Mapping) else value
                own = own or []
                if not isinstance(own, list) or not all(isinstance(one, Mapping) for one in own):
                    raise DataError(
                        f"{place} has responses that are none of Argilla's: export it again."
                    )
                value = [one.get("value") for one in own]
            value = listed(value)
            values = value if isinstance(value, list) else [value]
            yield from (str(one).strip() for one in values if one is not None and str(one).strip())
            return


def _vocabulary(review: Review) -> dict[str, str]:
    """What may be typed, as `label_key` has it, and what it means; labels come first."""
    written = codes(review.labels)
    found = {label_key(spelt): code for code, spelt in written.items()}
    for code, meaning in MEANINGS.items():
        found.setdefault(label_key(meaning), code)
    if not review.tagging:
        found |= {label_key(label): f"={label}" for label in review.labels}
    return found


def _choices(review: Review) -> str:
    written = ", ".join(codes(review.labels).values())
    return written if review.tagging else f"{written}, or a label ({', '.join(review.labels)})"
