"""Texts as Python holds them: read in order, or refused with the place of what is no text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset

from nlp_adapt.errors import DataError
from nlp_adapt.prediction.given_texts import read_texts
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import tag_texts, tag_words
from nlp_adapt.tasks.sequence_classification import SequenceClassification
from nlp_adapt.tasks.token_classification import TokenClassification
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.tiny_taggers import TAGS, tagger

TEXTS = ["ann saw bob", "rome", ""]
ROWS = Dataset.from_dict({"text": TEXTS})


@pytest.fixture(scope="module")
def classifier() -> Predictor:
    task = SequenceClassification(("negative", "positive"))
    return Predictor(tiny_model("bert"), tiny_tokenizer(), task)


@pytest.mark.parametrize(
    "given",
    [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=[7, 3, 7]),
        pd.Series(TEXTS, dtype="string"),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS]),
        ROWS["text"],
        ROWS.with_format("torch")["text"],
        ROWS.to_iterable_dataset()["text"],
        (text for text in TEXTS),
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_come_in_their_order(given: Any) -> None:
    texts = read_texts(given)
    assert texts == TEXTS
    assert {type(text) for text in texts} == {str}


def test_one_text_is_a_list_of_one(classifier: Predictor) -> None:
    (answer,) = classifier.predict("ann saw bob")
    assert answer == classifier.predict(["ann saw bob"])[0]
    answers, features = classifier.predict_with_features("ann saw bob")
    assert (len(answers), len(features)) == (1, 1)
    model, tokenizer = tagger("bert")
    predictor = Predictor(model, tokenizer, TokenClassification(TAGS))
    assert [found["text"] for found in predictor.predict("ann saw bob")] == ["ann saw bob"]
    assert [found.text for found in tag_texts(predictor, "ann saw bob")] == ["ann saw bob"]


def test_nothing_has_no_answers(classifier: Predictor) -> None:
    for nothing in ([], (), pd.Series([], dtype=str), np.array([], dtype=str)):
        assert classifier.predict(nothing) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"text": TEXTS}), r"a DataFrame holds columns.*rows\['text'\]"),
        (ROWS, "a Dataset holds columns"),
        (ROWS.to_iterable_dataset(), "a IterableDataset holds columns"),
        (pa.table({"text": TEXTS}), "a Table holds columns"),
        ({"text": TEXTS}, "a dict holds columns"),
        (["rome", None], r"texts\[1\] is None, which is no text: leave it out"),
        (pd.Series(["rome", np.nan]), r"texts\[1\] is nan"),
        (pd.Series(["rome", pd.NA], dtype="string"), r"texts\[1\] is <NA>"),
        ([{"text": "rome"}], r"texts\[0\] is \{'text': 'rome'\}"),
        ([["ann", "saw"]], r"texts\[0\] is \['ann', 'saw'\].*join its words with spaces"),
        ({"rome"}, "a set is no list of texts"),
        (b"rome", "a bytes is no list of texts"),
        (None, "a NoneType is no list of texts"),
    ],
)
def test_anything_else_is_refused_before_it_is_predicted(
    classifier: Predictor, given: Any, message: str
) -> None:
    for predict in (classifier.predict, classifier.predict_with_features):
        with pytest.raises(DataError, match=message):
            predict(given)
    with pytest.raises(DataError, match=message):
        tag_texts(classifier, given)


@pytest.mark.parametrize("sentences", [["ann saw"], "ann", [["ann", None]]])
def test_words_are_lists_of_words(classifier: Predictor, sentences: Any) -> None:
    with pytest.raises(DataError, match=r"sentences\[0\] is .*, but must be a list of words"):
        tag_words(classifier, sentences)
