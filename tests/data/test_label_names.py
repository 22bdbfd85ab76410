"""Labels and tags as people write them: read as they are, or refused with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.data.label_proposal import propose_label_map
from nlp_adapt.data.label_spaces import kinds_of, match_labels, what_was_read
from nlp_adapt.data.labels import LabelMap
from nlp_adapt.data.loading import load_domain, load_labelled
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import TASKS, TOKEN_CLASSIFICATION, counted

MISSING_WORDS = ("null", "nan", "none", "NA", "n/a")
STARS = {"<3": "negative", "3": "neutral", ">3": "positive"}


def rows(*labels: Any, count: int = 30) -> list[dict[str, Any]]:
    return [{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(count)]


def read(data: Any, **options: Any) -> Any:
    return load_domain(data, test_fraction=0, **options)


def tagged(path: Path, *tags: str, **options: Any) -> Any:
    path.write_text("".join(f"w{i} {tag}\n" for i, tag in enumerate(tags)) + "\n")
    return read(path, task=TOKEN_CLASSIFICATION, **options)


# Classes that are called as a missing value is


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_a_class_may_be_called_null(word: str) -> None:
    domain = read(rows(word, "other"))
    assert sorted(domain.label_names) == sorted([word, "other"])
    assert domain.unlabelled is None
    assert read([{"text": "a", "label": float("nan")}, *rows("x")]).unlabelled is not None


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_a_file_of_text_must_say_what_null_means(word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + f"one,good\ntwo,{word}\nthree,bad\n" * 5)
    with pytest.raises(DataError, match=rf"a\.csv:3 has the label {word} .*label_map to"):
        read(path)
    assert word in read(path, label_map={word: word}).label_names
    domain = read(path, label_map={word: ""})
    assert (len(domain.train), len(domain.unlabelled)) == (10, 5)
    assert len(read(path, label_map={word: "ignore"}).train) == 10


def test_a_class_called_ignore_does_not_vanish() -> None:
    with pytest.raises(DataError, match=r"rows:0 has the label ignore .*ignore: ignored"):
        read(rows("ignore", "answer", "ask"))
    domain = read(rows("ignore", "answer"), label_map={"ignore": "ignored"})
    assert domain.label_names == ("answer", "ignored")
    assert len(read(rows("ignore", "a", "b"), label_map={"ignore": "ignore"}).train) == 20
    assert read(rows("a", "b", "c"), label_map={"c": "Ignore"}).label_names == ("a", "b")


def test_nor_does_such_a_type(tmp_path: Path) -> None:
    names = tagged(tmp_path / "a.conll", "B-ignore", "O", "B-PER").label_names
    assert {"B-ignore", "B-PER"} <= set(names)


# Tags of other forms than X-TYPE


@pytest.mark.parametrize(
    ("tags", "proposed"),
    [
        ("O B I O", "{B: B-ENTITY, I: I-ENTITY}"),
        ("B_PER I_PER O", "{B_PER: B-PER, I_PER: I-PER}"),
        ("b-per i-per o", "{b-per: B-per, i-per: I-per, o: O}"),
        ("PER-B PER-I O", "{PER-B: B-PER, PER-I: I-PER}"),
        ("0 1 2", '{"0": O, "1": B-PER}'),
        ("NOUN VERB DET", "{NOUN: O}"),
        ("_ PER PER", "{_: O}"),
    ],
)
def test_tags_of_another_form_are_refused_with_a_map(
    tags: str, proposed: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"a\.conll:\d: the tag .* X-TYPE") as caught:
        tagged(tmp_path / "a.conll", *tags.split())
    assert re.sub('"_"', "_", str(caught.value)).endswith(f"label_map: {proposed}")


def test_a_map_names_whole_tags(tmp_path: Path) -> None:
    label_map = {"b-per": "B-PER", "i-per": "I-PER", "o": "O"}
    domain = tagged(tmp_path / "a.conll", "b-per", "i-per", "o", label_map=label_map)
    names = domain.label_names
    assert [names[i] for i in domain.train["labels"][0]] == ["B-PER", "I-PER", "O"]


@pytest.mark.parametrize("kind", ["geo-loc", "e-mail", "PER", "event"])
def test_types_without_prefixes_stay_types(kind: str, tmp_path: Path) -> None:
    assert kinds_of(tagged(tmp_path / "a.conll", kind, kind, "O")) == (kind,)


# Label maps


@pytest.mark.parametrize("stars_first", [True, False])
@pytest.mark.parametrize(
    ("ratings", "words", "proposed"),
    [
        ((1, 2, 3, 4, 5), ("negative", "neutral", "positive"), STARS),
        ((1, 2, 3, 4, 5), ("pos", "neg"), {"<3": "neg", "3": "ignore", ">3": "pos"}),
        ((1, 2, 4, 5), ("negative", "positive"), {"<3": "negative", ">3": "positive"}),
        ((0, 4), ("negative", "positive"), {"<2": "negative", ">2": "positive"}),
        ((-1, 0, 1), ("negative", "positive"), {"<0": "negative", "0": "ignore", ">0": "positive"}),
        ((1, 2, 3), ("joy", "anger"), {}),
        ((1, 2, 3), ("0", "1"), {}),
    ],
)
def test_ratings_beside_words_are_cut_in_the_middle(
    ratings: tuple[int, ...], words: tuple[str, ...], proposed: dict[str, str], stars_first: bool
) -> None:
    sides = [tuple(map(str, ratings)), words]
    assert propose_label_map(*(sides if stars_first else sides[::-1])) == proposed
    if proposed:
        data = [rows(*ratings, count=40), rows(*words, count=40)]
        label_map = LabelMap(proposed)
        domains = [read(one, label_map=label_map) for one in data]
        match_labels(*(domains if stars_first else domains[::-1]))
        label_map.refuse_unmet("either")


def test_a_word_that_no_rating_stands_for_is_left_out() -> None:
    proposed = propose_label_map(["1", "2"], ["negative", "neutral", "positive"])
    assert proposed == {"<1.5": "negative", ">1.5": "positive", "neutral": "ignore"}


def test_nothing_is_proposed_where_no_name_tells() -> None:
    assert propose_label_map(["joy", "anger"], ["sport", "politics"]) == {}
    assert propose_label_map(["PER"], ["PER", "movie"]) == {"movie": "ignore"}
    with pytest.raises(DataError, match=r"Say what they mean with label_map\.$"):
        match_labels(read(rows("joy", "anger")), read(rows("sport", "politics")))


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"postive": "good"}, '"postive" is no label of rows.*did you mean "positive"'),
        ({"negative": "bad", "positiv": "bad"}, 'did you mean "positive"'),
        ({"xyz": "good"}, '"xyz" is no label of rows .negative, positive.: write one of these'),
        ({"<3": "bad", ">3": "good"}, '"<3" is no label'),
    ],
)
def test_keys_that_name_nothing_are_refused(label_map: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(rows("negative", "positive"), label_map=label_map)


def test_misspelt_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'"persn" is no label of a .*did you mean "person"'):
        tagged(tmp_path / "a.conll", "B-person", "O", label_map={"persn": "PER"})


@pytest.mark.parametrize(
    ("labels", "label_map"),
    [
        (("negative", "positive"), {"neg": "negative", "pos": "positive"}),  # the other domain's
        ((1, 1), {"0": "negative", "1": "positive"}),  # a file that lacks a class
        ((5, 1), STARS),  # one that lacks a rating
        (("a", "b"), {"A": "x", "B ": "y"}),
        ((None, None), {"a": "b"}),
    ],
)
def test_a_map_may_be_shared(labels: tuple[Any, ...], label_map: dict[str, str]) -> None:
    read(rows(*labels), label_map=label_map)


# What is said of what was read


def test_a_fault_of_the_labels_is_not_hidden_by_text_that_can_be_read() -> None:
    data = [{"text": "a", "stars": 1, "class": "x"}, {"text": "b", "stars": 2, "class": "y"}]
    for tasks in (TASKS, TASKS[::-1]):
        with pytest.raises(DataError, match="several columns that may be meant: stars, class"):
            load_labelled(data, tasks)
    words = [{"tokens": ["a"]}, {"tokens": ["b"]}]
    assert load_labelled(words, TASKS).label_names is None


def test_columns_and_classes_are_told() -> None:
    data = [{"review": f"r{i}", "stars": i % 3} for i in range(6)]
    assert what_was_read(read(data)) == 'columns review and stars; 2 "0", 2 "1", 2 "2"'
    assert what_was_read(read(["just text", "and more"])) == "column text, no labels"


def test_labels_of_texts_are_not_said_to_be_missing_where_words_are_tagged(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("text,label\na b,x\nc d,y\n")
    domain = load_domain(tmp_path, task=TOKEN_CLASSIFICATION)
    assert domain.notes == (f"2 test rows of {tmp_path.name} without tags were left out.",)


def test_one_is_not_many() -> None:
    assert [counted(n, "note") for n in (0, 1, 2_000)] == ["0 notes", "1 note", "2,000 notes"]
    assert (counted(2, "entity"), counted(2, "class")) == ("2 entities", "2 classes")


def test_a_key_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="label_map: x has no value"):
        LabelMap({"x": None})


def test_rows_of_single_words_are_no_sentences(tmp_path):
    path = tmp_path / "kaggle.csv"
    rows = "".join(f"{one}\n" for one in ("1,Ann,B-per", ",went,O", ",to,O", ",Rome,B-geo"))
    path.write_text(f"Sentence #,Word,Tag\n{rows}")
    columns = {"text_column": "Word", "label_column": "Tag"}
    with pytest.raises(DataError, match="one word in each row"):
        load_domain(path, task=TOKEN_CLASSIFICATION, **columns)
