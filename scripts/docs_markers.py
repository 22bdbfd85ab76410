"""Fills the pages of the documentation with what the code says: methods, options, commands.

A line `{{ methods: dann, cdan }}` becomes a table of these methods, `{{ method: dann }}` its paper and options;
`{{ notebook: tagger }}` becomes that notebook; `{{ options }}` every key of a recipe; `{{ commands }}` the help of every command; `{{ rules }}` what
`nlp-adapt diagnose` goes by. So nothing is written down twice, and an unknown name fails the build.

`docs_extension.py` hands pages over.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
_MARKER = re.compile(r"^\{\{ (\w+)(?:: ([\w, ]+))? \}\}$", re.MULTILINE)


def fill(markdown: str) -> str:
    """A page's Markdown with its markers replaced."""
    return _MARKER.sub(lambda match: _FILLERS[match[1]](match[2] or ""), markdown)


def _methods(names: str) -> str:
    from nlp_adapt.cli.methods import describe_methods

    described = describe_methods()
    rows = ["| Method | What it does | Paper |", "| --- | --- | --- |"]
    for name in names.split(", "):
        method = described[name]
        rows.append(f"| `{name}` | {_cell(method['summary'])} | {_papers(method['paper'])} |")
    return "\n".join(rows)


def _method(name: str) -> str:
    from nlp_adapt.cli.methods import describe_methods

    described = describe_methods()[name]
    parts = [f"Paper: {_papers(described['paper'])}."] if described["paper"] else []
    for objective, options in described["options"].items():
        if objective != "task":
            parts.append(f'??? note "Options of `{objective}`"\n\n{_indent(_table(options))}')
    return "\n\n".join(parts)


def _papers(cited: str) -> str:
    """Papers as methods cite them, each a link where its entry has an address."""
    from nlp_adapt.reporting.card_metadata import references

    linked = []
    for name in filter(None, cited.split("; ")):
        address = re.search(r"url = \{(.+)\}", references().get(name, ""))
        linked.append(f"[{_cell(name)}]({address[1]})" if address else _cell(name))
    return "; ".join(linked)


def _table(options: list[dict[str, Any]]) -> str:
    rows = ["| Option | Default | Meaning |", "| --- | --- | --- |"]
    for option in options:
        default = "" if option["default"] is None else f"`{option['default']}`"
        if not default and option.get("follows"):
            default = f"that of `{option['follows']}`"
        choices = f": {', '.join(map(str, option['choices']))}" if option["choices"] else ""
        rows.append(f"| `{option['name']}` | {default} | {_cell(option['help'] + choices)} |")
    return "\n".join(rows)


def _options(_: str) -> str:
    from nlp_adapt.cli.flags import SECTIONS
    from nlp_adapt.recipe import Recipe

    parts: list[str] = []
    rows: list[dict[str, Any]] = []
    title = "run"
    for field in [*dataclasses.fields(Recipe), None]:
        if field is None or field.name in SECTIONS:
            if rows:
                parts.append(f"## {title[0].upper()}{title[1:]}\n\n{_table(rows)}")
            rows = []
        if field is not None:
            title = SECTIONS.get(field.name, title)
            default = None if field.default is dataclasses.MISSING else field.default
            rows.append({"name": field.name, "default": default, **field.metadata})
    return "\n\n".join(parts)


def _commands(_: str) -> str:
    from nlp_adapt.cli.parser import COMMANDS, build_parser

    parser = build_parser()
    commands = next(action for action in parser._actions if action.choices is not None)
    assert commands.choices is not None
    parts = []
    for name in COMMANDS:
        text = commands.choices[name].format_help().rstrip()  # type: ignore[index]
        if name in ("train", "compare", "doctor", "diagnose"):  # their flags are the recipe's keys
            text = text.partition("\nmodel and data:")[0].rstrip()
            text += "\n\nEvery recipe option is a flag of this command: see Recipe options."
        parts.append(f"## nlp-adapt {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def _rules(_: str) -> str:
    from nlp_adapt.diagnosis.rules import RULES

    rows = ["| Rule | When | What it says | Backed by |", "| --- | --- | --- | --- |"]
    for rule in RULES:
        advice = re.sub(r"\{[^}]*\}", "...", rule.advice)
        page = re.search(r"\S+\.md", rule.basis)
        basis = _cell(rule.basis)
        basis = basis.replace(page[0], f"[{page[0]}](../{page[0]})") if page else basis
        rows.append(f"| `{rule.name}` | {_cell(rule.when)} | {_cell(advice)} | {basis} |")
    return "\n".join(rows)


def _notebook(name: str) -> str:
    notebook = json.loads((_NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            shown = "".join(data["text/plain"])
            html = "".join(data.get("text/html", ""))
            parts.append(f'<div class="output">{html}</div>' if html else f"```text\n{shown}\n```")
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    for written, shown in (("|", "\\|"), ("<", "&lt;"), ("{", "&#123;"), ("}", "&#125;")):
        text = text.replace(written, shown)  # no tags and no attribute lists
    return text


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


_FILLERS: dict[str, Callable[[str], str]] = {
    "methods": _methods,
    "method": _method,
    "options": _options,
    "commands": _commands,
    "rules": _rules,
    "notebook": _notebook,
}
