"""Words and BIO2 tags out of entities that are stretches of characters.

A word in which an entity begins or ends is divided there, so that no label is lost or stretched. What
one tag a word cannot say is refused.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nlp_adapt.data.reading.annotations import (
    Span,
    UnusableSpansError,
    cell_items,
    first_filled,
    is_spans,
    spans_of,
)
from nlp_adapt.data.reading.conll import TAG, split_words
from nlp_adapt.errors import DataError
from nlp_adapt.names import OUTSIDE, counted, were


def words_and_tags(
    texts: Sequence[str], cells: Sequence[Any], *, named: bool, places: Sequence[str], name: str
) -> tuple[list[list[str]], list[Any], list[str]]:
    """The words of texts and their tags, by cells that hold entities or a tag for each word.

    Args:
        texts: The texts.
        cells: What their column of labels holds, a missing one being None.
        named: Whether the user named that column; else one that holds other things is passed over.
        places: What messages call the rows.
        name: What notes call all of them.

    Returns:
        The words, the tags (None: unlabelled), and notes.

    Raises:
        DataError: A cell cannot be used; names the row.
    """
    cells = [cell_items(cell) for cell in cells]
    first = first_filled(cells)
    spans = is_spans(first)
    if first is None or not (spans or _are_tags(first, named)):
        if first is not None and named:
            place = places[cells.index(first)]
            raise DataError(
                f'{place} holds neither entities, such as [[0, 5, "PER"]], nor a tag for each '
                "word: name another column with label_column."
            )
        cells, spans = [None] * len(cells), True
    words: list[list[str]] = []
    tags: list[Any] = []
    divided = empty = 0
    for text, cell, place in zip(texts, cells, places, strict=True):
        try:
            own, own_tags, cuts = (_by_spans if spans else _by_spaces)(text, cell)
        except UnusableSpansError as error:
            raise DataError(f"{place} {error}") from None
        words.append(own)
        tags.append(own_tags)
        divided += cuts
        empty += spans and cell is not None and not cell
    notes = []
    if divided:
        told = f"{counted(divided, 'word')} of {name} {were(divided)} divided"
        notes.append(f"{told} where an entity begins or ends.")
    if empty:
        notes.append(
            f"No entity is marked in {counted(empty, 'row')} of {name}, so that each word is "
            f"{OUTSIDE}: take out what nobody has annotated yet."
        )
    return words, tags, notes


def _are_tags(cell: Any, named: bool) -> bool:
    """Whether a cell holds a tag for each word, in a list or between spaces."""
    items = cell.split() if isinstance(cell, str) else cell
    if not isinstance(items, list):
        return False
    tags = all(isinstance(item, str) and TAG.fullmatch(item) for item in items)
    return tags or (named and all(type(item) in (str, int) for item in items) and items is cell)


def _by_spaces(text: str, cell: Any) -> tuple[list[str], Any, int]:
    return text.split(), cell.split() if isinstance(cell, str) else cell, 0


def _by_spans(text: str, cell: Any) -> tuple[list[str], list[str] | None, int]:
    """Words, tags, and how many words were divided."""
    if cell is None:
        return [word for word, _, _ in split_words(text)], None, 0
    return tag_spans(text, spans_of(cell))


def tag_spans(text: str, spans: Sequence[Span]) -> tuple[list[str], list[str], int]:
    """The words of a text, their BIO2 tags, and how many words were divided.

    Raises:
        UnusableSpansError: Entities overlap, or are not where they are said to be.
    """
    ordered = sorted({_trimmed(text, _placed(text, span)) for span in spans})
    for before, after in pairwise(ordered):
        if after.start < before.end:
            raise UnusableSpansError(
                f"has entities that overlap, {_quoted(text, before)} and {_quoted(text, after)}, of "
                "which a word can have one: keep one of them."
            )
    starts = [span.start for span in ordered]
    borders = sorted({border for span in ordered for border in span[:2]})
    words, tags, divided = [], [], 0
    for _, first, last in split_words(text):
        inner = borders[bisect_right(borders, first) : bisect_left(borders, last)]
        divided += bool(inner)
        for start, end in pairwise([first, *inner, last]):
            words.append(text[start:end])
            index = bisect_right(starts, start) - 1
            inside = index >= 0 and start < ordered[index].end
            prefix = "B" if inside and start == ordered[index].start else "I"
            tags.append(f"{prefix}-{ordered[index].type}" if inside else OUTSIDE)
    return words, tags, divided


def _placed(text: str, span: Span) -> Span:
    """The span in characters of Python: JavaScript counts an emoji as two."""
    if span.text is None or _same(text[span.start : span.end], span.text):
        return span
    units = text.encode("utf-16-le", "surrogatepass")
    before, inner = units[: 2 * span.start], units[2 * span.start : 2 * span.end]
    start = len(before.decode("utf-16-le", "replace"))
    end = start + len(inner.decode("utf-16-le", "replace"))
    if _same(text[start:end], span.text):
        return span._replace(start=start, end=end)
    raise UnusableSpansError(
        f"says {span.text!r} of an entity at {span.start} to {span.end}, where the text has "
        f"{text[span.start : span.end]!r}: mend its start and end."
    )


def _same(found: str, said: str) -> bool:
    return found.split() == said.replace("\\n", "\n").split()


def _trimmed(text: str, span: Span) -> Span:
    """The span without white space at its ends."""
    inner = text[max(span.start, 0) : max(span.end, 0)]
    if span.start < 0 or span.end > len(text) or not inner.strip():
        raise UnusableSpansError(
            f"has an entity {span.type} at {span.start} to {span.end}, but {len(text)} characters "
            "of text, and no word there: mend its start and end."
        )
    start = span.start + len(inner) - len(inner.lstrip())
    return Span(start, start + len(inner.strip()), span.type)


def _quoted(text: str, span: Span) -> str:
    return f"{text[span.start : span.end]!r} ({span.type}, {span.start} to {span.end})"
