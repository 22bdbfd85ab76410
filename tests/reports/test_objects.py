"""Objects that users gave to other tools in Python, by the public report that tells of them."""

import json

import numpy as np
import pandas as pd
import pytest

from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError
from nlp_adapt.prediction.given_texts import read_texts
from nlp_adapt.training.inputs.few_shot import few_shot_domains
from tests.helpers.trainers import NAMES, toy_domain


def labels_of(given):
    domain = load_domain(given, test_fraction=0.0)
    labelled = zip(domain.train["text"], domain.train["label"], strict=True)
    unlabelled = domain.unlabelled["text"] if domain.unlabelled else ()
    return {text: domain.label_names[i] for text, i in labelled}, [*unlabelled]


@pytest.mark.parametrize(
    ("given", "labels", "unlabelled"),
    [
        pytest.param(
            [{"text": "a b", "label": np.int64(1)}, {"text": "c", "label": np.int64(0)}],
            {"a b": "1", "c": "0"},
            [],
            id="huggingface/sentence-transformers#418",
        ),
        pytest.param(
            [{"text": "a b", "label": pd.NA}, {"text": "c", "label": "x"}, {"text": pd.NA}],
            {"c": "x"},
            ["a b"],
            id="deepchecks/deepchecks#2653",
        ),
        pytest.param(
            pd.DataFrame({"text": ["a b", "c", pd.NA], "label": ["x", pd.NA, "y"]}),
            {"a b": "x"},
            ["c"],
            id="mljar/mljar-supervised#253",
        ),
    ],
)
def test_what_is_missing_is_no_label_and_no_text(given, labels, unlabelled):
    assert labels_of(given) == (labels, unlabelled)


def test_a_column_may_lack_texts():
    domain = load_domain(pd.Series(["a b", None, pd.NA, float("nan"), "c"]))
    assert domain.unlabelled["text"][:] == ["a b", "c"]
    assert "3 empty rows" in domain.notes[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param(
            [("a b", "pos"), ("c", "neg")],
            r'item 0 of the list is a tuple of bare values.*"label"',
            id="tuples",
        ),
        pytest.param(
            (["a b", "c"], [1, 0]),
            "item 0 of the list is a list of bare values",
            id="texts-and-labels",
        ),
        pytest.param(
            pd.DataFrame({"text": ["a", 230]}),
            r"column text.*give each column one type",
            id="apache/arrow#40926",
        ),
        pytest.param(
            pd.DataFrame({"sentence_id": [0, 0], "words": ["Jo", "is"], "labels": ["B-PER", "O"]}),
            r"has words \(words\).*set task to token-classification",
            id="ThilinaRajapakse/simpletransformers#837",
        ),
    ],
)
def test_what_tells_no_rows_is_refused(given, sentence):
    with pytest.raises(DataError, match=sentence):
        load_domain(given)


def test_a_list_of_lists_of_files_stays_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name} text\n")
    parts = [[str(tmp_path / "a.txt")], [str(tmp_path / "b.txt")]]
    assert load_domain(parts).unlabelled["text"][:] == ["a text", "b text"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param([["a b"]], "join its words", id="MilaNLProc/feel-it#1"),
        pytest.param(
            pd.DataFrame({"text": ["a"]}),
            "give the column",
            id="Lightning-Universe/lightning-flash#846",
        ),
        pytest.param([float("nan")], "leave it out", id="nan"),
    ],
)
def test_texts_to_predict_are_texts(given, sentence):
    with pytest.raises(DataError, match=sentence):
        read_texts(given)


def test_a_number_of_numpy_is_a_number():
    released = few_shot_domains(np.int64(2), (toy_domain("t", 3),), NAMES, 1, load_domain)
    assert json.dumps(len(released["t"].train)) == "4"
