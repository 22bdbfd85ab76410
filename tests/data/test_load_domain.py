"""References, columns, labels and splits, through `load_domain`."""

import gzip
import json
import random

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from nlp_adapt.data.domain import split_by_hash
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError

NER = "token-classification"


def rows(n, label=lambda i: ["neg", "pos"][i % 2]):
    return [{"text": f"text number {i}", "label": label(i)} for i in range(n)]


def write_jsonl(path, records):
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def names_of(dataset):
    return [dataset.features["label"].int2str(i) for i in dataset["label"]]


def by_text(domain):
    found = {}
    for split in ("train", "test"):
        dataset = getattr(domain, split)
        if dataset is not None:
            found.update(zip(dataset["text"], names_of(dataset), strict=True))
    return found


def test_a_file_becomes_train_and_test(tmp_path):
    domain = load_domain(write_jsonl(tmp_path / "mine.jsonl", rows(50)))
    assert (domain.name, domain.label_names) == ("mine", ("neg", "pos"))
    assert (len(domain.train), len(domain.test)) == (40, 10)
    assert domain.unlabelled is None
    assert domain.train.column_names == ["text", "row", "label"]
    line = int(domain.train[0]["row"].removeprefix("mine.jsonl:"))
    assert domain.train[0]["text"] == f"text number {line - 1}"


def test_the_split_depends_on_neither_order_nor_machine_and_keeps_duplicates_together():
    data = [*rows(60), *rows(30), *rows(30)]
    first = load_domain(data)
    shuffled = random.Random(1).sample(data, len(data))
    second = load_domain(shuffled)
    assert sorted(first.test["text"]) == sorted(second.test["text"])
    assert not set(first.train["text"]) & set(first.test["text"])
    assert len(first.test) == pytest.approx(0.2 * len(data), abs=3)
    assert set(load_domain(data, seed=7).test["text"]) != set(first.test["text"])
    assert [i for i, c in enumerate(split_by_hash("abcdefgh", 0.25, 42)) if c] == [1, 7]


@pytest.mark.parametrize(("fraction", "train", "test"), [(0.0, 10, None), (1.0, None, 10)])
def test_test_fraction_of_nothing_and_everything(fraction, train, test):
    domain = load_domain(rows(10), test_fraction=fraction)
    sizes = [None if part is None else len(part) for part in (domain.train, domain.test)]
    assert sizes == [train, test]


def test_folder_prefix_and_merge(tmp_path):
    for name in ("books", "dvd"):
        write_jsonl(tmp_path / f"{name}.train.jsonl.gz", rows(8))
        write_jsonl(tmp_path / f"{name}.dev.jsonl.gz", rows(2))
        write_jsonl(tmp_path / f"{name}.test-00000-of-00001.jsonl", rows(4))
        (tmp_path / f"{name}.unlabeled.txt").write_text("one\ntwo\nthree\n")
        (tmp_path / f"{name}.unlabeled.gold.txt").write_text("0\n1\n1\n")
    with pytest.raises(DataError, match=r"several domains \(books, dvd\).*prefix, such as .*books"):
        load_domain(tmp_path)
    books = load_domain(f"{tmp_path}/books")
    sizes = {split: len(part) for split, part in books.splits.items()}
    assert sizes == {"train": 8, "validation": 2, "test": 4, "unlabelled": 3}
    assert any("books.unlabeled.gold.txt" in note for note in books.notes)
    both = load_domain([f"{tmp_path}/books", f"{tmp_path}/dvd"])
    assert both.name == "books+dvd"
    assert (len(both.train), len(both.unlabelled)) == (16, 6)
    assert len(load_domain(f"{tmp_path}/books", split="dev").train) <= 2


def test_folder_of_one_domain_and_saved_dataset(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows(6))
    (tmp_path / "test.csv").write_text("text,label\na,neg\nb,pos\n")
    (tmp_path / "README.txt").write_text("not data\n")
    assert {s: len(d) for s, d in load_domain(tmp_path).splits.items()} == {"train": 6, "test": 2}
    DatasetDict(train=Dataset.from_list(rows(4)), test=Dataset.from_list(rows(2))).save_to_disk(
        tmp_path / "saved"
    )
    assert len(load_domain(tmp_path / "saved").train) == 4


