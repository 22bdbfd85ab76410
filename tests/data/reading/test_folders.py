"""Folders of documents: texts in folders of their class, and brat's."""

from pathlib import PurePath

import pytest

from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError

TAGGING = "token-classification"


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


REVIEWS = {
    "train/pos/0_9.txt": "great",
    "train/neg/0_1.txt": "awful\nreally",
    "train/unsup/0_0.txt": "so so",
    "train/urls_pos.txt": "http://example.org",
    "test/pos/1_9.txt": "fine",
    "test/neg/1_1.txt": "dull",
    "README": "Reviews",
    "scores.txt": "0.5",
}


def test_a_folder_is_the_class_of_its_texts_and_may_stand_in_one_of_its_split(tmp_path):
    domain = load_domain(write(tmp_path / "films", REVIEWS))
    assert {name: rows["text"][:] for name, rows in domain.splits.items()} == {
        "train": ["awful\nreally", "great"],
        "test": ["dull", "fine"],
        "unlabelled": ["so so"],
    }
    assert (domain.label_names, domain.train["label"][:]) == (("neg", "pos"), [0, 1])
    assert domain.train["row"][0] == "train/neg/0_1.txt:1"
    assert "Not read, beside the folders of films: scores.txt." in domain.notes
    part = load_domain(tmp_path / "films" / "train", test_fraction=0.0)
    assert (len(part.train), len(part.unlabelled)) == (2, 1)
    assert len(load_domain(tmp_path / "films", split="test", test_fraction=0.0).train) == 2


def test_their_texts_may_have_another_encoding_and_be_named_by_numbers(tmp_path):
    folder = write(tmp_path, {"a/49960": "café".encode("cp1252"), "b/51060": "x"})
    with pytest.raises(DataError, match=r"49960:1 is not UTF-8.*encoding"):
        load_domain(folder)
    domain = load_domain(folder, encoding="cp1252", test_fraction=0.0)
    assert domain.train["text"][:] == ["café", "x"]


def test_folders_beside_other_data_are_no_classes(tmp_path):
    folder = write(tmp_path, {"a/1.txt": "x", "b/1.txt": "y", "rows.csv": "text,label\ngood,1\n"})
    assert load_domain(folder, test_fraction=0.0).train["text"][:] == ["good"]


BRAT = {
    "a.txt": "Smith lives in New\nYork. Fine.\n\nAnn left.\n",
    "a.ann": "T1\tPER 0 5\tSmith\nT2\tLOC 15 18;19 23\tNew York\nR1\tLives Arg1:T1 Arg2:T2\n"
    "T3\tPER 32 35\tAnn\n#1\tAnnotatorNotes T3\twho?\n",
    "b.txt": "nothing marked",
    "b.ann": "",
    "c.txt": "not begun",
}


@pytest.mark.parametrize("split", ["", "train/"])
def test_brat_documents_are_read_line_by_line(tmp_path, split):
    folder = write(tmp_path, {f"{split}{name}": content for name, content in BRAT.items()})
    domain = load_domain(folder, task=TAGGING, test_fraction=0.0)
    names = domain.label_names
    rows = {
        row["row"]: [f"{w}/{names[i]}" for w, i in zip(row["tokens"], row["labels"], strict=True)]
        for row in domain.train
    }
    assert rows == {
        f"{split}a.txt:1": [
            "Smith/B-PER",
            "lives/O",
            "in/O",
            "New/B-LOC",
            "York/I-LOC",
            "./O",
            "Fine/O",
            "./O",
        ],
        f"{split}a.txt:4": ["Ann/B-PER", "left/O", "./O"],
        f"{split}b.txt:1": ["nothing/O", "marked/O"],
    }
    assert [row["tokens"] for row in domain.unlabelled] == [["not", "begun"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T1\tPER 0 5;15 18\tSmith New", r"a\.ann:1 is an entity in pieces"),
        ("T1\tPER 0 500\tSmith", r"a\.ann:1 lies outside"),
        ("T1 PER 0 5 Smith", r"a\.ann:1 is not an entity of brat"),
        ("T1\tPER 1 5\tSmith", r"a\.txt:1 says 'Smith' of an entity at 1 to 5"),
    ],
)
def test_brat_entities_that_cannot_be_used_are_named(tmp_path, line, message):
    write(tmp_path, {**BRAT, "a.ann": line + "\n"})
    with pytest.raises(DataError, match=message):
        load_domain(tmp_path, task=TAGGING)


def test_a_folder_of_many_files_is_read_in_proportion_to_their_number(tmp_path, monkeypatch):
    compared, own = [], PurePath.__eq__
    monkeypatch.setattr(PurePath, "__eq__", lambda a, b: compared.append(1) or own(a, b))
    for number in range(300):
        (tmp_path / f"part{number:03d}.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    domain = load_domain(tmp_path)
    assert sum(len(rows) for rows in domain.splits.values()) == 600
    assert len(compared) < 20 * 300
