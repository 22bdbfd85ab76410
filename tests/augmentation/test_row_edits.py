"""Edited copies of labelled rows: labels stay true, copies are the seed's, none is empty."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_adapt.augmentation.row_edits import Corpus, edited_rows, row_edit
from nlp_adapt.config import ROW_EDITS
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.data.tagging import find_ill_formed
from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from nlp_adapt.training.inputs.kept_rows import read_rows, write_rows
from tests.helpers.tiny_batches import VOCABULARY, make_tokenizer, model_that_expects

NAMES = ("negative", "positive")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
FILLER = ("was", "is", "the", "a", "good", "bad", "fine", "dull")


def reviews(words: tuple[str, ...] = ("film", "plot", "actor"), rows: int = 60) -> Any:
    rng = random.Random(words[0])
    texts = [
        f"The {rng.choice(words)}, {rng.choice(FILLER)} {rng.choice(words)} {rng.choice(FILLER)}."
        for _ in range(rows)
    ]
    texts[:3] = ["Good!", "...", "the"]
    places = [f"x:{i}" for i in range(rows)]
    return make_dataset(SEQUENCE_CLASSIFICATION, texts, places, [i % 2 for i in range(rows)], NAMES)


def news(rows: int = 120) -> Any:
    """Entities of one and two words, some side by side, in sentences of small words."""
    rng = random.Random(3)
    tokens, tags = [], []
    for number in range(rows):
        words = [(w, 0) for w in rng.sample(FILLER, 4)] + [
            (rng.choice(("film", "plot")), 0),
            (".", 0),
        ]
        words[2:2] = [("phone", 1), ("screen", 2)] if number % 2 else [("Battery", 3)]
        words[3 + number % 2 : 3 + number % 2] = [("Paris", 3), ("Hill", 4)][: number % 3]
        tokens.append([word for word, _ in words])
        tags.append([tag for _, tag in words])
    tokens.append(["phone"])
    tags.append([1])
    places = [f"n:{i}" for i in range(len(tokens))]
    return make_dataset(TOKEN_CLASSIFICATION, tokens, places, tags, TAGS)


def edit_for(kind: str, dataset: Any, rate: float = 0.4, target: Any = None) -> Any:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(VOCABULARY), 8)).astype(np.float32)
    alike = (("film", "phone", "cheap"), ("plot", "screen", "solid"), ("actor", "battery"))
    for words in alike:
        embeddings[[VOCABULARY.index(word) for word in words]] = rng.normal(size=8)
    return row_edit(
        kind,
        rate,
        source=Corpus.of(dataset),
        target=None if target is None else Corpus.of(target),
        tokenizer=make_tokenizer(),
        embeddings=embeddings,
        language_model=model_that_expects("phone", "screen", "dull", "is"),
    )


def made(kind: str, dataset: Any, copies: int = 2, seed: int = 1, **options: Any) -> Any:
    target = reviews(("phone", "screen", "battery"), 90)
    if "tokens" in dataset.column_names:
        words = ("cheap", "solid", "phone")
        sentences = [["the", words[i % 3], "Berlin", FILLER[i % 8]] for i in range(200)]
        target = make_dataset(TOKEN_CLASSIFICATION, sentences, [str(i) for i in range(200)])
    edit = edit_for(kind, dataset, target=target, **options)
    return edited_rows(dataset, Corpus.of(dataset), edit, copies, (seed, 7))


def origin(row: str) -> str:
    return row.partition(",")[0]


@pytest.mark.parametrize("kind", ROW_EDITS)
def test_copies_keep_their_labels_and_are_neither_empty_nor_unchanged(kind: str) -> None:
    dataset = reviews()
    found = made(kind, dataset)
    originals = {row["row"]: row for row in dataset}
    assert found.dataset.features == dataset.features
    assert len(found.dataset) + found.unchanged == 2 * len(dataset)
    assert len(found.dataset) > 60
    assert 0 < found.edited <= found.words
    for row in found.dataset:
        before = originals[origin(row["row"])]
        assert row["label"] == before["label"]
        assert row["text"].strip()
        assert row["text"] != before["text"]
        assert row["text"].count(",") == before["text"].count(",")
    assert "x:1, copy 1" not in found.dataset["row"]  # "..." has no word


@pytest.mark.parametrize("kind", ROW_EDITS)
@pytest.mark.parametrize("tagging", [False, True])
def test_copies_are_a_function_of_the_seed(kind: str, tagging: bool) -> None:
    dataset = news() if tagging else reviews()
    column = "tokens" if tagging else "text"
    one, same, other = (list(made(kind, dataset, seed=seed).dataset[column]) for seed in (1, 1, 2))
    assert one == same
    assert one != other or (tagging and kind == "domain_terms")  # one term a row, one substitute
    first = made(kind, dataset, copies=1).dataset
    assert list(first[column]) == one[: len(first)]


@pytest.mark.parametrize("kind", ROW_EDITS)
def test_in_tagging_entities_and_their_tags_stay(kind: str) -> None:
    dataset = news()
    found = made(kind, dataset)
    originals = {row["row"]: row for row in dataset}
    names = {"phone", "screen", "battery", "paris", "hill", "berlin"}
    assert found.dataset.features == dataset.features
    assert len(found.dataset) > 40
    for row in found.dataset:
        before = originals[origin(row["row"])]
        assert len(row["tokens"]) == len(row["labels"]) > 0
        assert not find_ill_formed([TAGS[tag] for tag in row["labels"]])
        kept = [
            [pair for pair in zip(one["tokens"], one["labels"], strict=True) if pair[1]]
            for one in (row, before)
        ]
        assert kept[0] == kept[1]
        outside = {word for word, tag in zip(row["tokens"], row["labels"], strict=True) if not tag}
        assert not names & {word.casefold() for word in outside}
        if kind not in ("delete", "swap"):
            assert row["labels"] == before["labels"]
    assert "n:120, copy 1" not in found.dataset["row"]  # nothing but an entity


def test_terms_of_the_source_become_terms_of_the_target() -> None:
    dataset, target = reviews(rows=200), reviews(("phone", "screen", "battery"), 200)
    edit = edit_for("domain_terms", dataset, 1.0, target)
    found = edited_rows(dataset, Corpus.of(dataset), edit, 1, (0,))
    partner = {"film": "phone", "plot": "screen", "actor": "battery"}
    right = wrong = 0
    for row in found.dataset:
        before = dataset["text"][int(origin(row["row"]).removeprefix("x:"))]
        pairs = zip(before.split(), row["text"].split(), strict=True)
        for old, new in pairs:
            if old.strip(".,") in partner:
                right += new.strip(".,") == partner[old.strip(".,")]
                wrong += new.strip(".,") in partner
            else:
                assert old == new
    assert wrong == 0
    assert right > 300


def test_capitalised_words_and_entity_words_are_no_terms_in_tagging() -> None:
    corpus = Corpus.of(news())
    assert set(corpus.term_counts(corpus.entity_words)) <= {*FILLER, "film", "plot"}
    sentences = [["the", "Berlin", "phone"]]
    target = Corpus.of(make_dataset(TOKEN_CLASSIFICATION, sentences, ["a"]))
    assert set(target.term_counts(corpus.entity_words)) == {"the"}
    texts = Corpus.of(make_dataset(SEQUENCE_CLASSIFICATION, ["The Berlin 3 @x"], ["a"]))
    assert set(texts.term_counts(frozenset())) == {"the", "berlin"}


def test_domains_without_terms_have_no_copies() -> None:
    dataset = reviews()
    edit = edit_for("domain_terms", dataset, 0.5, dataset)
    found = edited_rows(dataset, Corpus.of(dataset), edit, 2, (0,))
    assert len(found.dataset) == 0
    assert found.unchanged == 120
    assert found.dataset.features == dataset.features


def test_edits_that_cannot_be_made_say_why() -> None:
    with pytest.raises(ConfigError, match="needs a target domain"):
        edit_for("domain_terms", reviews())
    with pytest.raises(ConfigError, match="must be one of"):
        edit_for("translate", reviews())
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        row_edit("mask", 0.1, source=Corpus.of(reviews()), tokenizer=tokenizer)


@pytest.mark.parametrize("tagging", [False, True])
def test_kept_rows_come_back_as_they_were(tagging: bool, tmp_path: Path) -> None:
    dataset = news() if tagging else reviews()
    column = "tokens" if tagging else "text"
    values = list(dataset[column])
    values[0] = ["a\u2028b", "ü\r\n", "\ud83d"] if tagging else "a\u2028b ü\r\n \ud83d"
    labels = list(dataset["labels" if tagging else "label"])
    labels[0] = [0, 1, 2] if tagging else 1
    task = TOKEN_CLASSIFICATION if tagging else SEQUENCE_CLASSIFICATION
    odd = make_dataset(
        task, values[1:], list(dataset["row"])[1:], labels[1:], TAGS if tagging else NAMES
    )
    path = tmp_path / "augmented.jsonl"
    write_rows(path, "key", [odd, dataset], {"edit": "mask"})
    found = read_rows(path, "key", [dataset, dataset])
    assert found is not None
    (first, second), report = found
    assert first[:] == odd[:]
    assert second[:] == dataset[:]
    assert second.features == dataset.features
    assert report == {"edit": "mask"}
    assert read_rows(path, "other key", [dataset, dataset]) is None
    assert read_rows(tmp_path / "nowhere", "key", [dataset]) is None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[1]["source"] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["augmented.jsonl"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "header", "empty"])
def test_damaged_rows_count_as_missing(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "augmented.jsonl"
    write_rows(path, "key", [reviews()], {})
    content = path.read_text()
    path.write_text(
        {
            "flip": content.replace("film", "fiml", 1),
            "truncate": content[:-40],
            "header": "{}\n" + content,
            "empty": "",
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert read_rows(path, "key", [reviews()]) is None
    assert "augmented.jsonl: damaged" in caplog.text


def test_rows_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"augmented\.jsonl: cannot be written"):
        write_rows(tmp_path / "gone" / "augmented.jsonl", "key", [reviews()], {})
