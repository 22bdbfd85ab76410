"""Text of others made fit to be shown: no tokens, nothing that a terminal, Markdown, HTML or YAML obeys."""

import html
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

HIDDEN = "***"
_TOKEN = re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{16,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
# Ends before a quote, so that JSON stays JSON.
_QUERY = re.compile(r"(?i)([?&](?:access_)?(?:token|key|secret|password)=)[^&\s#\"\\]+")
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


# Controls, marks of direction and the like, half surrogates, the breaks of lines and paragraphs.
_OBEYED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


def visible(text: str, kept: str = "\n\t") -> str:
    r"""`text` without tokens, and with all that a terminal obeys as JSON writes it: `\u001b`.

    So what is JSON stays the same JSON. Our own layout needs what is `kept`.
    """
    text = redact(text)
    if text.isprintable():
        return text
    kept += _JOINERS
    return "".join(
        _as_json(one) if category(one) in _OBEYED and one not in kept else one for one in text
    )


def _as_json(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def in_lines(value: Any) -> Any:
    """`value` with every text in it, keys too, as it is shown within a line of our own."""
    if isinstance(value, dict):
        return {in_lines(key): in_lines(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_lines(item) for item in value]
    return visible(value, kept="") if isinstance(value, str) else value


class Terminal:
    """A stream of text that people look at: what is written to it is `visible`.

    Bytes go to its `buffer` as they are.
    """

    def __init__(self, bare: Any) -> None:
        self.bare = bare

    def write(self, text: str) -> int:
        """Write `text`; what the stream's encoding lacks is escaped as well."""
        shown = visible(text)
        try:
            self.bare.write(shown)
        except UnicodeEncodeError:
            self.bare.write("".join(one if one.isascii() else _as_json(one) for one in shown))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


def for_bars() -> Any:
    """Standard error for a progress bar, which moves the cursor: its label must be `one_line`."""
    return getattr(sys.stderr, "bare", sys.stderr)


_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!{}])")
# What Markdown readers turn into links by themselves.
_AUTOLINKS = (("://", "&#58;//"), ("@", "&#64;"), ("www.", "www&#46;"), ("WWW.", "WWW&#46;"))


def one_line(value: Any) -> str:
    """`value` as one line of visible text without tokens; breaks and tabs become spaces."""
    lines = (line.strip() for line in str(value).replace("\t", " ").splitlines())
    return visible(" ".join(filter(None, lines)), kept="")


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
