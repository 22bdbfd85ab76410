"""Text from the user's data made safe for Markdown, HTML and YAML."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from nlp_adapt.privacy import redact

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!{}])")
# What Markdown readers turn into links by themselves.
_AUTOLINKS = (("://", "&#58;//"), ("@", "&#64;"), ("www.", "www&#46;"), ("WWW.", "WWW&#46;"))


def one_line(value: Any) -> str:
    """`value` as one line of printable text without tokens."""
    line = " ".join(redact(str(value)).split())
    return "".join(character for character in line if character.isprintable())


def escape(value: Any) -> str:
    """One line of plain text that Markdown and HTML show as it is."""
    line = _MARKDOWN.sub(r"\\\1", html.escape(one_line(value), quote=False))
    for written, shown in _AUTOLINKS:
        line = line.replace(written, shown)
    return line


def fenced(text: str, language: str) -> str:
    """A code block that nothing inside `text` can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its header; numbers stand to the right."""
    lines = ["| " + " | ".join(map(escape, row)) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
    return "\n".join(lines)
