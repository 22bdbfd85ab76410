"""The page on which items are answered: one file that loads nothing and sends nothing."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.rows import encodable
from nlp_adapt.files import text_hash, write_text
from nlp_adapt.reporting.page.html import page
from nlp_adapt.reviewing.answers import codes
from nlp_adapt.reviewing.items import Item
from nlp_adapt.reviewing.state import Review

_FILES = files(__package__) / "page_files"
_ENDINGS = ("js", "css", "html")


def write_page(path: Path, review: Review, items: Sequence[Item]) -> None:
    """Write the page for these items.

    It says nothing of which model gave which reading. Answers stay in the browser until they are
    saved as a csv, which `answers.read_answers` takes.
    """
    script, style, body = ((_FILES / f"page.{end}").read_text("utf-8") for end in _ENDINGS)
    # Data is no script and needs no hash; the script and the style are the only ones that may run.
    data = (
        f'<script type="application/json" id="data">{_for_html(page_data(review, items))}</script>'
    )
    write_text(path, page("Review", f"{body}\n{data}", style, script))


def page_data(review: Review, items: Sequence[Item]) -> dict[str, Any]:
    """What the page's script reads."""
    names = ",".join(item.id for item in items)
    return {
        "key": f"nlp-adapt-review-{text_hash(names)[:16]}",
        "codes": codes(review.labels),
        # With two labels both are always among the choices.
        "labels": [] if review.tagging or len(review.labels) < 3 else list(review.labels),
        "items": [
            {
                "id": item.id,
                "text": encodable(item.unit.text),
                "a": encodable(item.a),
                "b": encodable(item.b),
                # Scripts count an emoji as two.
                "start": _utf16(item.unit.text[: item.unit.start]),
                "end": _utf16(item.unit.text[: item.unit.end]),
            }
            for item in items
        ],
    }


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _for_html(value: Any) -> str:
    """JSON in which nothing can end the element that it stands in."""
    text = json.dumps(value)  # all that is no ASCII is escaped
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
