"""CoNLL columns and the word splitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.data.reading.files import read_file
from nlp_adapt.errors import DataError


def read(tmp_path, content, name="a.conll"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_file(path, "token-classification")


@pytest.mark.parametrize(
    "content",
    [
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nleft VB B-VP O\n\nBye UH I-NP O\n",
        "EU\tB-ORG\nleft\tO\n\t\nBye\tO",
        "\n\nEU  B-ORG \r\nleft  O\r\n\r\n \r\nBye  O\r\n\r\n",
        "EU x B-ORG\nleft y O\n-DOCSTART- -X- O\nBye z O\n",
    ],
)
def test_columns_and_blank_lines(tmp_path, content):
    table = read(tmp_path, content)
    assert table.columns["tokens"] == [["EU", "left"], ["Bye"]]
    assert table.columns["tags"] == [["B-ORG", "O"], ["O"]]


def test_rows_and_tokens_know_their_line(tmp_path):
    table = read(tmp_path, "\na O\nb O\n\nc O\nd O\n")
    assert table.rows == ["a.conll:2", "a.conll:5"]
    assert table.locate(1, 1) == "a.conll:6"


def test_one_column_is_unlabelled_and_hash_is_a_token(tmp_path):
    table = read(tmp_path, "#\ntag\n\nx\n")
    assert table.columns == {"tokens": [["#", "tag"], ["x"]]}


def test_tabs_keep_empty_tokens_and_no_break_spaces(tmp_path):
    table = read(tmp_path, "\tO\n10\u00a0000\tO\n")
    assert table.columns["tokens"] == [["", "10\u00a0000"]]


def test_txt_holds_columns_or_plain_text(tmp_path):
    assert "tags" in read(tmp_path, "a O\nb B-PER\n", "a.txt").columns
    assert read(tmp_path, "I saw O\nyou\n", "b.txt").columns == {"text": ["I saw O", "you"]}


def test_a_missing_column_names_file_and_line(tmp_path):
    with pytest.raises(DataError, match=r"a\.conll:3 has 1 column where the first line has 2"):
        read(tmp_path, "a O\nb O\nc\n")
    with pytest.raises(DataError, match=r"a\.conll:2 is not UTF-8"):
        read(tmp_path, b"a O\n\xe9 O\n")


def words(text):
    return [word for word, _, _ in split_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi @bob_1, see http://x.co/a?b=1.", "Hi|@bob_1|,|see|http://x.co/a?b=1|."),
        ("#Paris isn't Bob's; we'll see...", "#Paris|isn't|Bob|'s|;|we|'ll|see|..."),
        ("well-known O'Brien (U.S.) 3,000.5!", "well-known|O'Brien|(|U.S.|)|3,000.5|!"),
        ("me@mail.example.org on 1996-08-22", "me@mail.example.org|on|1996-08-22"),
        ("नमस्ते दुनिया", "नमस्ते|दुनिया"),
        ("cafe\u0301 ok", "cafe\u0301|ok"),
        ("👍🏽!! 👩\u200d🚀", "👍🏽|!!|👩\u200d🚀"),
    ],
)
def test_split_words(text, expected):
    assert words(text) == expected.split("|")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_character_is_lost_and_spans_are_exact(text):
    pieces = split_words(text)
    assert all(text[start:end] == word and word for word, start, end in pieces)
    covered = [i for _, start, end in pieces for i in range(start, end)]
    assert len(covered) == len(set(covered))
    assert {i for i, char in enumerate(text) if not char.isspace()} <= set(covered)
    assert not any(char.isspace() for word in words(text) for char in word)
