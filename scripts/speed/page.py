"""What each part found, kept beside the page, so that parts can be measured one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from speed.timing import table


@dataclass(frozen=True)
class Goal:
    """Something that was to be reached.

    Attributes:
        what: What is measured.
        wanted: What it should be, in words.
        found: What it is, in words.
        met: Whether that is enough.
    """

    what: str
    wanted: str
    found: str
    met: bool


@dataclass(frozen=True)
class Section:
    """What one part found.

    Attributes:
        title: Heading.
        text: Markdown below it.
        goals: Which goals it measures.
        conditions: Where, with what and how often it was measured.
    """

    title: str
    text: str
    goals: Sequence[Goal] = field(default_factory=tuple)
    conditions: str = ""


def store(section: Section, part: str, page: Path, order: Sequence[str]) -> None:
    """Keep a part's section and write the page anew from all that are kept.

    Args:
        section: What was found.
        part: The part's name; what was kept under it is replaced.
        page: The Markdown file; the sections are kept in a JSON file of the same name.
        order: All parts, in the page's order.
    """
    kept = page.with_suffix(".parts.json")
    sections = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    sections[part] = asdict(section)
    page.parent.mkdir(parents=True, exist_ok=True)
    for path, content in (
        (kept, json.dumps(sections, indent=1) + "\n"),
        (page, render([sections[name] for name in order if name in sections])),
    ):
        staged = path.with_name(f".{path.name}.staged")
        staged.write_text(content, encoding="utf-8")
        staged.replace(path)


def render(sections: Sequence[dict]) -> str:
    """The page."""
    goals = [goal for section in sections for goal in section["goals"]]
    rows = [
        [goal["what"], goal["wanted"], goal["found"], "yes" if goal["met"] else "**no**"]
        for goal in goals
    ]
    text = (
        "# Speed\n\nMade by `scripts/benchmark_speed.py`, whose parts can be measured one at a time "
        "(`--only`): each section says where and how. What is compared runs in turns, and ratios "
        "are taken within each round, so that a machine that is busy now and then slows all of them "
        "alike. Numbers are medians over the rounds, with quartiles in brackets. Tokens are real "
        "ones: padding never counts as work done.\n"
    )
    if rows:
        text += f"\n## Goals\n\n{table(['goal', 'wanted', 'found', 'met'], rows)}"
    for section in sections:
        text += f"\n## {section['title']}\n\n{section['text']}\n{section['conditions']}\n"
    return text
