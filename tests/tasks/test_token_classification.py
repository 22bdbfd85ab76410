"""Token classification: encoding, decoding, scores, and agreement with the plain pipeline."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import pipeline

from nlp_adapt.data.tagging import find_ill_formed
from nlp_adapt.errors import DataError
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import join_words, tag_texts, tag_words, with_tags
from nlp_adapt.tasks import TASKS
from nlp_adapt.tasks.token_classification import TokenClassification
from tests.helpers.tiny_taggers import FAMILIES, TAGS, tagger


def labelled(
    sentences: list[list[str]], tags: list[list[str]], names: tuple[str, ...] = TAGS
) -> Dataset:
    label = List(ClassLabel(names=list(names)))
    return Dataset.from_dict(
        {"tokens": sentences, "labels": [[names.index(tag) for tag in row] for row in tags]},
        Features({"tokens": List(Value("string")), "labels": label}),
    )


def logits_for(tags: list[str], names: tuple[str, ...] = TAGS) -> np.ndarray:
    return 5.0 * np.eye(len(names), dtype=np.float32)[[names.index(tag) for tag in tags]]


def test_it_is_registered() -> None:
    task = TASKS["token-classification"](TAGS)
    assert task.units_are_words
    assert task.outside == 0
    assert TokenClassification(("B-X", "I-X", "O")).outside == 2


def test_tags_without_o_are_refused() -> None:
    with pytest.raises(DataError, match="lack 'O'"):
        TokenClassification(("B-PER", "I-PER"))


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_matched_by_name_and_sit_on_first_pieces(family: str) -> None:
    _, tokenizer = tagger(family)
    names = ("I-per", "B-per", "B-XYZ", "O")  # another order, another case, a type of its own
    dataset = labelled([["anna", "\u200b", "rex"], [], ["xyz"]], [["B-per", "O", "I-per"], [], ["B-XYZ"]], names)  # fmt: skip
    rows = TokenClassification(TAGS).encode(dataset, tokenizer, 16)
    by_word = dict(zip(rows.words.tolist(), rows.labels.tolist(), strict=True))
    if family == "bert":  # a zero-width space vanishes here; byte-level BPE keeps it
        assert by_word == {0: 3, 2: 4, 3: -100}
    else:
        assert by_word == {0: 3, 1: 0, 2: 4, 3: -100}
    assert rows.total_words == 4


def test_rows_without_labels_are_encoded_without() -> None:
    dataset = Dataset.from_dict({"tokens": [["a", "b"]]})
    rows = TokenClassification(TAGS).encode(dataset, tagger("bert")[1], 16)
    assert rows.labels.tolist() == [-100, -100]


def test_scores_count_every_word_also_those_that_vanish() -> None:
    task = TokenClassification(TAGS)
    dataset = labelled([["anna", "\u200b"], ["\u200b"]], [["B-PER", "O"], ["B-LOC"]])
    rows = task.encode(dataset, tagger("bert")[1], 16)
    metrics = task.metrics(logits_for(["B-PER"]), rows, dataset)
    assert metrics["support"] == 2
    assert (metrics["precision"], metrics["recall"]) == (1.0, 0.5)
    assert metrics["per_type"]["LOC"]["recall"] == 0.0


def conlleval_spans(tags: tuple[str, ...]) -> set[tuple[int, int, str]]:
    """Entities as conlleval.pl reads them: an I- of another type, or after O, begins one."""
    spans, first = set(), 0
    kinds = [(tag[:1], tag[2:]) for tag in tags]
    for place, (prefix, kind) in enumerate(kinds):
        before = kinds[place - 1] if place else ("O", "")
        if prefix == "B" or (prefix == "I" and kind != before[1]):
            first = place
        after = kinds[place + 1] if place + 1 < len(kinds) else ("O", "")
        if prefix != "O" and (after[0] != "I" or after[1] != kind):
            spans.add((first, place + 1, kind))
    return spans


def test_a_stray_inside_tag_is_read_alike_in_scores_and_in_output() -> None:
    """All sequences of up to four tags: what is scored is what a user gets, as conlleval reads it."""
    task, (_, tokenizer) = TokenClassification(TAGS), tagger("bert")
    words = ["anna", "rex", "leo", "anna"]
    for length in range(1, 5):
        sentence = words[:length]
        rows = task.encode(Dataset.from_dict({"tokens": [sentence]}), tokenizer, 16)
        for tags in product(TAGS, repeat=length):
            logits = logits_for(list(tags))
            (tagged,) = with_tags([join_words(sentence)], task.tag(logits, rows, [length]))
            found = {(one.first_word, one.end_word, one.type) for one in tagged.entities}
            assert found == conlleval_spans(tags), tags
            scored = task.metrics(logits, rows, labelled([sentence], [tagged.tags]))
            assert scored["support"] == len(found)
            assert (scored["f1"], scored["lenient"]["f1"]) == (float(bool(found)),) * 2, tags


def test_types_that_the_model_lacks_count_as_missed_and_are_named() -> None:
    task = TokenClassification(TAGS)
    names = ("O", "B-per", "I-per", "B-ORG", "I-ORG")
    dataset = labelled([["anna", "acme"]], [["B-per", "B-ORG"]], names)
    rows = task.encode(dataset, tagger("bert")[1], 16)
    metrics = task.metrics(logits_for(["B-PER", "O"]), rows, dataset)
    assert metrics["recall"] == 0.5
    assert metrics["covered_types"] == ["PER"]  # spelled as the model spells it
    assert metrics["uncovered_types"] == ["ORG"]
    assert metrics["model_only_types"] == ["LOC"]


def test_entities_of_the_training_rows_are_told_from_new_ones() -> None:
    task = TokenClassification(TAGS)
    dataset = labelled([["anna", "rex"]], [["B-PER", "B-LOC"]])
    rows = task.encode(dataset, tagger("bert")[1], 16)
    logits = logits_for(["B-PER", "O"])
    assert "novelty" not in task.metrics(logits, rows, dataset)
    task.remember(labelled([["Anna"]], [["B-PER"]]))
    novelty = task.metrics(logits, rows, dataset)["novelty"]
    assert novelty["seen"]["recall"] == 1.0
    assert novelty["unseen"]["recall"] == 0.0


def test_rows_without_tags_cannot_be_scored() -> None:
    task = TokenClassification(TAGS)
    dataset = Dataset.from_dict({"tokens": [["a"]]})
    rows = task.encode(dataset, tagger("bert")[1], 16)
    with pytest.raises(DataError, match="no tags"):
        task.metrics(logits_for(["O"]), rows, dataset)


def test_a_tag_has_its_softmax_probability() -> None:
    task = TokenClassification(("O", "B-X"))
    rows = task.encode(Dataset.from_dict({"tokens": [["a", "\u200b"]]}), tagger("bert")[1], 16)
    ((first, vanished),) = task.tag(np.array([[0.0, np.log(3.0)]]), rows, [2])
    assert first == ("B-X", pytest.approx(0.75))
    assert vanished == ("O", 1.0)


def predictor_of(family: str) -> Predictor:
    model, tokenizer = tagger(family)
    return Predictor(model, tokenizer, TokenClassification(TAGS), max_length=12)


STRANGE_WORDS = st.one_of(
    st.sampled_from(["a", "anna", "", "\u200b", "\x00", "é", "👍🏽", "x" * 120]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(sentences=st.lists(st.lists(STRANGE_WORDS, max_size=12), max_size=4))
def test_every_word_gets_one_well_formed_tag(family: str, sentences: list[list[str]]) -> None:
    tagged = tag_words(predictor_of(family), sentences)
    assert [text.words for text in tagged] == sentences
    for text in tagged:
        assert len(text.tags) == len(text.scores) == len(text.words)
        assert set(text.tags) <= set(TAGS)
        assert find_ill_formed(text.tags) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_neighbour_changes_nothing(family: str) -> None:
    words = ["a", "rex", "b", "anna"]
    (alone,) = tag_words(predictor_of(family), [words])
    long, beside, empty = tag_words(predictor_of(family), [["c"] * 40, words, []])
    assert beside.tags == alone.tags
    assert beside.scores == pytest.approx(alone.scores, abs=1e-5)
    assert len(long.tags) == 40
    assert empty.tags == []


@pytest.mark.parametrize("family", FAMILIES)
def test_the_plain_pipeline_finds_the_same_entities(family: str) -> None:
    model, tokenizer = tagger(family)
    predictor = Predictor(model, tokenizer, TokenClassification(TAGS))
    texts = ["a b c d e f", "x y a k l", "q w e r t y", "z a q m n b c"]  # one piece a word
    tagger_pipeline: Any = pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple"
    )
    found = 0
    for text, tagged in zip(texts, tag_texts(predictor, texts), strict=True):
        expected = [(e["entity_group"], e["start"], e["end"]) for e in tagger_pipeline(text)]
        assert [(e.type, e.start, e.end) for e in tagged.entities] == expected
        found += len(expected)
    assert found > 3


def test_models_are_chosen_by_spans_not_by_tags() -> None:
    """Half of the tags are right, and no entity is."""
    task = TASKS["token-classification"](TAGS)
    rows = labelled([["anna", "lee"]], [["B-PER", "I-PER"]])
    encoded = task.encode(rows, tagger("bert")[1], 16)
    assert task.source_quality(logits_for(["B-PER", "O"]), encoded)[0] == 0.0
    assert task.source_quality(logits_for(["B-PER", "I-PER"]), encoded)[0] == 1.0
    assert task.source_quality(logits_for(["I-PER", "I-PER"]), encoded)[0] == 1.0
