"""Files that users brought to other tools, by the public report that tells of them.

Each is read to the right rows, or refused in one sentence.
"""

import json

import pytest

from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading.files import RowFile
from nlp_adapt.errors import DataError

TEXTS, WORDS = "sequence-classification", "token-classification"
GOOD_AND_BAD = [("so, good", "pos"), ("bad", "neg")]
JO = (["Jo", "is"], ["B-PER", "O"])


def rows_of(domain):
    """Each row's text (or words) and label (or tags); None where it has none."""
    found = []
    for rows in domain.splits.values():
        names = domain.label_names or ()
        for row in rows:
            label = row.get(domain.label_column)
            named = [names[i] for i in label] if isinstance(label, list) else label
            named = names[named] if isinstance(named, int) else named
            found.append((row[domain.text_column], named))
    return found


def load(folder, name, content, task=TEXTS, **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_domain(path, task=task, test_fraction=0.0, **options)


def of(report, *values):
    return pytest.param(*values, id=report)


READ = [
    of(
        "alan-turing-institute/CleverCSV#58",
        "a.csv",
        "text|label\nso, good|pos\nbad|neg\n",
        GOOD_AND_BAD,
    ),
    of(
        "mechatroner/vscode_rainbow_csv#134",
        "a.csv",
        "text;label;a, b\nso, good;pos;\nbad;neg;\n",
        GOOD_AND_BAD,
    ),
    of(
        "mholt/PapaParse#290",
        "a.csv",
        "date, local;text;label\n8, 1;so, good;pos\n9, 1;bad;neg\n",
        GOOD_AND_BAD,
    ),
    of(
        "dathere/datapusher-plus#256",
        "a.csv",
        "text;label\nso, good;pos\nbad;neg\n",
        GOOD_AND_BAD,
    ),
    of("huggingface/datasets#1763", "a.tsv", 'text\tlabel\nHe said "no\tneg\n', [('He said "no', "neg")]),
    of("pola-rs/polars#19078", "a.csv", 'text;label\n"a\nb, c";pos\nd;neg\n', [("a\nb, c", "pos"), ("d", "neg")]),
    of("pandas-dev/pandas#24681", "a.csv", "text,label\nn/a,pos\nnull,neg\n", [("n/a", "pos"), ("null", "neg")]),
    of(
        "huggingface/datasets#372",
        "a.json",
        '{"version": 1,\n "data": [{"text": "so, good", "label": "pos"},\n {"text": "bad", "label": "neg"}]}',
        GOOD_AND_BAD,
    ),
    of(
        "capitalone/DataProfiler#105",
        "a.json",
        '{"data": [{"text": "so, good", "label": "pos"}, {"text": "bad", "label": "neg"}]}',
        GOOD_AND_BAD,
    ),
    of(
        "spacy-cats",
        "a.json",
        '[["so, good", {"cats": {"pos": 1.0, "neg": 0.0}}], ["bad", {"cats": {"pos": false, "neg": true}}]]',
        GOOD_AND_BAD,
    ),
    of("cats-that-are-no-scores", "a.json", '[{"text": "so, good", "label": "pos", "cats": {"a": "1"}}, {"text": "bad", "label": "neg"}]', GOOD_AND_BAD),
    of("cats-of-another-kind", "a.json", '[{"text": "so, good", "cats": {"name": "Tom"}}, {"text": "bad", "cats": null}]', [("so, good", None), ("bad", None)]),
    of(
        "prodigy-choice",
        "a.jsonl",
        '{"text": "so, good", "options": [{"id": "pos"}, {"id": "neg"}], "accept": ["pos"]}\n'
        '{"text": "bad", "options": [{"id": "pos"}, {"id": "neg"}], "accept": ["neg"]}\n',
        GOOD_AND_BAD,
    ),
    of("huggingface/datasets#6695", "a.json", '["so, good",\n "bad"]', [("so, good", None), ("bad", None)]),
    of(
        "ThilinaRajapakse/pytorch-transformers-classification#3",
        "a.tsv",
        "label\tid\ttext\npos\t7\tso, good\nneg\t8\tbad\n",
        GOOD_AND_BAD,
    ),
]  # fmt: skip
REFUSED = [
    of(
        "huggingface/datasets#1989",
        "a.csv",
        b"text,label\nRose Blakey \r x,nurse\n",
        r"a\.csv:2 holds a carriage return: put the text",
    ),
    of(
        "UKGovernmentBEIS/inspect_ai#4549",
        "a.csv",
        "text,label,id\na,pos,1\nb,neg\n",
        r"a\.csv:3 has 2 fields where the header names 3",
    ),
    of(
        "huggingface/transformers#13178",
        "a.csv",
        "# of 2021\nsentence,label\na,1\n",
        r"a\.csv:2 has 2 fields where the header names 1: the first line must name the columns",
    ),
    of("nyu-mll/GLUE-baselines#5", "a.tsv", "text\tlabel\n\t\tx\t0\n", r"a\.tsv:2 has 4 fields"),
    of(
        "nyu-mll/GLUE-baselines#13",
        "a.tsv",
        "Quality\t#1 String\t#2 String\n1\ta b\tc\n",
        r"no column that looks like text \(columns: Quality, #1 String",
    ),
    of(
        "huggingface/sentence-transformers#2791",
        "a.csv",
        "text,text_pair,label\na,b,1\nc,d,0\n",
        r"pairs of texts \(text, text_pair\).*text_column",
    ),
    of("h2oai/h2o-3#2784", "a.csv", 'text,label\n"a" b,pos\n', r"a\.csv:2 is not valid csv.*quotation marks"),
    of(
        "eth-easl/modyn#473",
        "a.csv",
        'text,label\n"Great,pos\nbad,neg\nfine,pos\nSo ""x"" said",neg\nlast,pos\n',
        r"a\.csv:2 opens a quotation mark that ends on line 5 alone",
    ),
    of("pandas-to-json", "a.json", '{"text":{"0":"a","1":"b"},"label":{"0":"x","1":"y"}}', r"a\.json is one JSON object.*orient='records'"),
    of("pandas-to-json-split", "a.json", '{"columns":["text"],"index":[0],"data":[["a"]]}', r"a\.json is one JSON object"),
    of("splits-in-one-object", "a.json", '{"train":[{"text":"a"}],"test":[{"text":"b"}]}', r"a\.json is one JSON object"),
    of("line-break-in-tsv", "a.tsv", 'text\tlabel\n"a\nb"\tpos\n', r"a\.tsv:2 has 1 field .* each line is a row, whatever is in quotation marks"),
    of("unnamed-columns", "a.csv", "v1,v2,,\nham,a,,\n", r"a\.csv:1 has 2 columns without a name: name them"),
    of("several-cats", "a.jsonl", '{"text": "a", "cats": {"x": 1.0, "y": 1.0}}', r"a\.jsonl:1 has a list where a label"),
    of("yahoojapan/JGLUE#3", "a.jsonl", '{"text": "a", "label": "4.2"}\n', "4.2, a number that is not whole"),
    of("microsoft/OmniParser#34", "a.txt", "version https://git-lfs.github.com/spec/v1\noid 0\n", r"a\.txt is a Git LFS pointer"),
    of("cleanlab/cleanlab-studio#73", "a.json", '{\n "7": {"text": "a"}\n}', r"a\.json is one JSON object"),
]  # fmt: skip
TAGGED = [
    of(
        "flairNLP/flair#3020",
        "a.conll",
        "# sent_id = 1\n# text = Jo is\nJo\tB-PER\nis\tO\n\n# sent_id = 2\n#\tO\n",
        [JO, (["#"], ["O"])],
    ),
    of("dmis-lab/biobert#85", "a.conll", "a O\n\nJo B-PER\nis O", [(["a"], ["O"]), JO]),
    of(
        "explosion/spaCy#13533",
        "a.jsonl",
        '{"text": "Hello from India", "entities": [[11, 15, "GPE"]]}',
        [(["Hello", "from", "Indi", "a"], ["O", "O", "B-GPE", "O"])],
    ),
    of(
        "doccano/doccano#166",
        "a.jsonl",
        '{"text": "out of 10.", "labels": [[7, 9, "C"], [7, 9, "C"]]}',
        [(["out", "of", "10", "."], ["O", "O", "B-C", "O"])],
    ),
    of(
        "doccano/doccano-transformer#34",
        "a.jsonl",
        json.dumps(
            {
                "text": "INV 12",
                "entities": [{"id": 3, "label": "Number", "start_offset": 4, "end_offset": 6}],
                "relations": [{"id": 6, "from_id": 3, "to_id": 5, "type": "of"}],
            }
        ),
        [(["INV", "12"], ["O", "B-Number"])],
    ),
    of(
        "spyysalo/conlleval.py#1",
        "a.conll",
        "North B-M\nAfrican E-M\nGrand B-M\nPrix E-M\n",
        [(["North", "African", "Grand", "Prix"], ["B-M", "I-M", "B-M", "I-M"])],
    ),
    of("glample/tagger#85", "a.conll", "- O\nL I-ORG\n\nA I-ORG\nB B-ORG\n", [(["-", "L"], ["O", "B-ORG"]), (["A", "B"], ["B-ORG", "B-ORG"])]),
    of(
        "explosion/spaCy#13689",
        "a.json",
        '{"classes": ["PER"], "annotations": [["Jo is", {"entities": [[0, 2, "PER"]]}]]}',
        [JO],
    ),
    of("huggingface/transformers#30028", "a.conll", "a B-O\nJo B-PER\n", [(["a", "Jo"], ["O", "B-PER"])]),
    of("argilla-io/argilla#1264", "a.jsonl", '{"tokens": ["Jo", " "], "ner_tags": ["B-PER", "O"]}', [(["Jo", " "], ["B-PER", "O"])]),
    of(
        "argilla-io/argilla#1016",
        "a.jsonl",
        '{"text": "👩‍👧 Jo is", "entities": [[4, 6, "PER"]]}',
        [(["👩‍👧", "Jo", "is"], ["O", "B-PER", "O"])],
    ),
    of(
        "keras-team/keras-io#846",
        "a.jsonl",
        '{"tokens": [], "ner_tags": []}\n{"tokens": ["Jo", "is"], "ner_tags": ["B-PER", "O"]}',
        [JO],
    ),
]  # fmt: skip
UNTAGGED = [
    of(
        "flairNLP/flair#3194",
        "a.conll",
        "1\tS'\t_\tSCONJ\n2\tellu\t_\tPRON\n",
        r"a\.conll:1 counts words in its first column",
    ),
    of("pyconll/pyconll#129", "a.conll", "1\ta\tO\n2\tb\tO\n3\n", r"a\.conll:3 has 1 column where"),
    of("klintan/swedish-ner-corpus#1", "a.conll", "Jo PER\nis 0\n", r'label_map: \{"0": O\}$'),
    of("flairNLP/flair#223", "a.conll", "x QC B-COUNT\ny JJ o\n", r"a\.conll:2: the tag o .*label_map: \{o: O\}$"),
    of("label-lists-in-spans", "a.jsonl", '{"text": "in Paris", "label": [[3, 8, ["LOC", "GPE"]]]}', r"a\.jsonl:1 has entities that overlap"),
    of("span-without-type", "a.jsonl", '{"text": "in Paris", "label": [[3, 8, null]]}', r"a\.jsonl:1 has an entity at 3 to 8 without a type"),
    of("no-break-spaces", "a.conll", "Jo\xa0B-PER\nis\xa0O\n", r"a\.conll:1 has a no-break space between its columns"),
    of("bmes", "a.conll", "Jo S-PER\nis O\nNew B-LOC\nYork M-LOC\nCity E-LOC\n", r"a\.conll:4: the tag M-LOC .*label_map: \{M-LOC: I-LOC\}$"),
    of("flairNLP/flair#1581", "a.conll", "It O +\nis O -\n", r"a\.conll:1: the tag \+ is not of the form"),
    of("doccano/doccano#475", "a.jsonl", '{"text": "a bc", "labels": [[0, 4, "A"], [2, 4, "A"]]}', r"a\.jsonl:1 has entities that overlap"),
    of(
        "doccano/doccano#1795",
        "a.jsonl",
        '{"data": "a bc", "label": [[0, 1, "A"]]}',
        r"looks like tokens \(columns: data, label\): name it with text_column",
    ),
    of(
        "ThilinaRajapakse/simpletransformers#1106",
        "a.csv",
        "sentence_id,words,labels\n0,Jo,B-PER\n0,is,O\n",
        r"a\.csv:2 does not hold a list of tokens",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "rows"), READ)
def test_texts_are_read(tmp_path, name, content, rows):
    assert rows_of(load(tmp_path, name, content)) == rows


@pytest.mark.parametrize(("name", "content", "sentence"), REFUSED)
def test_texts_are_refused(tmp_path, name, content, sentence):
    with pytest.raises(DataError, match=sentence):
        load(tmp_path, name, content)


@pytest.mark.parametrize(("name", "content", "rows"), TAGGED)
def test_words_are_read(tmp_path, name, content, rows):
    assert rows_of(load(tmp_path, name, content, WORDS)) == rows


@pytest.mark.parametrize(("name", "content", "sentence"), UNTAGGED)
def test_words_are_refused(tmp_path, name, content, sentence):
    with pytest.raises(DataError, match=sentence):
        load(tmp_path, name, content, WORDS)


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo, and more\nthree, at last",
        "Well, yes\nso, no\nwhy, then",
        "Dear all,\nthe film,\nthe end",
        "a,b\nno comma\nc",
    ],
)
def test_a_text_of_several_lines_is_no_stray_quotation(tmp_path, text):
    domain = load(tmp_path, "a.csv", f'text,label\n"{text}",pos\nbad,neg\n')
    assert rows_of(domain) == [(text, "pos"), ("bad", "neg")]


