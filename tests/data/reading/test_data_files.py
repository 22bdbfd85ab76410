"""Reading files: every format, and every way in which a file can be broken."""

import gzip
import json
import sys

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading import lines
from nlp_adapt.data.reading.files import RowFile, read_file
from nlp_adapt.errors import DataError

TASK = "sequence-classification"


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ROWS = {"text": ["so, good", "bad"], "label": ["pos", "neg"]}
CONTENTS = {
    "a.csv": 'text,label\n"so, good",pos\nbad,neg\n',
    "b.csv": 'text;label\n"so, good";pos\nbad;neg\n',
    "c.csv": 'text\tlabel\n"so, good"\tpos\nbad\tneg\n',
    "a.tsv": 'text\tlabel\n"so, good"\tpos\nbad\tneg\n',
    "a.jsonl": '{"text": "so, good", "label": "pos"}\n\n{"text": "bad", "label": "neg"}\n',
    "a.json": '[{"text": "so, good", "label": "pos"},\n {"text": "bad", "label": "neg"}]',
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", CONTENTS)
def test_formats_give_the_same_rows(tmp_path, name, suffix):
    table = read_file(write(tmp_path / (name + suffix), CONTENTS[name]), TASK)
    assert table.columns == ROWS


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_parquet_keeps_class_names(tmp_path, suffix):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    path = tmp_path / "a.parquet"
    Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features).to_parquet(path)
    if suffix:
        path = write(tmp_path / "b.parquet.gz", path.read_bytes())
    table = read_file(path, TASK)
    assert list(table.columns["text"]) == ["a", "b"]
    assert table.features["label"].names == ["neg", "pos"]


def test_txt_is_one_text_a_line_and_rows_know_their_line(tmp_path):
    table = read_file(write(tmp_path / "a.txt", "one\r\n\r\ntwo\r\n"), TASK)
    assert table.columns["text"] == ["one", "", "two"]
    assert table.rows == ["a.txt:1", "a.txt:2", "a.txt:3"]


