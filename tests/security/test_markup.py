"""Labels and file names are text, wherever they are shown."""

import pytest

from nlp_adapt.cli.doctor import render
from nlp_adapt.reporting.tagged_text import conll_lines, html_lines
from nlp_adapt.tagged_text import TaggedText

EVIL = "<script>alert(1)</script>\"' onload=x ]]>"


def test_the_page_of_entities_is_text_and_colours_alone():
    page = "".join(html_lines([TaggedText(EVIL, [(0, len(EVIL))], [f"B-{EVIL}"], [0.5])]))
    body = page[page.index("<body>") :]
    assert "<script" not in page
    assert "&lt;script&gt;" in body
    assert "&quot;&#x27; onload=x" in body  # no attribute can be closed from inside


def test_a_word_cannot_add_lines_to_a_conll_file():
    lines = list(conll_lines([TaggedText("a\nb\tc", [(0, 5)], ["O"], [0.5])]))
    assert lines == ["a b c\tO\n", "\n"]


@pytest.mark.parametrize("evil", ["\x1b[2J\x1b[31m", "x\nserious  forged", "\u202egpj"])
def test_the_doctor_prints_no_control_characters(evil):
    finding = {
        "code": "labels",
        "severity": "warning",
        "domain": "source",
        "message": f"few rows of {evil}.",
        "advice": "",
        "count": 1,
        "rows": [f"{evil}:1"],
    }
    text = render({"domains": {}, "findings": [finding], "refused": False})
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nserious" not in text
