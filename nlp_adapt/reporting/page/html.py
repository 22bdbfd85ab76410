"""The page's frame and its parts: sections, figures, tables, legends; nothing in it is foreign HTML."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from nlp_adapt.reporting.page.svg import shown

Cell = str | float | None


@cache
def style() -> str:
    """The style sheet."""
    return files("nlp_adapt.reporting.page").joinpath("page.css").read_text(encoding="utf-8")


def page(title: str, body: str, sheet: str | None = None, script: str = "") -> str:
    """A whole page around a body, which nothing but its own style and script may reach.

    Args:
        title: Escaped text.
        sheet: Its style; default: that of reports.
    """
    sheet = style() if sheet is None else sheet
    may_run = f" script-src '{_hash(script)}';" if script else ""
    policy = (
        f"default-src 'none';{may_run} style-src '{_hash(sheet)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    last = f"<script>{script}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{sheet}</style>\n</head>\n<body>\n{body}\n{last}</body>\n"
        "</html>\n"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def section(name: str, title: str, lead: str, *parts: str) -> str:
    """A section with its heading and a lead in plain words; nothing where all parts are empty."""
    inner = "\n".join(filter(None, parts))
    if not inner:
        return ""
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{name}">\n<h2>{title}</h2>\n{said}\n{inner}\n</section>'


def grid(*figures: str, kind: str = "") -> str:
    """Figures beside each other: as many as fit, two `wide` ones, or `two` small ones."""
    inner = "\n".join(filter(None, figures))
    return f'<div class="grid{kind and f" {kind}"}">\n{inner}\n</div>' if inner else ""


def figure(title: str, picture: str, note: str = "", key: str = "") -> str:
    """A picture under its title, with a note and a legend; all escaped already."""
    if not picture:
        return ""
    said = f"<span>{note}</span>" if note else ""
    legend_ = f'<div class="key">{key}</div>' if key else ""
    return f"<figure><figcaption><b>{title}</b>{said}</figcaption>{legend_}{picture}</figure>"


def legend(entries: Iterable[tuple[str, str, str]]) -> str:
    """Marks with names: class of the colour, shape (`dot`, `ring`, `cross`, `line`, `box`), name."""
    return "".join(
        f'<span class="entry"><i class="{shape} {kind}"></i>{shown(name, 40)}</span>'
        for kind, shape, name in entries
    )


def table(rows: Sequence[Sequence[Cell]]) -> str:
    """A table whose first row is its header; numbers are shares, shown in per cent.

    The exact number stands in the `value` of its cell.
    """
    head, *body = rows
    cells = "".join(f'<th scope="col">{shown(one)}</th>' for one in head)
    lines = [f"<thead><tr>{cells}</tr></thead><tbody>"]
    for name, *values in body:
        inner = "".join(f"<td>{_cell(value)}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{shown(name)}</th>{inner}</tr>')
    return f'<div class="scroll"><table>{"".join(lines)}</tbody></table></div>'


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return shown(value)
    return f'<data value="{value!r}">{100 * value:.1f}</data>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, escaped already."""
    inner = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    return f'<dl class="facts">{inner}</dl>' if inner else ""


def fold(title: str, inner: str, *, opened: bool = False) -> str:
    """What is read on demand."""
    if not inner:
        return ""
    return f"<details{' open' if opened else ''}><summary>{title}</summary>{inner}</details>"


def chips(entries: Iterable[tuple[str, str, str]]) -> str:
    """Small facts under the verdict: kind (`good`, `bad`, `plain`), name, value; escaped already."""
    inner = "".join(
        f'<li class="{kind}"><small>{name}</small><span>{value}</span></li>'
        for kind, name, value in entries
    )
    return f'<ul class="chips">{inner}</ul>' if inner else ""


def sentence(text: str) -> str:
    """A sentence of a run, its options and commands as such."""
    text = shown(text).replace("+/- ", "±\u00a0").replace(" %", "\u00a0%")  # not at a line's end
    return re.sub("`([^`]+)`", r"<code>\1</code>", text)
