"""Tagged text and its files: entities, offsets, escaping, and reading back."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nlp_adapt.data.reading.files import read_file
from nlp_adapt.prediction.files.tagged_writers import (
    PAGE_END,
    conll_sentence,
    page_head,
    page_hues,
    page_item,
)
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import TaggedText, tag_texts
from nlp_adapt.tasks.token_classification import TokenClassification
from tests.helpers.tiny_taggers import TAGS, tagger

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


def test_the_dictionary_has_character_offsets() -> None:
    record = json.loads(json.dumps(ANNA.to_dict()))
    assert record["tokens"] == ["Anna", "Lee", "saw", "Rome", "."]
    assert [
        (entity["type"], record["text"][entity["start"] : entity["end"]])
        for entity in record["entities"]
    ] == [("PER", "Anna Lee"), ("LOC", "Rome")]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=6))
def test_conll_keeps_one_line_a_word(words: list[str]) -> None:
    lines = conll_sentence(words, ["B-X"] * len(words)).split("\n")
    assert lines[-2:] == ["", ""]
    assert len(lines) == len(words) + 2
    assert all(line.count("\t") == 1 and "\r" not in line for line in lines[:-2])


def test_conll_is_read_back(tmp_path: Path) -> None:
    words = ["Anna", "", "a\tb", "x\r\ny", "\u2028", "#"]
    lines = conll_sentence(words, ["B-PER", *["O"] * 5]) + conll_sentence(ANNA.words, ANNA.tags)
    path = tmp_path / "out.conll"
    path.write_text(lines, encoding="utf-8", newline="")
    table = read_file(path, "token-classification")
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


def page_of(texts: list[TaggedText]) -> str:
    entities = [text.to_dict()["entities"] for text in texts]
    counts = Counter(entity["type"] for listed in entities for entity in listed)
    hues = page_hues(counts)
    items = [page_item(text.text, own, hues) for text, own in zip(texts, entities, strict=True)]
    return "".join([page_head(counts, len(texts), hues), *items, PAGE_END])


def test_the_page_escapes_text_and_types() -> None:
    nasty = '<script>alert("x")</script>'
    evil = TaggedText(f"{nasty} &amp;", [(0, len(nasty)), (28, 33)], [f"B-{nasty}", "O"], [0.5, 1])
    page = page_of([evil, ANNA])
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    assert reader.items == [f"{nasty}{nasty} &amp;", "Anna LeePER  saw RomeLOC."]
    assert "3 entities in 2 texts" in page


def test_a_page_without_entities() -> None:
    assert "0 entities in 0 texts" in page_of([])
