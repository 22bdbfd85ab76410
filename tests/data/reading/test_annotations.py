"""Entities as annotation tools write them become words with tags, or are refused by row."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from nlp_adapt.data.loading import load_domain, load_labelled
from nlp_adapt.errors import DataError
from nlp_adapt.names import TASKS

TAGGING = "token-classification"
TEXT = "EU rejects non-German calls"
SPANS = [{"start": 0, "end": 2, "label": "ORG"}, {"start": 15, "end": 21, "label": "MISC"}]
TASK_OF_LABEL_STUDIO = {
    "id": 1,
    "data": {"text": TEXT},
    "annotations": [
        {"was_cancelled": True, "result": []},
        {
            "was_cancelled": False,
            "result": [
                {"type": "labels", "from_name": "ner", "value": {**span, "labels": [span["label"]]}}
                for span in SPANS
            ],
        },
    ],
}
TOOLS = {
    "doccano": {"id": 1, "text": TEXT, "label": [[0, 2, "ORG"], [15, 21, "MISC"]]},
    "doccano with relations": {
        "text": TEXT,
        "entities": [
            {"id": i, "start_offset": s["start"], "end_offset": s["end"], "label": s["label"]}
            for i, s in enumerate(SPANS)
        ],
        "relations": [],
    },
    "spaCy's docs": {"text": TEXT, "ents": SPANS, "tokens": [{"id": 0, "start": 0, "end": 2}]},
    "spaCy's examples": [TEXT, {"entities": [[0, 2, "ORG"], [15, 21, "MISC"]]}],
    "Prodigy": {
        "text": TEXT,
        "tokens": [{"text": "EU", "start": 0, "end": 2, "id": 0}],
        "spans": [{**span, "token_start": 0} for span in SPANS],
        "answer": "accept",
    },
    "Label Studio": TASK_OF_LABEL_STUDIO,
    "Label Studio's JSON-MIN": {
        "text": TEXT,
        "label": [
            {"start": 0, "end": 2, "text": "EU", "labels": ["ORG"]},
            {"start": 15, "end": 21, "text": "German", "labels": ["MISC"]},
        ],
    },
}


def load(reference, **options):
    return load_domain(reference, task=TAGGING, test_fraction=0.0, **options)


def tagged(domain, split="train"):
    names = domain.label_names
    return [
        list(zip(row["tokens"], [names[i] for i in row["labels"]], strict=True))
        for row in domain.splits[split]
    ]


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", ["jsonl", "json", "rows"])
def test_spans_of_every_tool_become_the_same_tags(tmp_path, tool, kind):
    record, column = TOOLS[tool], "ner" if tool == "Label Studio" else None
    reference = [record]
    if kind != "rows":
        reference = write(tmp_path / f"a.{kind}", record)
    if kind == "json":
        reference.write_text(json.dumps([record], indent=1), encoding="utf-8")
    domain = load(reference, label_column=column)
    assert tagged(domain) == [
        [("EU", "B-ORG"), ("rejects", "O"), ("non-", "O"), ("German", "B-MISC"), ("calls", "O")]
    ]
    assert any(note.startswith("1 word of") and "was divided" in note for note in domain.notes)
    assert load_labelled(reference, TASKS, label_column=column).task == TAGGING


def test_an_entity_of_several_words_and_white_space_at_its_ends():
    rows = [{"text": "in  New York City now", "entities": [(3, 17, "LOC")]}]
    found = tagged(load(rows))[0]
    assert found[1:4] == [("New", "B-LOC"), ("York", "I-LOC"), ("City", "I-LOC")]


def test_rejected_and_ignored_answers_are_no_labels():
    rows = [
        {"text": f"Ann {i}", "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": answer}
        for i, answer in enumerate(["accept", "reject", "ignore"])
    ]
    domain = load(rows)
    assert tagged(domain) == [[("Ann", "B-PER"), ("0", "O")]]
    assert [row["tokens"] for row in domain.unlabelled] == [["Ann", "1"], ["Ann", "2"]]
    assert any(note.startswith("2 rows of rows were read as unlabelled") for note in domain.notes)
    classes = load_domain(
        [{"text": f"{answer} {i}", "label": "pos", "answer": answer}
         for i, answer in enumerate(["accept", "reject", "accept"])], test_fraction=0.0,
    )  # fmt: skip
    assert (len(classes.train), len(classes.unlabelled)) == (2, 1)
    # Where it is the label, or says other things, the column is like any other.
    labelled = load_domain(
        [{"text": "a", "answer": "accept"}, {"text": "b", "answer": "reject"}],
        label_column="answer", test_fraction=0.0,
    )  # fmt: skip
    assert labelled.label_names == ("accept", "reject")


def test_rows_without_entities_are_outside_and_counted_and_rows_without_a_list_unlabelled():
    rows = [
        {"text": "Ann left", "label": [[0, 3, "PER"]]},
        {"text": "no one", "label": []},
        {"text": "who knows", "label": None},
    ]
    domain = load(rows)
    assert tagged(domain)[1] == [("no", "O"), ("one", "O")]
    assert len(domain.unlabelled) == 1
    assert any("No entity is marked in 1 row of rows" in note for note in domain.notes)
    # Where there is no entity at all, nobody has begun.
    assert load([{"text": "a b", "label": []}] * 3).label_names is None


def test_offsets_of_javascript_are_recognised_by_the_text_they_name():
    spans = [{"start": 3, "end": 5, "text": "EU", "labels": ["ORG"]}]
    assert tagged(load([{"text": "😀 EU won", "label": spans}]))[0][1] == ("EU", "B-ORG")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 2, "A"], [1, 5, "B"]], r"rows:0 has entities that overlap, 'EU' \(A, 0 to 2\)"),
        ([[0, 99, "A"]], "rows:0 has an entity A at 0 to 99, but 27 characters"),
        ([[2, 3, "A"]], "no word there"),
        ([[5, 2, "A"]], "no word there"),
        ([[0, 2, ""]], "at 0 to 2 without a type"),
        ([["0", 2, "A"]], "give whole numbers"),
        (
            [{"start": 0, "end": 2, "text": "Ann", "label": "A"}],
            "says 'Ann' of an entity at 0 to 2",
        ),
    ],
)
def test_what_tags_cannot_say_is_refused_by_row(spans, message):
    with pytest.raises(DataError, match=message):
        load([{"text": TEXT, "entities": spans}])


def test_annotators_who_differ_are_refused_and_who_agree_count_once(tmp_path):
    task = json.loads(json.dumps(TASK_OF_LABEL_STUDIO))
    task["annotations"].append(task["annotations"][1])
    assert tagged(load([task], label_column="ner"))[0][0] == ("EU", "B-ORG")
    task["annotations"].append({"result": []})
    with pytest.raises(DataError, match=r"a\.jsonl:1 has 2 annotations that differ"):
        load(write(tmp_path / "a.jsonl", task))
    task["annotations"] = [{"result": [{"type": "hypertextlabels", "value": {}}]}]
    with pytest.raises(DataError, match="is annotated with hypertextlabels"):
        load([task])


def test_a_named_column_that_holds_no_tags_is_refused_and_not_passed_over():
    rows = [{"text": "EU won", "topic": "sport"}]
    with pytest.raises(DataError, match="rows:0 holds neither entities"):
        load(rows, label_column="topic")
    assert load([{"text": "EU won", "label": "sport"}]).label_names is None  # merely recognised


@pytest.mark.parametrize("tags", ["B-ORG O", ["B-ORG", "O"], "['B-ORG', 'O']"])
def test_a_text_with_a_tag_for_each_word_is_divided_at_its_spaces(tags):
    assert tagged(load([{"text": "EU won.", "tags": tags}])) == [[("EU", "B-ORG"), ("won.", "O")]]
    with pytest.raises(DataError, match="has 3 tokens but 2 tags"):
        load([{"text": "EU won it", "tags": tags}])


def test_entities_are_no_classes():
    with pytest.raises(DataError, match=r"holds entities, not classes: set task: token"):
        load_domain([TOOLS["doccano"]])


def test_a_list_of_one_class_is_that_class():
    rows = [
        {"text": "a", "label": ["pos"]},
        {"text": "b", "label": []},
        {"text": "c", "label": ["neg"]},
    ]
    domain = load_domain(rows, test_fraction=0.0)
    assert (domain.label_names, len(domain.unlabelled)) == (("neg", "pos"), 1)
    features = Features({"text": Value("string"), "label": List(ClassLabel(names=["x", "y"]))})
    named = Dataset.from_dict({"text": ["a", "b"], "label": [[1], [0]]}, features)
    assert load_domain(named, test_fraction=0.0).label_names == ("x", "y")


@pytest.mark.parametrize(
    "tokens",
    [
        '["EU", "it\'s", "x"]',
        "['EU', \"it's\", 'x']",
        "['EU' \"it's\"\n 'x']",  # as numpy writes it
    ],
)
def test_lists_that_csv_holds_as_text(tmp_path, tokens):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["tokens", "ner_tags"], [tokens, "['B-ORG' 'O' 'O']"]])
    assert tagged(load(path)) == [[("EU", "B-ORG"), ("it's", "O"), ("x", "O")]]
    frame = pd.DataFrame({"tokens": [np.array(["EU", "x"], dtype=object)], "ner_tags": ["[1 0]"]})
    frame.to_csv(path, index=False)
    assert tagged(load(path, label_map={"0": "O", "1": "B-ORG"})) == [[("EU", "B-ORG"), ("x", "O")]]
