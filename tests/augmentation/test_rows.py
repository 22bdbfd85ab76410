"""Edited copies of labelled rows: labels stay true, copies are the seed's, none is empty."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from nlp_adapt.augmentation.rows import RowEditor
from nlp_adapt.config import EDITS
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.data.tagging import find_ill_formed
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from tests.helpers.tiny_batches import VOCABULARY, make_tokenizer, model_that_expects
from tests.helpers.word_grids import WORD

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


def editor_for(kind: str, dataset: Any, rate: float = 0.4, target: Any = None) -> RowEditor:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(VOCABULARY), 8)).astype(np.float32)
    alike = (("film", "phone", "cheap"), ("plot", "screen", "solid"), ("actor", "battery"))
    for words in alike:
        embeddings[[VOCABULARY.index(word) for word in words]] = rng.normal(size=8)
    return RowEditor(
        kind,
        rate,
        [dataset],
        [] if target is None else [target],
        tokenizer=make_tokenizer(),
        embeddings=torch.from_numpy(embeddings),
        language_model=model_that_expects("phone", "screen", "dull", "is"),
    )


def made(
    kind: str, dataset: Any, copies: int = 2, seed: int = 1, **options: Any
) -> tuple[list[dict[str, Any]], Any]:
    target = reviews(("phone", "screen", "battery"), 90)
    if "tokens" in dataset.column_names:
        words = ("cheap", "solid", "phone")
        sentences = [["the", words[i % 3], "Berlin", FILLER[i % 8]] for i in range(200)]
        target = make_dataset(TOKEN_CLASSIFICATION, sentences, [str(i) for i in range(200)])
    return editor_for(kind, dataset, target=target, **options).copies(copies, (seed, 7))


def origin(row: str) -> str:
    return row.partition(",")[0]


@pytest.mark.parametrize("kind", EDITS)
def test_copies_keep_their_labels_and_are_neither_empty_nor_unchanged(kind: str) -> None:
    dataset = reviews()
    rows, counts = made(kind, dataset)
    originals = {row["row"]: row for row in dataset}
    assert len(rows) + counts["unchanged"] == 2 * len(dataset)
    assert len(rows) > 60
    assert 0 < counts["edited"] <= counts["words"]
    for row in rows:
        before = originals[origin(row["row"])]
        assert row["source"] == 0
        assert row["label"] == NAMES[before["label"]]
        assert row["text"].strip()
        assert row["text"] != before["text"]
        assert row["text"].count(",") == before["text"].count(",")
    assert "x:1, copy 1" not in [row["row"] for row in rows]  # "..." has no word


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("tagging", [False, True])
def test_copies_are_a_function_of_the_seed(kind: str, tagging: bool) -> None:
    dataset = news() if tagging else reviews()
    one, same, other = (made(kind, dataset, seed=seed)[0] for seed in (1, 1, 2))
    assert one == same
    assert one != other or (tagging and kind == "domain_terms")  # one term a row, one substitute
    first, _ = made(kind, dataset, copies=1)
    assert first == one[: len(first)]


@pytest.mark.parametrize("kind", EDITS)
def test_in_tagging_entities_and_their_tags_stay(kind: str) -> None:
    dataset = news()
    rows, _ = made(kind, dataset)
    originals = {row["row"]: row for row in dataset}
    names = {"phone", "screen", "battery", "paris", "hill", "berlin"}
    assert len(rows) > 40
    for row in rows:
        before = originals[origin(row["row"])]
        tags = [TAGS[tag] for tag in before["labels"]]
        assert len(row["tokens"]) == len(row["labels"]) > 0
        assert not find_ill_formed(row["labels"])
        kept = [
            [pair for pair in zip(words, labels, strict=True) if pair[1] != "O"]
            for words, labels in ((row["tokens"], row["labels"]), (before["tokens"], tags))
        ]
        assert kept[0] == kept[1]
        pairs = zip(row["tokens"], row["labels"], strict=True)
        assert not names & {word.casefold() for word, tag in pairs if tag == "O"}
        if kind not in ("delete", "swap"):
            assert row["labels"] == tags
    assert "n:120, copy 1" not in [row["row"] for row in rows]  # nothing but an entity


def test_labels_follow_the_words_that_move_or_go() -> None:
    tokens, tags = [["we", "met", "Paris", "and", "left"]], [[0, 0, 3, 0, 0]]
    dataset = make_dataset(TOKEN_CLASSIFICATION, tokens, ["a"], tags, TAGS)
    for kind in ("delete", "swap"):
        editor = RowEditor(kind, 0.1, [dataset])
        for seed in range(20):
            ((words, positions),) = editor.edited_words((seed,))
            assert words == [tokens[0][position] for position in positions]
            assert words != tokens[0]
            (row,), _ = editor.copies(1, (seed,))
            assert row["labels"][row["tokens"].index("Paris")] == "B-PER"


def test_terms_of_the_source_become_terms_of_the_target_and_are_written_alike() -> None:
    dataset, target = reviews(rows=200), reviews(("phone", "screen", "battery"), 200)
    upper = dataset.map(lambda row: {"text": row["text"].replace("film", "FILM")})
    partner = {"film": "phone", "plot": "screen", "actor": "battery", "FILM": "PHONE"}
    for own in (dataset, upper):
        rows, _ = editor_for("domain_terms", own, 1.0, target).copies(1, (0,))
        right = wrong = 0
        for row in rows:
            before = own["text"][int(origin(row["row"]).removeprefix("x:"))]
            for old, new in zip(before.split(), row["text"].split(), strict=True):
                if old.strip(".,") in partner:
                    right += new.strip(".,") == partner[old.strip(".,")]
                    wrong += new.strip(".,") in partner
                else:
                    assert old == new
        assert wrong == 0
        assert right > 300


def test_capitalised_words_and_entity_words_are_no_terms_in_tagging() -> None:
    sentences = [["the", "Berlin", "phone"]] * 9
    target = make_dataset(TOKEN_CLASSIFICATION, sentences, [str(i) for i in range(9)])
    editor = editor_for("domain_terms", news(), 0.5, target)
    assert set(editor.ids) - {word for text in editor.texts for word in text.words} <= {"the"}
    terms = {word for word, number in editor.ids.items() if editor.edit.term[number] >= 0}
    assert terms <= {*FILLER, "film", "plot"}


def test_domains_without_terms_have_no_copies() -> None:
    dataset = reviews()
    rows, counts = editor_for("domain_terms", dataset, 0.5, dataset).copies(2, (0,))
    assert rows == []
    assert counts["unchanged"] == 120


def test_infill_edits_single_tokens_within_the_longest_input() -> None:
    texts = ["The films was good", "...", "good film was the plot is bad", "Good"]
    dataset = make_dataset(SEQUENCE_CLASSIFICATION, texts, list("abcd"), [0] * 4, NAMES)
    model = model_that_expects("phone", "screen")
    options = {"tokenizer": make_tokenizer(), "language_model": model, "max_length": 6}
    editor = RowEditor("infill", 1.0, [dataset], **options)
    editor.edit.rewritable[[WORD["the"], WORD["good"]]] = True  # though they are the most frequent
    made = [words for words, _ in editor.edited_words((0,))]
    assert made[0][:2] == ["The", "films"]  # unknown to the model, and two pieces
    assert made[1] == ["..."]
    assert not set(made[2][:4]) & {"good", "film", "was", "the"}
    assert made[2][4:] == ["plot", "is", "bad"]
    assert made[3] == ["Good"]  # a capital makes it unknown


def test_edits_that_cannot_be_made_say_why() -> None:
    with pytest.raises(ConfigError, match="needs a target domain"):
        editor_for("domain_terms", reviews())
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        RowEditor("mask", 0.1, [reviews()], tokenizer=tokenizer)
    dataset = make_dataset(SEQUENCE_CLASSIFICATION, ["..."], ["a"], [0], NAMES)
    with pytest.raises(ConfigError, match="words that may be drawn"):
        RowEditor("replace", 0.1, [dataset])
