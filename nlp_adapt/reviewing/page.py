"""The page on which items are answered: one file that loads nothing and sends nothing."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.rows import encodable
from nlp_adapt.files import text_hash, write_text
from nlp_adapt.reviewing.answers import codes
from nlp_adapt.reviewing.items import Item
from nlp_adapt.reviewing.state import Review

_FILES = files(__package__) / "page_files"
# Data is no script and needs no hash; the script and the style are the only ones that may run.
_SHELL = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; \
style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Review</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def write_page(path: Path, review: Review, items: Sequence[Item]) -> None:
    """Write the page for these items.

    It says nothing of which model gave which reading. Answers stay in the browser until they are
    saved as a csv, which `answers.read_answers` takes.
    """
    script, style, body = ((_FILES / f"page.{end}").read_text("utf-8") for end in _ENDINGS)
    text = _SHELL.format(
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
        style=style,
        body=body,
        data=_for_html(page_data(review, items)),
        script=script,
    )
    write_text(path, text)


_ENDINGS = ("js", "css", "html")


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


def _csp_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _for_html(value: Any) -> str:
    """JSON in which nothing can end the element that it stands in."""
    text = json.dumps(value)  # all that is no ASCII is escaped
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
