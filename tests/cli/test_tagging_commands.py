"""`nlp-adapt predict` with a tagger, and `nlp-adapt labels`."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from nlp_adapt.cli import main
from nlp_adapt.data.reading.files import read_file
from tests.helpers.tiny_taggers import FAMILIES, tagger


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger saved as a plain model folder."""
    folder = tmp_path_factory.mktemp(request.param)
    for part in tagger(request.param):
        part.save_pretrained(folder)
    return folder


def predict(model: Path, rows: Path, out: Path, *more: str) -> int:
    words = ("predict", str(model), str(rows), "--out", str(out), "--precision", "fp32", *more)
    return main(words)


def test_conll_in_and_out_keeps_every_word(saved: Path, tmp_path: Path) -> None:
    words = [["anna", "\u200b", "x" * 90], ["a"], ["q"] * 70]
    text = "\n\n".join("\n".join(f"{word} O" for word in sentence) for sentence in words)
    (tmp_path / "in.conll").write_text(text, encoding="utf-8")
    out = tmp_path / "out.conll"
    assert predict(saved, tmp_path / "in.conll", out) == 0
    table = read_file(out, "token-classification")
    assert table.columns["tokens"] == words
    assert len({tag for row in table.columns["tags"] for tag in row}) > 1


def test_jsonl_keeps_columns_and_rows(saved: Path, tmp_path: Path) -> None:
    rows = [
        {"id": 7, "tokens": ["anna", "b"], "tags": ["B-PER", "O"]},
        {"id": 8, "tokens": [], "tags": []},
        {"id": 9, "tokens": ["c", "", "\x00"], "tags": ["O", "O", "O"]},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out.jsonl.gz"
    assert predict(saved, tmp_path / "in.jsonl", out) == 0
    with gzip.open(out, "rt", encoding="utf-8") as file:
        written = [json.loads(line) for line in file]
    assert [row["id"] for row in written] == [7, 8, 9]
    for row, before in zip(written, rows, strict=True):
        assert row["tokens"] == before["tokens"]
        assert row["tags"] == before["tags"]
        assert len(row["predicted_tags"]) == len(before["tokens"])
        for entity in row["predicted_entities"]:
            assert row["text"][entity["start"] : entity["end"]] == entity["text"]


def test_plain_text_to_a_page(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("<b>ann</b> met bob\n\nq w e r t y\n")
    out = tmp_path / "out.html"
    assert predict(saved, tmp_path / "in.txt", out, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["without_text"]) == (3, 1)
    assert set(summary["labels"]) == {"LOC", "PER"}
    page = out.read_text(encoding="utf-8")
    assert "<b>" not in page
    assert f"{sum(summary['labels'].values())} entities in 3 texts" in page


@pytest.mark.parametrize("name", ["out.xlsx", "out.exe"])
def test_formats_that_cannot_hold_tags_are_refused(
    name: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    assert predict(saved, tmp_path / "in.txt", tmp_path / name) == 2
    assert "must end in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "in.txt"]


def conll(path: Path, *sentences: str) -> str:
    """A CoNLL file of sentences written as `word/TAG word/TAG`."""
    text = "\n\n".join(sentence.replace("/", "\t").replace(" ", "\n") for sentence in sentences)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_labels_are_counted_and_a_map_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = conll(tmp_path / "news.conll", "ann/B-PER lee/I-PER saw/O rome/B-LOC")
    target = conll(tmp_path / "tweets.conll", "bob/B-person no/O", "oslo/B-geo-loc it/B-tvshow")
    assert main(["labels", source, target, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["source"]["labels"] == {"LOC": 1, "PER": 1}
    assert report["target"]["labels"] == {"geo-loc": 1, "person": 1, "tvshow": 1}
    assert report["label_map"] == {"geo-loc": "LOC", "person": "PER", "tvshow": "ignore"}
    assert main(["labels", source, target]) == 0
    assert "  person: PER" in capsys.readouterr().out
    mapped = "{person: PER, geo-loc: LOC, tvshow: ignore}"
    assert main(["labels", source, target, "--label-map", mapped]) == 0
    assert "no map is needed" in capsys.readouterr().out


def test_labels_of_texts_and_of_an_unlabelled_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("text,label\ngood film,pos\nbad film,neg\n")
    (tmp_path / "b.txt").write_text("some text\n")
    assert main(["labels", str(tmp_path / "a.csv"), str(tmp_path / "b.txt")]) == 0
    out = capsys.readouterr().out
    assert "pos" in out
    assert "nothing to map" in out


@pytest.mark.parametrize(
    ("sentences", "complaint"),
    [
        (["a/B-PER b/I-LOC"], r"news.conll:2.*ill-formed"),
        (["a/B-PER b/E-PER c/U-LOC"], r"news.conll:1.*schemes"),
    ],
)
def test_labels_name_the_place_of_bad_tags(
    sentences: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = conll(tmp_path / "news.conll", *sentences)
    assert main(["labels", path, path]) == 2
    assert re.search(complaint, capsys.readouterr().err)