def test_objects_give_the_same_domain():
    data = rows(20)
    references = [
        data,
        Dataset.from_list(data),
        pd.DataFrame(data),
        DatasetDict(train=Dataset.from_list(data)),
    ]
    domains = [load_domain(reference, name="x") for reference in references]
    assert len({domain.fingerprint() for domain in domains}) == 1
    assert domains[1].train[0]["row"].startswith("dataset/rows:")
    texts = load_domain(["a plain text", "another one"])
    assert list(texts.unlabelled["text"]) == ["a plain text", "another one"]
    assert texts.label_names is None


def test_a_column_of_texts_is_unlabelled_rows():
    dataset = Dataset.from_list(rows(6))
    texts = list(dataset["text"])
    for column in (
        dataset["text"],
        dataset.with_format("torch")["text"],
        dataset.to_iterable_dataset()["text"],
        pd.Series(texts, index=range(50, 56)),
        np.array(texts),
        tuple(texts),
    ):
        assert list(load_domain(column).unlabelled["text"]) == texts
    words = pd.Series(["good", "bad"])  # each a row, not the name of a file
    assert list(load_domain(words).unlabelled["text"]) == ["good", "bad"]


@pytest.mark.parametrize("form", ["numpy", "torch", "pandas", "arrow"])
def test_the_format_of_a_dataset_changes_nothing(form):
    dataset = Dataset.from_list(rows(12))
    plain = load_domain(dataset)
    for formatted in (dataset.with_format(form), dataset.with_format(form, columns=["label"])):
        assert load_domain(formatted).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: Dataset.from_list(rows(4)).with_transform(dict), "has a transform"),
        (lambda: Dataset.from_list(rows(4)).to_iterable_dataset(), "IterableDataset cannot be"),
        (lambda: ["a good film", None], "rows:1 holds a NoneType"),
        (lambda: pd.Series(["a film", 3.0]), "rows:1 holds a float"),
        (lambda: (text for text in ["a film"]), "generator cannot be read"),
        (lambda: np.arange(3), "rows:0 holds an int64"),
    ],
)
def test_what_is_no_domain_in_python_gets_one_sentence(data, message):
    with pytest.raises(DataError, match=message):
        load_domain(data())


def test_without_labels_has_no_label_column_and_no_test_rows():
    data = DatasetDict(
        train=Dataset.from_list([*rows(4), {"text": "open", "label": None}]),
        test=Dataset.from_list([{"text": "held out", "label": "pos"}]),
        unsupervised=Dataset.from_list([{"text": "raw", "label": "pos"}]),
    )
    domain = load_domain(data)
    blind = domain.without_labels()
    assert blind.column_names == ["text", "row"]
    assert set(blind["text"]) == {r["text"] for r in rows(4)} | {"open", "raw"}
    assert domain.unlabelled.column_names == ["text", "row"]
    with pytest.raises(DataError, match="no text to adapt to"):
        load_domain(rows(4), test_fraction=1.0).without_labels()


def test_missing_labels_make_rows_unlabelled():
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    hub = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, -1, 0]}, features)
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": [1.0, float("nan"), 0.0]})
    listed = [{"text": "a", "label": 1}, {"text": "b", "label": None}, {"text": "c", "label": 0}]
    strings = [
        {"text": "a", "label": "1"},
        {"text": "b", "label": " "},
        {"text": "c", "label": "0"},
    ]
    for reference in (hub, frame, listed, strings):
        domain = load_domain(reference, test_fraction=0)
        assert list(domain.unlabelled["text"]) == ["b"]
        assert domain.label_names == (("neg", "pos") if reference is hub else ("0", "1"))
        assert list(domain.train["label"]) == [1, 0]


