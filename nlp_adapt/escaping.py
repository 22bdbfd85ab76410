"""Text of others made fit to be shown: no tokens, nothing that Markdown, HTML or YAML would read."""

import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HIDDEN = "***"
_TOKEN = re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{16,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?i)([?&](?:access_)?(?:token|key|secret|password)=)[^&\s#]+")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHORTEST_TOKEN = 8


def redact(text: str) -> str:
    """`text` with every access token and every login in a URL hidden."""
    for name in _TOKEN_VARIABLES:
        token = os.environ.get(name, "").strip()
        if len(token) >= _SHORTEST_TOKEN:
            text = text.replace(token, HIDDEN)
    text = _TOKEN.sub(rf"\1_{HIDDEN}", text)
    text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def holds_secret(value: Any) -> bool:
    """Whether an access token or a login stands in a text, or anywhere in a list or mapping."""
    if isinstance(value, dict):
        return any(holds_secret(item) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return any(map(holds_secret, value))
    return isinstance(value, str) and redact(value) != value


def shareable(value: Any) -> Any:
    """`value` as others may see it: no tokens, and files by name without their folders."""
    if isinstance(value, dict):
        return {shareable(key): shareable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shareable(item) for item in value]
    if not isinstance(value, str):
        return value
    if Path(value).is_absolute() or value.startswith("~"):
        value = Path(value).name or HIDDEN
    return redact(value)


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
