"""`evaluate` and `predict` take a domain, a Dataset, a data frame or a list, as Trainer's users expect."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from nlp_adapt.errors import AdaptationError
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import tag_words
from nlp_adapt.tasks import TASKS
from nlp_adapt.training.trainer_api.given import evaluate_given, predict_given
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain

TEXTS = [
    f"{WORDS[30]} {WORDS[0]}",
    f"{WORDS[31]} {WORDS[1]}",
    f"{WORDS[32]} {WORDS[0]} {WORDS[21]}",
]
LABELS = ["negative", "positive", "positive"]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]


def count(metrics):
    """How many rows were scored."""
    return int(np.sum(metrics["confusion_matrix"]))


@pytest.fixture(scope="module")
def predictor():
    return Predictor(tiny_model("bert"), tiny_tokenizer(), TASKS["sequence-classification"](NAMES))


@pytest.fixture(scope="module")
def tagger():
    names = ("O", "B-PER", "I-PER")
    model = tiny_model("bert", task="TokenClassification", labels=names)
    return Predictor(model, tiny_tokenizer(), TASKS["token-classification"](names))


HOLDERS = {
    "list of texts": TEXTS,
    "tuple": tuple(TEXTS),
    "series": pd.Series(TEXTS),
    "list of dicts": ROWS,
    "data frame": pd.DataFrame(ROWS, index=[7, 7, 7]),
    "dataset": Dataset.from_list(ROWS),
    "formatted dataset": Dataset.from_list(ROWS).with_format("numpy"),
    "other column": Dataset.from_dict({"review": TEXTS, "stars": [1, 2, 3]}),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_rows_are_labelled_in_order_whatever_holds_them(predictor, holder):
    assert predict_given(predictor, HOLDERS[holder]) == predictor.predict(TEXTS)


def test_a_row_without_words_keeps_its_place(predictor):
    answers = predict_given(predictor, [{"text": TEXTS[0]}, {"text": ""}, {"text": TEXTS[1]}])
    assert [answers[0], answers[2]] == predictor.predict(TEXTS[:2])


def test_of_a_domain_the_test_rows_are_labelled_or_the_split_that_is_named(predictor):
    domain = toy_domain("reviews", 30)
    answers = predict_given(predictor, domain)
    assert answers == predictor.predict(domain.test["text"][:])
    assert len(predict_given(predictor, domain, "train")) == len(domain.train)
    assert len(predict_given(predictor, toy_domain("tweets", 50, labelled=False))) == 24


@pytest.mark.parametrize(
    ("data", "split", "said"),
    [
        (3, None, "a int is no list of texts"),
        (None, None, "a NoneType is no list of texts"),
        ([TEXTS[0], 7], None, r"texts\[1\] is 7"),
        (pd.DataFrame({"stars": [1]}), None, "no column that looks like text"),
        ([{"text": TEXTS[0]}, {"text": None}], None, "rows:1 has nothing in 'text'"),
        (DatasetDict(test=Dataset.from_list(ROWS)), None, "give one of test"),
        (ROWS, "test", "split is for a Domain"),
        (toy_domain("reviews", 30), "validation", "choose one of train, test"),
    ],
)
def test_what_cannot_be_labelled_is_one_sentence(predictor, data, split, said):
    with pytest.raises(AdaptationError, match=said):
        predict_given(predictor, data, split)


def test_words_of_a_dataset_stay_as_they_are_split(tagger):
    words = [text.split() for text in TEXTS]
    expected = [one.to_dict() for one in tag_words(tagger, words)]
    assert predict_given(tagger, Dataset.from_dict({"tokens": words})) == expected
    assert predict_given(tagger, words) == expected
    assert predict_given(tagger, pd.DataFrame({"text": TEXTS})) == tagger.predict(TEXTS)


@pytest.mark.parametrize("holder", ["list of dicts", "data frame", "dataset", "formatted dataset"])
def test_rows_with_labels_are_scored(predictor, holder):
    metrics = evaluate_given(predictor, HOLDERS[holder])
    answers = [one["label"] for one in predictor.predict(TEXTS)]
    right = sum(a == b for a, b in zip(answers, LABELS, strict=True))
    assert metrics["accuracy"] == pytest.approx(right / 3, abs=1e-6)
    assert count(metrics) == 3


def test_of_a_domain_the_test_rows_are_scored_and_of_a_dict_each(predictor):
    domain = toy_domain("reviews", 30)
    found = evaluate_given(predictor, {"reviews": domain, "rows": ROWS})
    assert [*map(count, found.values())] == [9, 3]
    assert count(evaluate_given(predictor, domain, "train")) == 24
    saved = DatasetDict(train=Dataset.from_list(ROWS), test=Dataset.from_list(ROWS[:1]))
    assert count(evaluate_given(predictor, saved)) == 1


def test_labels_are_read_by_the_map_of_the_run(predictor):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, "010", strict=True)]
    mapping = {"0": "negative", "1": "positive", "2": "positive"}
    assert count(evaluate_given(predictor, rows, label_map=mapping)) == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (3, "int cannot be read as a domain"),
        ([], "the list is empty"),
        (TEXTS, "has no labelled rows to score"),
        (Dataset.from_dict({"text": TEXTS, "label": ["a", "b", "a"]}), "labels that are not among"),
        (toy_domain("tweets", 50, labelled=False), "has no labelled rows to score"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(predictor, data, said):
    with pytest.raises(AdaptationError, match=said):
        evaluate_given(predictor, data)


def test_a_domain_of_another_task_is_refused(tagger):
    for ask in (evaluate_given, predict_given):
        with pytest.raises(AdaptationError, match="was read for sequence-classification"):
            ask(tagger, toy_domain("reviews", 30))
