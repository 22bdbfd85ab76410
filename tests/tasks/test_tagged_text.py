"""Tagged text and its files: entities, offsets, escaping, and reading back."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tiny_taggers import TAGS, tagger

from nlp_adapt.data.conll import read_conll
from nlp_adapt.data.files import read_lines
from nlp_adapt.inference import Predictor
from nlp_adapt.reporting.tagged_text import conll_lines, html_lines, jsonl_lines
from nlp_adapt.tagged_text import TaggedText, tag_texts
from nlp_adapt.tasks.token_classification import TokenClassification

ANNA = TaggedText(
    text="Anna Lee  saw Rome.",
    spans=[(0, 4), (5, 8), (10, 13), (14, 18), (18, 19)],
    tags=["B-PER", "I-PER", "O", "B-LOC", "O"],
    scores=[0.9, 0.7, 1.0, 0.6, 1.0],
)


def test_entities_run_from_b_over_i() -> None:
    first, second = ANNA.entities
    assert first[:5] == ("PER", 0, 8, 0, 2)
    assert round(first.score, 6) == 0.8
    assert second[:5] == ("LOC", 14, 18, 3, 4)


def test_adjacent_entities_stay_apart() -> None:
    text = TaggedText("a b c", [(0, 1), (2, 3), (4, 5)], ["B-X", "B-X", "I-X"], [1.0] * 3)
    assert [(entity.start, entity.end) for entity in text.entities] == [(0, 1), (2, 5)]


def test_plain_text_keeps_its_characters() -> None:
    model, tokenizer = tagger("bert")
    texts = ["", "  ann  and\tbob 👍🏽!", "\u200b"]
    tagged = tag_texts(Predictor(model, tokenizer, TokenClassification(TAGS)), texts)
    assert [text.text for text in tagged] == texts
    assert tagged[1].words == ["ann", "and", "bob", "👍🏽", "!"]
    assert tagged[0].tags == []


def test_jsonl_has_character_offsets() -> None:
    (line,) = jsonl_lines([ANNA])
    record = json.loads(line)
    assert record["tokens"] == ["Anna", "Lee", "saw", "Rome", "."]
    assert [
        (entity["type"], record["text"][entity["start"] : entity["end"]])
        for entity in record["entities"]
    ] == [("PER", "Anna Lee"), ("LOC", "Rome")]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=6))
def test_conll_keeps_one_line_a_word(words: list[str]) -> None:
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    text = TaggedText(" ".join(words), spans, ["B-X"] * len(words), [1.0] * len(words))
    lines = list(conll_lines([text]))
    assert len(lines) == len(words) + 1
    assert all(line.count("\n") == 1 and line.count("\t") == 1 for line in lines[:-1])


def test_conll_is_read_back(tmp_path: Path) -> None:
    words = ["Anna", "", "a\tb", "x\r\ny", "\u2028", "#"]
    spans = [(0, 4), (5, 5), (6, 9), (10, 14), (15, 16), (17, 18)]
    text = TaggedText(" ".join(words), spans, ["B-PER", *["O"] * 5], [1.0] * 6)
    path = tmp_path / "out.conll"
    path.write_text("".join(conll_lines([text, ANNA])), encoding="utf-8", newline="")
    table = read_conll(path, read_lines(path))
    assert table.columns["tokens"] == [["Anna", "", "a b", "x  y", "\u2028", "#"], ANNA.words]
    assert table.columns["tags"] == [["B-PER", *["O"] * 5], ANNA.tags]


class Reader(HTMLParser):
    """Collects the elements and the text of list items."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.items: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "li":
            self.inside = True
            self.items.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "li"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.items[-1] += data


def test_the_page_escapes_text_and_types() -> None:
    nasty = '<script>alert("x")</script>'
    evil = TaggedText(f"{nasty} &amp;", [(0, len(nasty)), (28, 33)], [f"B-{nasty}", "O"], [0.5, 1])
    page = "".join(html_lines([evil, ANNA]))
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    assert reader.items == [f"{nasty}{nasty} &amp;", "Anna LeePER  saw RomeLOC."]
    assert "3 entities in 2 texts" in page


def test_a_page_without_entities() -> None:
    assert "0 entities in 0 texts" in "".join(html_lines([]))