def test_a_test_split_with_withheld_labels_is_left_out_and_never_trained_on():
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    data = DatasetDict(
        train=Dataset.from_dict({"text": list("abcdefghij"), "label": [0, 1] * 5}, features),
        test=Dataset.from_dict({"text": ["withheld"], "label": [-1]}, features),
    )
    domain = load_domain(data)
    assert "withheld" not in set(domain.without_labels()["text"]) | set(domain.test["text"])
    assert any(
        "1 test row of dataset without a label was left out" in note for note in domain.notes
    )


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([True, False, True], ("false", "true")),
        ([10, 9, 2], ("2", "9", "10")),
        ([1.0, 0.0, 1.0], ("0", "1")),
        (["4.0", "5", "1"], ("1", "4", "5")),
        (["Positive", "positive", " negative "], ("Positive", "negative")),
    ],
)
def test_label_types(values, names):
    data = [{"review": f"t{i}", "stars": value} for i, value in enumerate(values)]
    domain = load_domain(data, test_fraction=0)
    assert sorted(domain.label_names) == sorted(names)
    assert domain.label_names[0] == names[0] or names[0] == "Positive"


def test_class_label_order_is_kept():
    features = Features({"text": Value("string"), "label": ClassLabel(names=["pos", "neg"])})
    data = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features)
    domain = load_domain(data, test_fraction=0)
    assert domain.label_names == ("pos", "neg")
    assert by_text(domain) == {"a": "pos", "b": "neg"}


def test_label_map_with_thresholds_and_ignore():
    data = [{"text": f"t{i}", "rating": value} for i, value in enumerate([1, 2.5, 3, 4.5, 5])]
    label_map = {"<3": "negative", ">3": "positive", "3": "ignore"}
    domain = load_domain(data, label_map=label_map, test_fraction=0)
    assert names_of(domain.train) == ["negative", "negative", "positive", "positive"]
    assert any("1 row of" in note and "ignored" in note for note in domain.notes)


def test_minus_one_among_plain_numbers_is_a_class_but_is_reported():
    domain = load_domain([{"text": f"t{i}", "label": i % 3 - 1} for i in range(6)], test_fraction=0)
    assert domain.label_names == ("-1", "0", "1")
    assert any("-1 in column 'label'" in note for note in domain.notes)


def test_max_rows_is_a_seeded_sample():
    data = rows(100)
    domain = load_domain(data, max_rows=10, test_fraction=0)
    assert len(domain.train) == 10
    assert list(domain.train["text"]) != [row["text"] for row in data[:10]]
    again = load_domain(data, max_rows=10, test_fraction=0)
    assert again.fingerprint() == domain.fingerprint()


def test_empty_texts_are_dropped_and_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\ngood,1\n"  ",0\nbad,0\n\u00a0,1\n')
    domain = load_domain(path, test_fraction=0)
    assert list(domain.train["text"]) == ["good", "bad"]
    assert domain.notes == ("2 empty rows of a.csv were left out: a.csv:3, a.csv:5.",)


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "broken \\ud83d here"}\n')
    assert list(load_domain(path).unlabelled["text"]) == ["broken \ufffd here"]


