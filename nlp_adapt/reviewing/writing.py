"""The files in which items go out: a csv to fill in, and what labelling tools import.

To support another tool, write what it imports and list it in `TOOLS`; what it exports is read by
`answers.read_answers`.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.rows import encodable
from nlp_adapt.files import write_text
from nlp_adapt.prediction.files.writing import may_be_formula
from nlp_adapt.reviewing.answers import ANSWER, ID, UNSURE, codes
from nlp_adapt.reviewing.items import Item
from nlp_adapt.reviewing.state import Review

COLUMNS = ("id", "text", "a", "b", ANSWER)
_OPEN, _CLOSE = "[[", "]]"  # around the stretch that is asked, where a file has plain text alone


def write_csv(path: Path, items: Sequence[Item]) -> None:
    """A line for each item, its answer left empty; a byte order mark tells spreadsheets it is UTF-8."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for item in items:
        writer.writerow([item.id, *map(_cell, (marked(item), item.a, item.b)), ""])
    write_text(path, "\ufeff" + encodable(stream.getvalue()))


def marked(item: Item) -> str:
    """The text, the stretch that is asked between double brackets."""
    unit = item.unit
    if not unit.end:
        return unit.text
    inner = unit.text[unit.start : unit.end]
    return f"{unit.text[: unit.start]}{_OPEN}{inner}{_CLOSE}{unit.text[unit.end :]}"


def _cell(text: str) -> str:
    """The text as a cell can hold it, an apostrophe before what a spreadsheet would run."""
    text = text.replace("\0", "\ufffd")
    return f"'{text}" if may_be_formula(text) else text


def answers_of(review: Review) -> list[str]:
    """What a labelling tool offers: the labels and unsure, or the codes of the two readings."""
    written = codes(review.labels)
    return [*written.values()] if review.tagging else [*review.labels, written[UNSURE]]


def _asked(item: Item, review: Review) -> str:
    """The text as a labelling tool shows it; with the two readings below, where these are asked."""
    if not review.tagging:
        return item.unit.text
    written = codes(review.labels)
    return f"{marked(item)}\n\n{written['A']}  {item.a}\n{written['B']}  {item.b}"


def _doccano(review: Review, items: Sequence[Item]) -> Mapping[str, str]:
    """JSON Lines for a project of text classification, and its labels."""
    rows = [{"text": _asked(item, review), ID: item.id, "label": []} for item in items]
    colours = {"backgroundColor": "#1f5fbf", "textColor": "#ffffff"}
    labels = [{"text": name, "suffixKey": None, **colours} for name in answers_of(review)]
    return {
        "review.doccano.jsonl": "".join(_json(row) + "\n" for row in rows),
        "review.doccano.labels.json": _json(labels) + "\n",
    }


def _label_studio(review: Review, items: Sequence[Item]) -> Mapping[str, str]:
    """Tasks, and the labelling interface that shows them."""
    tasks = [{"data": {"text": _asked(item, review), ID: item.id}} for item in items]
    choices = "".join(f'    <Choice value="{escape(name)}"/>\n' for name in answers_of(review))
    interface = (
        '<View>\n  <Text name="text" value="$text"/>\n'
        f'  <Choices name="{ANSWER}" toName="text" choice="single" showInline="true">\n'
        f"{choices}  </Choices>\n</View>\n"
    )
    return {"review.label-studio.json": _json(tasks) + "\n", "review.label-studio.xml": interface}


def _argilla(review: Review, items: Sequence[Item]) -> Mapping[str, str]:
    """Records for `dataset.records.from_json`, with a field `text` and a question `answer`."""
    records = [
        {
            "id": item.id,
            "fields": {"text": _asked(item, review)},
            "metadata": {},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for item in items
    ]
    return {"review.argilla.json": _json(records) + "\n"}


Tool = Callable[[Review, Sequence[Item]], Mapping[str, str]]
TOOLS: dict[str, Tool] = {"doccano": _doccano, "label-studio": _label_studio, "argilla": _argilla}
"""The files that each tool imports, by its name: their names and content."""


def write_tool(folder: Path, tool: str, review: Review, items: Sequence[Item]) -> list[Path]:
    """Write what a labelling tool imports."""
    found = TOOLS[tool](review, items)
    for name, text in found.items():
        write_text(folder / name, text)
    return [folder / name for name in found]


def _json(value: Any) -> str:
    return encodable(json.dumps(value, ensure_ascii=False))