def test_a_quoted_header_says_that_a_column_is_quoted_on_purpose(tmp_path):
    domain = load(tmp_path, "a.csv", '"text"\n"Dear all,\nthe end"\n"bad"\n')
    assert rows_of(domain) == [("Dear all,\nthe end", None), ("bad", None)]


def test_the_middle_of_bmes_is_read_with_the_map_that_is_proposed(tmp_path):
    content = "New B-LOC\nYork M-LOC\nCity E-LOC\n"
    domain = load(tmp_path, "a.conll", content, WORDS, label_map={"M-LOC": "I-LOC"})
    assert rows_of(domain) == [(["New", "York", "City"], ["B-LOC", "I-LOC", "I-LOC"])]


@pytest.mark.parametrize("words", ["Jo\n10\xa0000\n", "1\xa0000\nJo\n"])
def test_a_token_may_hold_a_no_break_space(tmp_path, words):
    assert rows_of(load(tmp_path, "a.conll", words, WORDS)) == [(words.split("\n")[:2], None)]


def test_rows_that_a_stray_quotation_took_in_are_set_aside(tmp_path):
    content = 'text,label\nfirst,neg\n"Great,pos\nbad,neg\nSo ""x"" said",neg\nlast,pos\n'
    domain = load(tmp_path, "a.csv", content, quarantine=1)
    assert rows_of(domain) == [("first", "neg"), ("last", "pos")]
    assert "a.csv:3" in domain.notes[0]