def test_fingerprint_sees_texts_and_label_names_but_not_their_order_of_ids():
    data = rows(10)
    base = load_domain(data)
    assert base.with_labels(["pos", "neg"]).fingerprint() == base.fingerprint()
    changed = [{**data[0], "text": "changed"}, *data[1:]]
    assert load_domain(changed).fingerprint() != base.fingerprint()
    flipped = [{**data[0], "label": "pos"}, *data[1:]]
    assert load_domain(flipped).fingerprint() != base.fingerprint()


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        ([{"foo": "a", "bar": 1}], {}, r"looks like text \(columns: foo, bar\).*text_column"),
        ([{"review": "a", "body": "b"}], {}, r"review, body.*text_column"),
        ([{"text": "a", "stars": 1, "class": 2}], {}, r"stars, class.*label_column"),
        ([{"text": "a"}], {"label_column": "y"}, r"no column 'y'.*label_column"),
        ([{"text": "a", "label": 0.5}], {}, r"rows:0 has the label 0\.5.*label_map"),
        ([{"text": "a", "label": [1, 2]}], {}, r"rows:0 has a list where a label"),
        ([{"text": 3, "label": 1}], {}, r"rows:0 holds an int where text"),
        ([{"text": " ", "label": 1}], {}, "train split of rows is empty"),
        ([{"tokens": ["a"]}], {}, "set task to token-classification"),
        ([], {}, "empty list"),
        ("", {}, "empty reference"),
        (3, {}, "int cannot be read as a domain"),
        ("missing.csv", {}, r"missing\.csv does not exist"),
        ("./nowhere", {}, "does not exist"),
        ("what is this?", {}, "neither a file or folder"),
        ("builtin:snippets/moovie", {}, "did you mean snippets/movie"),
        ([{"text": "a"}], {"task": "ner"}, "unknown task"),
        ([{"text": "a"}], {"test_fraction": 2}, "test_fraction"),
        ([{"text": "a"}], {"max_rows": 0}, "max_rows"),
        (DatasetDict(one=Dataset.from_list([{"text": "a"}] * 2), two=Dataset.from_list([])), {}, "splits one, two"),
        (DatasetDict(train=Dataset.from_list([{"text": "a"}])), {"split": "tset"}, "no split 'tset'"),
        ([{"text": f"t{i}", "score": i} for i in range(60)], {}, "60 different values"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(reference, options, message):
    with pytest.raises(DataError, match=message) as caught:
        load_domain(reference, **options)
    assert "\n" not in str(caught.value)


def test_a_recognised_label_column_can_be_left_unread():
    domain = load_domain([{"text": "a", "score": 0.7}], label_column="none")
    assert list(domain.unlabelled["text"]) == ["a"]


def test_a_misspelt_file_gets_the_nearest_name(tmp_path):
    write_jsonl(tmp_path / "reviews.jsonl", rows(2))
    with pytest.raises(DataError, match=r"did you mean .*reviews\.jsonl"):
        load_domain(tmp_path / "review.jsonl")


def test_a_misspelt_prefix_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "books.train.jsonl", rows(2))
    monkeypatch.chdir(tmp_path)
    assert load_domain("data/books").name == "books"
    with pytest.raises(DataError, match=r"data/bokks does not exist \(did you mean data/books\?"):
        load_domain("data/bokks")


@pytest.mark.parametrize(
    ("reference", "called"),
    [
        ("imdb", ("imdb", None, None)),
        ("user/name", ("user/name", None, None)),
        ("glue:sst2", ("glue", "sst2", None)),
        ("user/name:config/train", ("user/name", "config", "train")),
        ("user/name/test", ("user/name", None, "test")),
    ],
)
def test_hub_references(monkeypatch, reference, called):
    calls = []

    def load_dataset(path, config, split):
        calls.append((path, config, split))
        data = Dataset.from_list(rows(5))
        return data if split else DatasetDict(train=data)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_domain(reference, test_fraction=0).train is not None
    assert calls == [called]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Couldn't reach"), "Hub could not be reached.*builtin:snippets/movie"),
        (datasets.exceptions.DatasetNotFoundError("no"), "neither a file or folder.*hf auth login"),
        (RuntimeError("Dataset scripts are no longer supported"), "never run"),
        (ValueError("Config name is missing.\nPick one of ['a']\nExample"), r"Pick one of \['a'\]"),
    ],
)
def test_hub_failures_get_one_sentence(monkeypatch, error, message):
    def load_dataset(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=message) as caught:
        load_domain("user/name")
    assert "\n" not in str(caught.value)


# Token classification


def load_tags(tokens, tags, **options):
    data = [{"tokens": t.split(), "ner_tags": g.split()} for t, g in zip(tokens, tags, strict=True)]
    return load_domain(data, task=NER, test_fraction=0, **options)


def tags_of(domain, split="train"):
    names = domain.label_names
    return [[names[i] for i in row] for row in getattr(domain, split)["labels"]]


def test_tags_by_name_in_any_scheme():
    domain = load_tags(["Al Bo left", "Rome"], ["B-PER E-PER O", "S-LOC"])
    assert domain.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert tags_of(domain) == [["B-PER", "I-PER", "O"], ["B-LOC"]]


