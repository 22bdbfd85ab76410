"""Answers of every form are read, and what is wrong with one is said in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlp_adapt.cli import review as command
from nlp_adapt.errors import DataError
from nlp_adapt.reviewing.answers import ANSWER, codes, outcome, read_answers
from nlp_adapt.reviewing.items import Item, Unit
from nlp_adapt.reviewing.state import Review
from nlp_adapt.reviewing.writing import TOOLS, answers_of, write_csv, write_tool
from tests.helpers.reviewed import LABELS, review_of

HOSTILE = '=cmd|"/c calc"!A1, </script><img src=x onerror=alert(1)>\r\n"quoted"\0 \u202e'


def asked(count: int = 5, labels: tuple[str, ...] = LABELS, text: str = "") -> Review:
    found = review_of(count, labels=labels)
    if text:
        found.items = {
            name: Item(name, Unit(text, one.unit.place, "positive", "negative"), one.a, one.b)
            for name, one in found.items.items()
        }
    found.answers, found.first_look = {}, ()
    return found


def written(folder: Path, review: Review, answers: list[str]) -> Path:
    rows = [f"{name},{answer}\n" for name, answer in zip(review.items, answers, strict=True)]
    path = folder / "answers.csv"
    path.write_text("id,answer\n" + "".join(rows), encoding="utf-8")
    return path


def test_codes_words_and_labels_are_read(tmp_path: Path) -> None:
    review = asked(9)
    said = ["A", "b", "both", "both wrong", "Neither", "unsure", " positive ", "NEGATIVE", ""]
    found = read_answers(written(tmp_path, review, said), review)
    assert list(found.values()) == [
        "A", "B", "both", "neither", "neither", "unsure", "=positive", "=negative"
    ]  # fmt: skip
    assert list(review.items)[-1] not in found


@pytest.mark.parametrize(
    ("answer", "adapted", "source_only", "label"),
    [
        ("A", True, False, "positive"),
        ("B", False, True, "negative"),
        ("=negative", False, True, "negative"),
        ("=mixed", False, False, "mixed"),
        ("both", True, True, None),
        ("neither", False, False, None),
    ],
)
def test_what_an_answer_says(answer, adapted, source_only, label) -> None:
    item = Item("1", Unit("t", "t:1", "positive", "negative"), "positive", "negative")
    assert outcome(item, answer) == (adapted, source_only, label)
    assert outcome(item, "unsure") is None


def test_a_label_that_is_called_like_a_code_keeps_its_name(tmp_path: Path) -> None:
    labels = ("A", "neither", "positive", "negative")
    review = asked(3, labels)
    assert codes(labels)["A"] == "(A)"
    assert codes(labels)["both"] == "both"
    found = read_answers(written(tmp_path, review, ["A", "(both wrong)", "neither"]), review)
    assert list(found.values()) == ["=A", "neither", "=neither"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{id},sideways\n", r"answers\.csv:2 has the answer 'sideways': write A, B"),
        ("ffff,A\n{id},A\n", r"answers\.csv:2 is no row of this review: its id is 'ffff'"),
        ("{id},A\n{id},B\n", r"answers\.csv:3 answers 0+ in another way"),
        ("{id},A,B\n", r"answers\.csv:2 has 3 fields where the header names 2"),
        ("", "holds no rows"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    review = asked(1)
    path = tmp_path / "answers.csv"
    path.write_text("id,answer\n" + line.format(id=next(iter(review.items))), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_answers(path, review)


def test_a_spreadsheet_may_save_it(tmp_path: Path) -> None:
    review = asked(2)
    one, two = review.items
    path = tmp_path / "review.csv"
    path.write_bytes(f"\ufeffid;text;answer\r\n{one};x;A\r\n{two};;\r\n".encode())
    assert read_answers(path, review) == {one: "A"}


def test_hostile_text_comes_back_by_its_id(tmp_path: Path) -> None:
    review = asked(3, text=HOSTILE)
    path = tmp_path / "review.csv"
    write_csv(path, [*review.items.values()])
    assert b"\n\"'=" not in path.read_bytes()
    assert b",\"'=cmd" in path.read_bytes()
    assert read_answers(path, review) == {}
    filled = path.read_text(encoding="utf-8-sig").replace('"negative",""', '"negative","B"')
    path.write_text(filled, encoding="utf-8", newline="")
    assert set(read_answers(path, review).values()) == {"B"}


def exported(tool: str, path: Path, label: str, people: int = 1) -> None:
    """Rewrite what a tool imports as it exports it once every row has a label."""
    text = path.read_text(encoding="utf-8")
    if tool == "doccano":
        rows = [json.loads(line) for line in text.splitlines()]
        rows = [{"id": i, **row, "label": [label], "Comments": []} for i, row in enumerate(rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    rows = json.loads(text)
    if tool == "label-studio":
        choice = {"from_name": "answer", "to_name": "text", "type": "choices"}
        result = [{**choice, "value": {"choices": [label]}}]
        rows = [{"id": i, "annotations": [{"result": result}], **row} for i, row in enumerate(rows)]
    else:
        said = [{"value": label, "user_id": str(number)} for number in range(people)]
        rows = [{**row, "responses": {"answer": said}, "_server_id": "x"} for row in rows]
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("tagging", [False, True])
def test_a_tools_export_is_read_back(tmp_path: Path, tool: str, tagging: bool) -> None:
    review = asked(3, text="Ann <b> went")
    if tagging:
        review.task, review.labels = "token-classification", ("PER",)
        review.items = {
            name: Item(name, Unit("Ann went", "t:1", "PER: Ann", "no entity", 0, 3), "PER: Ann", "no entity")
            for name in review.items
        }  # fmt: skip
    files = write_tool(tmp_path, tool, review, [*review.items.values()])
    shown = files[0].read_text(encoding="utf-8")
    assert ("[[Ann]] went" in shown) == tagging
    label = answers_of(review)[1]
    assert label == ("B" if tagging else "positive")
    exported(tool, files[0], label)
    expected = "B" if tagging else "=positive"
    assert read_answers(files[0], review) == dict.fromkeys(review.items, expected)


def test_the_command_offers_every_tool() -> None:
    assert tuple(command.TOOLS) == tuple(TOOLS)


def test_people_who_disagree_are_named(tmp_path: Path) -> None:
    review = asked(1)
    (path,) = write_tool(tmp_path, "argilla", review, [*review.items.values()])
    exported("argilla", path, "positive", people=2)
    assert set(read_answers(path, review).values()) == {"=positive"}
    rows = json.loads(path.read_text())
    rows[0]["responses"]["answer"][1]["value"] = "negative"
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="in another way"):
        read_answers(path, review)


@pytest.mark.parametrize("responses", [{ANSWER: 5}, {ANSWER: [1]}, {ANSWER: {"value": "A"}}, [2]])
def test_responses_of_another_form_are_refused(tmp_path: Path, responses: object) -> None:
    review = asked()
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"id": next(iter(review.items)), "responses": responses}))
    with pytest.raises(DataError, match=r"answers\.jsonl:1 has responses that are none"):
        read_answers(path, review)