def test_a_bad_line_below_the_first_is_no_fault_of_the_header(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv:3 is not UTF-8"):
        load(tmp_path, "a.csv", b"text;label, x\na;1\ncaf\xe9;0\n")


def test_excel_names_what_parts_the_fields(tmp_path):
    domain = load(tmp_path, "a.csv", "sep=;\ntext;label\nso, good;pos\nbad\n", quarantine=1)
    assert rows_of(domain) == GOOD_AND_BAD[:1]
    assert "a.csv:4 has 1 field" in domain.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", 'text, label\n"a, b", "pos"\n', r"a\.csv:2 has a space before a quotation"),
        ("a.txt", "<!DOCTYPE html>\n<p>404\n", r"a\.txt is a web page"),
        ("a.txt", "__label__pos a good film\n", r"a\.txt holds fastText's labels"),
        ("a.jsonl", '{"text": "a"},\n{"text": "b"}\n', r"a\.jsonl:1 is not valid JSON"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, name, content, sentence):
    with pytest.raises(DataError, match=sentence):
        load(tmp_path, name, content)


def test_a_row_with_lists_is_no_file_of_rows(tmp_path):
    content = '{"text": "Jo is", "data": 3, "entities": [{"start": 0, "end": 2, "label": "PER"}]}'
    assert rows_of(load(tmp_path, "a.jsonl", content, WORDS)) == [JO]


def test_damaged_names_of_classes_are_not_passed_over(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value
    from pyarrow import parquet

    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    table = Dataset.from_dict({"text": ["a"], "label": [1]}, features).data.table
    damaged = {b"huggingface": table.schema.metadata[b"huggingface"][:-9]}
    parquet.write_table(table.replace_schema_metadata(damaged), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet is not a readable parquet file"):
        RowFile(tmp_path / "a.parquet", TEXTS).features()