def test_tags_by_id_from_the_hub():
    names = ["O", "I-PER", "B-PER"]
    features = Features(
        {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=names))}
    )
    data = Dataset.from_dict({"tokens": [["Al", "Bo", "x"]], "ner_tags": [[2, 1, 0]]}, features)
    assert tags_of(load_domain(data, task=NER, test_fraction=0)) == [["B-PER", "I-PER", "O"]]


def test_tags_by_id_without_names_need_a_map():
    data = [{"tokens": ["Al", "x"], "ner_tags": [1, 0]}]
    with pytest.raises(DataError, match=r"rows:0 \(token 1\) has the tag 1, a number without"):
        load_domain(data, task=NER)
    domain = load_domain(data, task=NER, label_map={0: "O", 1: "B-PER"}, test_fraction=0)
    assert tags_of(domain) == [["B-PER", "O"]]


def test_plain_text_is_split_into_words_for_an_unlabelled_target():
    domain = load_domain(["Al went home.", "Bo too!"], task=NER)
    assert domain.unlabelled[0]["tokens"] == ["Al", "went", "home", "."]
    assert domain.without_labels().column_names == ["tokens", "row"]


def test_label_map_merges_and_ignores_types_and_reports():
    domain = load_tags(
        ["Al saw Alien"], ["B-person O B-movie"], label_map={"person": "PER", "movie": "ignore"}
    )
    assert tags_of(domain) == [["B-PER", "O", "O"]]
    assert any("1 entity of rows became O" in note for note in domain.notes)


def test_ill_formed_tags_name_the_line_and_are_repaired_on_request(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("x O\n\nAl B-PER\nwent O\nRome I-LOC\n\nBo B-PER\n")
    with pytest.raises(DataError, match=r"a\.conll:5: the tag I-LOC is ill-formed.*repair_tags"):
        load_domain(path, task=NER)
    domain = load_domain(path, task=NER, repair_tags=True, test_fraction=0)
    assert tags_of(domain)[1] == ["B-PER", "O", "B-LOC"]
    assert any("a.conll:5" in note for note in domain.notes)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "rows:0 has 2 tokens but 1 tag:"),
        ({"tokens": "a b", "ner_tags": ["O", "O"]}, "rows:0 does not hold a list of tokens"),
        ({"tokens": ["a"], "ner_tags": "O"}, "rows:0 does not hold a list of tags"),
        ({"tokens": ["a"], "ner_tags": [None]}, r"rows:0 \(token 1\) has no tag"),
        ({"tokens": ["a"], "ner_tags": ["B-"]}, "names no entity type"),
        ({"tokens": ["a", "b"], "ner_tags": ["S-A", "U-A"]}, "rows:0: tags of different schemes"),
        ({"tokens": [], "ner_tags": []}, "empty"),
    ],
)
def test_bad_tags(record, message):
    with pytest.raises(DataError, match=message):
        load_domain([record], task=NER)


def test_duplicate_sentences_stay_on_one_side():
    tokens = [f"word {i % 10}" for i in range(40)]
    data = [{"tokens": t.split(), "tags": ["O", "B-X"]} for t in tokens]
    domain = load_domain(data, task=NER)
    sides = [{tuple(t) for t in part["tokens"]} for part in (domain.train, domain.test)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("kind", ["torch", "numpy", "pandas", "arrow"])
def test_the_format_of_a_dataset_does_not_change_what_is_read(kind):
    plain = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]})
    words = Dataset.from_dict({"tokens": [["a", "b"], ["c"]], "ner_tags": [["B-X", "O"], ["O"]]})
    for data, task in ((plain, "sequence-classification"), (words, "token-classification")):
        read = [
            load_domain(one, task=task, test_fraction=0.0)
            for one in (data, data.with_format(kind), DatasetDict(train=data.with_format(kind)))
        ]
        assert len({domain.fingerprint() for domain in read}) == 1
        assert len({domain.label_names for domain in read}) == 1


def test_a_dataset_with_a_transform_is_refused():
    data = Dataset.from_dict({"text": ["a"], "label": [1]}).with_transform(lambda batch: batch)
    with pytest.raises(DataError, match="has a transform"):
        load_domain(data)
