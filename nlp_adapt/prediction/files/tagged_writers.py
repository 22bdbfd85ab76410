"""Tagged words alone: CoNLL columns, or a page on which entities are coloured."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_adapt.names import counted
from nlp_adapt.prediction.files.parts import copy_all
from nlp_adapt.prediction.files.writing import LabelledRow, Writer, open_bytes

# What would break a line or a column, or make the file unreadable as text.
_BREAKS = re.compile(r"[\t\n\r\0]")


class ConllWriter(Writer):
    """One word a line, its tag last, a blank line after each sentence.

    The columns of a CoNLL input stand before the tags; of other inputs, the words alone.
    """

    of_words = True

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """The lines of some sentences; a row without words is a blank line."""
        return "".join(map(self._sentence, rows)).encode("utf-8", "replace")

    def _sentence(self, row: LabelledRow) -> str:
        kept = self.layout.columns if self.layout.line_per_token else ()
        given = [row.record[name] for name in kept] or [row.added["tokens"]]
        return conll_sentence(*given, row.added["tags"])


class PageWriter(Writer):
    """A page of its own on which entities are coloured by type."""

    of_words = True
    in_pieces = False  # the top of the page says how much is on it, which is known at the end

    def encode(self, rows: Sequence[LabelledRow]) -> bytes:
        """Some texts as items of the page."""
        hues = page_hues(self.layout.labels)
        items = (page_item(row.added["text"], row.added["entities"], hues) for row in rows)
        return "".join(items).encode("utf-8", "replace")

    def merge(self, parts: list[Path], staged: Path, summary: Mapping[str, Any]) -> None:
        """The whole page."""
        head = page_head(summary["labels"], summary["rows"], page_hues(self.layout.labels))
        with open_bytes(staged, gzipped=self.layout.gzipped) as file:
            file.write(head.encode())
            copy_all(parts, file)
            file.write(PAGE_END.encode())


def conll_sentence(*columns: Sequence[str]) -> str:
    """One word a line, its columns parted by tabs, and a blank line after the sentence.

    The columns have a value for each word, the words first, their tags last. A tab, a line break or
    a NUL inside a word becomes a space, so that each word keeps its line.
    """
    lines = (
        "\t".join(_BREAKS.sub(" ", field) for field in line) for line in zip(*columns, strict=True)
    )
    return "".join(f"{line}\n" for line in lines) + "\n"


def page_hues(types: Iterable[str]) -> dict[str, int]:
    """A colour for each entity type, as a hue in degrees."""
    return {kind: 137 * number % 360 for number, kind in enumerate(sorted(set(types)))}


def page_head(counts: Mapping[str, int], texts: int, hues: Mapping[str, int]) -> str:
    """The top of the page: how many entities of which type are in how many texts."""
    found = sorted((kind for kind in counts if counts[kind]), key=lambda kind: -counts[kind])
    legend = [
        f'<mark style="--hue:{hues[kind]}">{html.escape(kind)}<small>{counts[kind]:,}</small></mark>'
        for kind in found
    ]
    summary = f"{counted(sum(counts.values()), 'entity')} in {counted(texts, 'text')}"
    return f"{_HEAD}<header><h1>Entities</h1><p>{summary}</p><p>{' '.join(legend)}</p></header>\n<ol>\n"


def page_item(text: str, entities: Sequence[Mapping[str, Any]], hues: Mapping[str, int]) -> str:
    """One text of the page, escaped.

    `entities` have `type`, `start`, `end` and `score`, and come from left to right.
    """
    parts, position = [], 0
    for entity in entities:
        before, surface = text[position : entity["start"]], text[entity["start"] : entity["end"]]
        kind = html.escape(entity["type"])
        title = f"{kind}, probability {entity['score']:.2f}"
        parts.append(
            f'{html.escape(before)}<mark style="--hue:{hues[entity["type"]]}" title="{title}">'
            f"{html.escape(surface)}<small>{kind}</small></mark>"
        )
        position = entity["end"]
    marked = "".join([*parts, html.escape(text[position:])])
    return f'<li dir="auto">{marked}</li>\n'


PAGE_END = "</ol>\n</body>\n</html>\n"

_HEAD = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Entities</title>
<style>
:root { color-scheme: light dark; --tint: 88%; --edge: 45%; }
@media (prefers-color-scheme: dark) { :root { --tint: 26%; --edge: 62%; } }
body { font: 16px/1.7 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
li { margin: 0.4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; background: hsl(var(--hue) 80% var(--tint)); padding: 0.1em 0.3em;
       border-radius: 0.25em; border-bottom: 2px solid hsl(var(--hue) 60% var(--edge)); }
mark small { margin-inline-start: 0.4em; font-size: 0.7em; font-weight: 600; opacity: 0.8; }
</style>
</head>
<body>
"""
