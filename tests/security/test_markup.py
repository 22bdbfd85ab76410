"""Labels and file names are text, wherever they are shown."""

import argparse

import pytest

from nlp_adapt.cli import console
from nlp_adapt.cli.doctor import render
from nlp_adapt.prediction.files.tagged_writers import (
    conll_sentence,
    page_head,
    page_hues,
    page_item,
)

EVIL = "<script>alert(1)</script>\"' onload=x ]]>"


def test_the_page_of_entities_is_text_and_colours_alone():
    hues = page_hues([EVIL])
    entity = {"type": EVIL, "start": 0, "end": len(EVIL), "score": 0.5}
    page = page_head({EVIL: 1}, 1, hues) + page_item(EVIL, [entity], hues)
    body = page[page.index("<body>") :]
    assert "<script" not in page
    assert "&lt;script&gt;" in body
    assert "&quot;&#x27; onload=x" in body  # no attribute can be closed from inside


def test_a_word_cannot_add_lines_to_a_conll_file():
    assert conll_sentence(["a\nb\tc"], ["O"]) == "a b c\tO\n\n"


@pytest.mark.parametrize("evil", ["\x1b[2J\x1b[31m", "x\nserious  forged", "\u202egpj"])
def test_the_doctor_prints_no_control_characters(evil, capsys):
    finding = {
        "code": "labels",
        "severity": "warning",
        "domain": "source",
        "message": f"few rows of {evil}.",
        "advice": "",
        "count": 1,
        "rows": [f"{evil}:1"],
    }
    report = {"domains": {}, "findings": [finding], "refused": False}
    with console.fit_to_be_shown():
        console.show(argparse.Namespace(json=False), report, render)
    text = capsys.readouterr().out
    assert "few rows of " in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nserious" not in text
