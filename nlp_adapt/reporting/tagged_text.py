"""Tagged text as files: CoNLL columns, jsonl with character offsets, or a page to look at."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nlp_adapt.tagged_text import Entity, TaggedText

# What would break a line or a column, or make the file unreadable as text.
_BREAKS = re.compile(r"[\t\n\r\0]")


def conll_lines(texts: Iterable[TaggedText]) -> Iterator[str]:
    """Word, tab, tag: one word a line, a blank line after each sentence.

    A tab, a line break or a NUL inside a word becomes a space, so that each word keeps its line.
    """
    for text in texts:
        for word, tag in zip(text.words, text.tags, strict=True):
            yield f"{_BREAKS.sub(' ', word)}\t{tag}\n"
        yield "\n"


def jsonl_lines(
    texts: Iterable[TaggedText], columns: Mapping[str, Sequence[Any]] | None = None
) -> Iterator[str]:
    """One object a text: what `TaggedText.to_dict` gives.

    Args:
        texts: The tagged texts.
        columns: Values to copy into the objects, one for each text. Where they hold `tags` or
            `entities`, the predicted ones are called `predicted_tags` and `predicted_entities`.
    """
    kept = {name: values for name, values in (columns or {}).items() if name not in _INPUTS}
    for number, text in enumerate(texts):
        predicted = text.to_dict()
        record = {name: values[number] for name, values in kept.items()}
        record.update({name: predicted.pop(name) for name in _INPUTS})
        for name, value in predicted.items():
            record[f"predicted_{name}" if name in kept else name] = value
        yield json.dumps(record, ensure_ascii=False, default=str) + "\n"


_INPUTS = ("text", "tokens")


def html_lines(texts: Iterable[TaggedText]) -> Iterator[str]:
    """A page of its own in which entities are coloured by type; everything is escaped."""
    listed = list(texts)
    counts = Counter(entity.type for text in listed for entity in text.entities)
    hues = {kind: 137 * number % 360 for number, kind in enumerate(sorted(counts))}
    yield _HEAD
    legend = [
        f'<mark style="--hue:{hues[kind]}">{html.escape(kind)}<small>{count:,}</small></mark>'
        for kind, count in counts.most_common()
    ]
    summary = f"{sum(counts.values()):,} entities in {len(listed):,} texts"
    yield f"<header><h1>Entities</h1><p>{summary}</p><p>{' '.join(legend)}</p></header>\n<ol>\n"
    for text in listed:
        yield f'<li dir="auto">{_annotated(text, hues)}</li>\n'
    yield "</ol>\n</body>\n</html>\n"


def _annotated(text: TaggedText, hues: dict[str, int]) -> str:
    parts, position = [], 0
    for entity in text.entities:
        parts.append(html.escape(text.text[position : entity.start]))
        parts.append(_marked(text, entity, hues[entity.type]))
        position = entity.end
    return "".join([*parts, html.escape(text.text[position:])])


def _marked(text: TaggedText, entity: Entity, hue: int) -> str:
    surface = html.escape(text.text[entity.start : entity.end])
    title = html.escape(f"{entity.type}, probability {entity.score:.2f}")
    label = html.escape(entity.type)
    return f'<mark style="--hue:{hue}" title="{title}">{surface}<small>{label}</small></mark>'


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