def test_csv_rows_name_the_line_they_start_on(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"two\nlines",x\n\nlast,y\n')
    table = read_file(path, TASK)
    assert table.columns["text"] == ["two\nlines", "last"]
    assert table.rows == ["a.csv:2", "a.csv:5"]


def test_bom_is_not_part_of_the_first_column(tmp_path):
    for name in ("a.csv", "a.json", "a.jsonl"):
        path = write(tmp_path / name, b"\xef\xbb\xbf" + CONTENTS[name].encode())
        assert list(read_file(path, TASK).columns) == ["text", "label"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\ngood,1\ncaf\xe9,0\n", r"a\.csv:3 is not UTF-8 \(byte 0xe9"),
        ("a.jsonl", b'\xff\xfe{\x00"\x00', r"a\.jsonl:1 is not UTF-8"),
        ("a.txt", b"fine\nnot\x00fine\n", r"a\.txt:2 holds a NUL"),
        ("a.csv", "text,label\nso, good,1\n", r"a\.csv:2 has 3 fields where the header names 2"),
        ("a.tsv", "text\tlabel\nonly\n", r"a\.tsv:2 has 1 field "),
        ("a.csv", 'text,label\n"open,1\nx,2\n', r"a\.csv:2 is not valid csv"),
        ("a.csv", "text,text\na,b\n", "names a column twice"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "holds no rows"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', r"a\.jsonl:2 is not valid JSON"),
        ("a.jsonl", '"a"\n', r"a\.jsonl:1 is not a JSON object"),
        ("a.jsonl", "[" * 100_000, "nested too deeply|not valid JSON"),
        ("a.json", '[{"text": "a"}, "b"]', "not a mixture"),
        ("a.json", "[]", "holds no rows"),
        ("a.txt", "", "holds no rows"),
        ("a.parquet", b"PAR1 but not really", "not a readable parquet file"),
        ("a.docx", b"", "unknown format"),
    ],
)
def test_broken_files_are_refused_by_name_and_line(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_file(write(tmp_path / name, content), TASK)


def test_damaged_gzip_is_refused(tmp_path):
    whole = gzip.compress(json.dumps({"text": "a" * 1000}).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-12])
    (tmp_path / "not.jsonl.gz").write_bytes(b"plain")
    for name, message in (("cut", "damaged or incomplete gzip"), ("not", "is not gzip")):
        with pytest.raises(DataError, match=message):
            read_file(tmp_path / f"{name}.jsonl.gz", TASK)


def test_gzip_bomb_is_refused_by_ratio_and_by_size(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt.gz", "aaaaaaaaa\n" * 100_000)
    monkeypatch.setattr(lines, "HARMLESS_BYTES", 10_000)
    with pytest.raises(DataError, match="decompression bomb"):
        read_file(path, TASK)
    monkeypatch.setattr(lines, "MAX_RATIO", 10**6)
    assert len(read_file(path, TASK)) == 100_000
    monkeypatch.setattr(lines, "MAX_UNPACKED_BYTES", 999_999)
    with pytest.raises(DataError, match="more than 999,999 bytes"):
        read_file(path, TASK)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    with pytest.raises(DataError, match=r"a\.txt:2 is longer than 1,000 bytes"):
        read_file(write(tmp_path / "a.txt", "ok\n" + "a" * 2000), TASK)


ACCENTS = "text,label\ncafé č,pos\nbad,neg\n"


@pytest.mark.parametrize("encoding", ["cp1250", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_other_encodings_and_line_ends(tmp_path, encoding, ending, suffix):
    content = ACCENTS.replace("\n", ending).encode(encoding)
    path = write(tmp_path / f"a.csv{suffix}", content)
    table = read_file(path, TASK, encoding=encoding)
    assert table.columns == {"text": ["café č", "bad"], "label": ["pos", "neg"]}
    listed = write(
        tmp_path / "a.json", json.dumps([{"text": "č"}], ensure_ascii=False).encode(encoding)
    )
    assert read_file(listed, TASK, encoding=encoding).columns == {"text": ["č"]}


def test_utf_8_with_lines_that_end_in_cr(tmp_path):
    for name, content in CONTENTS.items():
        path = write(tmp_path / name, content.replace("\n", "\r"))
        assert read_file(path, TASK).columns == ROWS, name
    text = write(tmp_path / "a.csv", 'text,label\n"a\rb",pos\n')
    assert read_file(text, TASK).columns["text"] == ["a\rb"]  # within a line it is as it was


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (ACCENTS.encode("utf-16"), None, r"a\.csv:1 is not UTF-8.*set encoding to utf-16"),
        (gzip.compress(b"text\n", mtime=0), None, r"a\.csv:1 is not UTF-8.*add \.gz to its name"),
        ("text\né\n".encode("cp1252"), None, r"a\.csv:2 is not UTF-8.*encoding"),
        (b"text\n\x81\n", "cp1252", r"a\.csv:2 is not CP1252 \(byte 0x81 in column 1\)"),
        (b"text", "utf-16", r"a\.csv is not utf-16"),
        (b"text\nx\n", "klingon", "encoding is 'klingon', which is none"),
        (b"text\nx\n", "hex", "encoding is 'hex', which is none"),
    ],
)
def test_a_wrong_encoding_is_told_with_what_to_do(tmp_path, content, encoding, message):
    with pytest.raises(DataError, match=message):
        read_file(write(tmp_path / "a.csv", content), TASK, encoding=encoding)


def test_conll_columns_under_any_ending_are_read_by_a_tagger(tmp_path):
    for name in ("eng.testa", "a.tsv", "a.txt", "a.bio2.gz"):
        path = write(tmp_path / name, "-DOCSTART- -X- O\n\nEU NNP B-ORG\nwon VBD O\n\n")
        assert read_file(path, "token-classification").columns["tags"] == [["B-ORG", "O"]]
    with pytest.raises(DataError, match=r"unknown format.*renamed to \.conll"):
        read_file(tmp_path / "eng.testa", TASK)


def test_a_carriage_return_in_a_row_is_told_whatever_parts_the_fields(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label;stars\na\rb,c;1\n")
    with pytest.raises(DataError, match=r"rows\.csv:\d holds a carriage return"):
        load_domain(path, test_fraction=0.0)


def test_a_first_line_that_is_a_row_is_recognised(tmp_path):
    path = write(tmp_path / "a.csv", "what a good film it was,pos\nbad,neg\n")
    with pytest.raises(DataError, match="put a line of names such as text,label above it"):
        load_domain(path)


def workbook(path, *sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for index, rows in enumerate(sheets):
        sheet = book.create_sheet(f"s{index}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_xlsx_is_read_as_the_csv_of_its_only_filled_sheet(tmp_path, suffix):
    rows = [["text", "label", "n"], ["good", True, 1.0], [], [7, False, 2.5], ["", None, None]]
    path = workbook(tmp_path / "b.xlsx", [], rows)
    if suffix:
        path = write(tmp_path / "c.xlsx.gz", path.read_bytes())
    table = read_file(path, TASK)
    assert table.columns == {"text": ["good", "7"], "label": ["true", "false"], "n": ["1", "2.5"]}
    assert table.rows == [f"{path.name}:2", f"{path.name}:4"]


def test_xlsx_that_cannot_be_read_says_why(tmp_path, monkeypatch):
    two = workbook(tmp_path / "two.xlsx", [["text"], ["a"]], [["text"], ["b"]])
    with pytest.raises(DataError, match=r"several sheets \(s0, s1\)"):
        read_file(two, TASK)
    wide = workbook(tmp_path / "wide.xlsx", [["text"], ["a", "b"]])
    with pytest.raises(DataError, match=r"wide\.xlsx:2 has 2 fields.*name each column"):
        read_file(wide, TASK)
    with pytest.raises(DataError, match="not a readable xlsx"):
        read_file(write(tmp_path / "bad.xlsx", b"no zip"), TASK)
    monkeypatch.setattr(lines, "HARMLESS_BYTES", 100)
    monkeypatch.setattr(lines, "MAX_RATIO", 1)
    with pytest.raises(DataError, match="decompression bomb"):
        read_file(two, TASK)


def test_xlsx_without_openpyxl_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"pip install 'nlp-adapt\[xlsx\]', or save it as csv"):
        read_file(write(tmp_path / "a.xlsx", b"x"), TASK)


@pytest.mark.parametrize("tag", ["PER", "B_PER", "PER-B"])
def test_columns_in_a_txt_file_are_known_whatever_form_their_tags_have(tmp_path, tag):
    (tmp_path / "a.txt").write_text(f"Ann\t{tag}\nis\tO\nin\tO\n\nBo\t{tag}\nran\tO\n")
    file = RowFile(tmp_path / "a.txt", "token-classification")
    assert file.line_per_token
    assert len(file.table()) == 2


def test_text_that_ends_in_a_capital_is_no_column(tmp_path):
    (tmp_path / "a.txt").write_text("Give me an O\nand nothing else\nThat was an O\nwell done\n")
    assert not RowFile(tmp_path / "a.txt", "token-classification").line_per_token


def test_a_file_without_names_of_columns_says_what_to_do(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("so good,positive\nso bad,negative\nfine,positive\n")
    with pytest.raises(DataError, match="put a line of names such as text,label above it"):
        load_domain(path)
