"""The part of `nlp-adapt predict` that serves taggers: CoNLL columns, jsonl or a page."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli.writing import check_format, open_text, staged_output

if TYPE_CHECKING:
    from nlp_adapt.data.tables import Table
    from nlp_adapt.tagged_text import TaggedText

# .gz may follow.
SUFFIXES = (".conll", ".jsonl", ".html")
SENTENCES_AT_A_TIME = 2048


def write_tagged(
    predictor: Any, table: Table, out: Path, text_column: str | None
) -> dict[str, Any]:
    """Tag every row of a table and write the result in the format of `out`.

    The rows and their order stay. In jsonl the other columns of the input stay too, and the
    predictions are called `predicted_tags` and `predicted_entities` where the input has such
    columns already.

    Returns:
        A summary: `without_text` (rows) and `labels` (entities by type).
    """
    from nlp_adapt.reporting.tagged_text import conll_lines, html_lines, jsonl_lines

    suffix = check_format(out, SUFFIXES)
    tagged = tag_rows(predictor, table, text_column)
    lines = {
        ".conll": lambda: conll_lines(tagged),
        ".jsonl": lambda: jsonl_lines(tagged, table.columns),
        ".html": lambda: html_lines(tagged),
    }[suffix]()
    with staged_output(out) as staged, open_text(staged, out) as stream:
        stream.writelines(lines)
    counts = Counter(entity.type for text in tagged for entity in text.entities)
    return {
        "without_text": sum(not text.tags for text in tagged),
        "labels": {kind: counts[kind] for kind in predictor.task.entity_types},
    }


def tag_rows(predictor: Any, table: Table, text_column: str | None) -> list[TaggedText]:
    """Tag each row of a table; a row without text gets no tags."""
    from tqdm import tqdm

    from nlp_adapt.data.examples import NO_LABELS, ReadOptions, read_examples
    from nlp_adapt.tagged_text import TaggedText, tag_texts, tag_words

    split_already = holds_words(table, text_column)
    options = ReadOptions(
        task="token-classification" if split_already else "sequence-classification",
        text_column=text_column,
        label_column=NO_LABELS,
    )
    examples = read_examples(table, options)
    tag = tag_words if split_already else tag_texts
    by_row: dict[str, TaggedText] = {}
    bar = tqdm(total=len(examples.texts), unit="row", file=sys.stderr, disable=None, leave=False)
    with bar:
        for start in range(0, len(examples.texts), SENTENCES_AT_A_TIME):
            part = slice(start, start + SENTENCES_AT_A_TIME)
            tagged = tag(predictor, examples.texts[part])
            by_row.update(zip(examples.rows[part], tagged, strict=True))
            bar.update(len(tagged))
    return [by_row.get(row, TaggedText("", [], [], [])) for row in table.rows]


def holds_words(table: Table, text_column: str | None) -> bool:
    """Whether the rows are split into words already."""
    from nlp_adapt.data.examples import TOKEN_NAMES

    if text_column is not None:
        values = table.columns.get(text_column, [])
        return any(isinstance(value, list) for value in list(values)[:100])
    names = ("".join(filter(str.isalnum, name)).casefold() for name in table.columns)
    return any(name in group for name in names for group in TOKEN_NAMES)
