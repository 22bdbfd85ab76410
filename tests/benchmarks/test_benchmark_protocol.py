"""The standard protocol: labelled target rows that training would see, and published numbers."""

import gzip
import json
import sys

import pytest

from nlp_adapt import load_domain
from nlp_adapt.errors import DataError
from tests.helpers.scripts import scripts_on_path

TEXT = "the juicer in kitchen {} is loud and heavy but it does what the box says it does every day"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    with scripts_on_path(monkeypatch):
        yield


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def review(name, number):
    words = " ".join(f"{name}{number}word{place}" for place in range(12))
    return f"{words} as {name} says"


@pytest.fixture
def data(tmp_path):
    """The four domains of the suite, without a leak."""
    folder = tmp_path / "data" / "sentiment" / "amazon_blitzer"
    for name in ("books", "dvd", "electronics", "kitchen"):
        for split, first, rows in (("train", 0, 16), ("test", 16, 6)):
            labelled = [{"text": review(name, first + i), "label": i % 2} for i in range(rows)]
            write(folder / f"{name}.{split}.jsonl.gz", labelled)
        raw = [{"text": review(name, 100 + i)} for i in range(12)]
        write(folder / f"{name}.unlabeled.jsonl.gz", raw)
    return tmp_path / "data"


def add(data, file, row):
    path = data / "sentiment" / "amazon_blitzer" / file
    with gzip.open(path, "at", encoding="utf-8") as opened:
        opened.write(json.dumps(row) + "\n")


def run(monkeypatch, *words):
    import benchmark_protocol

    monkeypatch.setattr(sys, "argv", ["benchmark_protocol.py", *map(str, words)])
    benchmark_protocol.main()


@pytest.mark.parametrize(
    ("file", "seen_as"),
    [("kitchen.unlabeled", "a raw row of kitchen"), ("books.train", "a labelled row of books")],
)
def test_a_row_nearly_like_a_labelled_one_is_refused_and_can_be_left_out(
    data, tmp_path, monkeypatch, file, seen_as
):
    add(
        data,
        "kitchen.test.jsonl.gz",
        {"text": f"{review('kitchen', 50)} {TEXT.format(1)}", "label": 1},
    )
    leaked = {"text": f"{review('kitchen', 50).upper()}!! {TEXT.format(1)} today"}
    add(data, f"{file}.jsonl.gz", leaked | ({} if "unlabeled" in file else {"label": 1}))
    at = {"kitchen.unlabeled": "unlabeled.jsonl.gz:13", "books.train": "train.jsonl.gz:17"}[file]
    said = f"1 labelled target row is .* first kitchen.test.jsonl.gz:7, which is .*{at}, {seen_as}"
    with pytest.raises(DataError, match=said):
        run(monkeypatch, "--data", data, "--check")
    clean = tmp_path / "clean"
    run(monkeypatch, "--data", data, "--clean", clean)
    run(monkeypatch, "--data", clean, "--check")
    before, after = (
        load_domain(str(folder / "sentiment" / "amazon_blitzer" / "kitchen")).test
        for folder in (data, clean)
    )
    assert before["text"] == after["text"]


def test_short_rows_and_rows_that_share_a_sentence_are_no_leak(data, monkeypatch):
    add(data, "kitchen.test.jsonl.gz", {"text": "Great little juicer!", "label": 1})
    add(data, "kitchen.unlabeled.jsonl.gz", {"text": "great little juicer"})
    add(
        data,
        "kitchen.test.jsonl.gz",
        {"text": f"{review('kitchen', 60)} {TEXT.format(1)}", "label": 1},
    )
    add(data, "kitchen.unlabeled.jsonl.gz", {"text": f"{review('kitchen', 61)} {TEXT.format(1)}"})
    run(monkeypatch, "--data", data, "--check")


def test_the_methods_are_measured_only_after_the_check(data, monkeypatch):
    import benchmark_methods

    called = []
    monkeypatch.setattr(benchmark_methods, "main", lambda: called.append(sys.argv[1:]))
    run(monkeypatch, "--data", data, "--suite", "amazon", "--encoder", "some/model", "--seeds", "2")
    words = ["--data", str(data), "--suite", "amazon", "--encoder", "some/model", "--seeds", "2"]
    methods = ["source_only", "auto", "twin_of_auto", "target_trained"]
    assert called == [[*words, "--methods", *methods]]


def test_published_numbers_stand_on_the_pages_of_their_suites_alone():
    from methods_page import report
    from protocol.published import section
    from suites import SUITES

    assert section("snippets") == []
    page = report(SUITES["amazon"] | {"published": section("amazon")}, "some/model", "command", [])
    assert "| BERT-DAAT | BERT-base | 90.1 |" in page
    assert "**Other encoders, other splits, other budgets:**" in page
    assert "68.6" in "".join(section("wnut"))
