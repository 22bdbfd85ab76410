"""`nlp-adapt predict` with a tagger on real files: every row once, in order, with its columns."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nlp_adapt.cli import main
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading.files import RowFile, read_file
from nlp_adapt.prediction.files.parts import Parts
from nlp_adapt.prediction.predictor import Predictor
from tests.helpers.tiny_taggers import TAGS, tagger

Cli = Callable[..., tuple[int, str, str]]
TASK = "token-classification"
SENTENCES = [["anna", "saw", "rome"], ["über", "\u200b", "bob"], ["q" * 70], ["x", ",", "y"]] * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger saved as a plain model folder."""
    folder = tmp_path_factory.mktemp("tagger")
    for part in tagger("bert"):
        part.save_pretrained(folder)
    return folder


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def read_jsonl(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"id": i, "tokens": SENTENCES[i % len(SENTENCES)]} for i in range(count)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".jsonl.gz"])
def test_chunks_join_to_what_one_chunk_gives(
    run_cli: Cli, model: Path, tmp_path: Path, suffix: str
) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows_of(12))
    tables = []
    for name, size in (("whole", 100), ("parts", 5)):
        out = tmp_path / f"{name}{suffix}"
        code, _, err = run_cli("predict", model, source, "--out", out, "--chunk-rows", size)
        assert code == 0, err
        tables.append(read_file(out, TASK).columns)
    whole, parts = ({name: list(values) for name, values in t.items()} for t in tables)
    names = ["id", "tokens", "text", "tags", "scores", "entities"]
    assert list(whole) == list(parts) == names
    if suffix in (".csv", ".tsv"):
        for table in (whole, parts):
            for name in ("tokens", "tags", "scores", "entities"):
                table[name] = [json.loads(value) for value in table[name]]
    assert [int(value) for value in parts["id"]] == list(range(12))
    assert parts["tokens"] == [row["tokens"] for row in rows_of(12)]
    assert parts["text"] == [" ".join(words) for words in parts["tokens"]]
    assert parts["tags"] == whole["tags"]
    for words, tags, scores in zip(parts["tokens"], parts["tags"], parts["scores"], strict=True):
        assert len(words) == len(tags) == len(scores)
        assert all(0 < score <= 1 for score in scores)
    found = [
        (text[entity["start"] : entity["end"]], entity["text"])
        for text, entities in zip(parts["text"], parts["entities"], strict=True)
        for entity in entities
    ]
    assert found
    assert all(shown == said for shown, said in found)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_output_can_be_labelled_again(
    run_cli: Cli, model: Path, tmp_path: Path, suffix: str
) -> None:
    """Words are read from lists, and in csv from JSON; what is predicted keeps away from it."""
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    source = jsonl(tmp_path / "in.jsonl", rows_of(4))
    assert run_cli("predict", model, source, "--out", first)[0] == 0
    code, _, err = run_cli("predict", model, first, "--out", second)
    assert code == 0, err
    table = read_file(second, TASK).columns
    assert list(table["predicted_tags"]) == list(table["tags"])
    assert list(table["predicted_text"]) == list(table["text"])
    code, _, err = run_cli("predict", model, second, "--out", tmp_path / "third.csv")
    assert code == 2
    assert "already has a column 'predicted_text'" in err


def test_conll_keeps_its_columns(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    lines = ["anna NNP B-PER", "saw VB O", "", "-DOCSTART- -X- O", "", "rome NNP B-LOC"]
    source = write(tmp_path / "in.txt", "\n".join(lines) + "\n")
    out = tmp_path / "out.conll"
    code, _, err = run_cli("predict", model, source, "--out", out, "--chunk-rows", 1)
    assert code == 0, err
    written = [line.split("\t") for line in out.read_text(encoding="utf-8").splitlines() if line]
    assert [fields[:3] for fields in written] == [
        line.split() for line in lines if line and "DOC" not in line
    ]
    assert all(len(fields) == 4 and fields[3] in TAGS for fields in written)
    table = tmp_path / "out.jsonl"
    assert run_cli("predict", model, source, "--out", table)[0] == 0
    first, second = read_jsonl(table.read_text(encoding="utf-8"))
    assert list(first)[:4] == ["tokens", "column_2", "tags", "predicted_text"[10:]]
    assert first["column_2"] == ["NNP", "VB"]
    assert second["predicted_tags"] == [written[2][3]]


def test_plain_text_keeps_columns_and_gets_words(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.csv", 'id,text,z\n1,"Ann, 👍🏽 Lee",\n2,,x\n3, \t ,y\n4,b \u200b,\n'
    )
    out = tmp_path / "out.csv"
    code, stdout, err = run_cli("predict", model, source, "--out", out)
    assert code == 0, err
    assert "2 rows have no text" in stdout
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "text", "z", "tokens", "tags", "scores", "entities"]
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["z"] for row in rows] == ["", "x", "y", ""]
    assert json.loads(rows[0]["tokens"]) == ["Ann", ",", "👍🏽", "Lee"]
    assert [row["tags"] for row in rows[1:3]] == ["[]", "[]"]


def test_all_scores_are_a_distribution_for_each_word(
    run_cli: Cli, model: Path, tmp_path: Path
) -> None:
    source, out = jsonl(tmp_path / "in.jsonl", rows_of(3)), tmp_path / "out.jsonl"
    assert run_cli("predict", model, source, "--out", out, "--all-scores")[0] == 0
    for row in read_jsonl(out.read_text(encoding="utf-8")):
        columns = [row[f"score_{tag}"] for tag in TAGS]
        for word, score, *scores in zip(row["tokens"], row["scores"], *columns, strict=True):
            assert sum(scores) == pytest.approx(1, abs=1e-5)
            assert max(scores) == pytest.approx(score, abs=1e-6)
            assert (scores[0] == 1) == (word == "\u200b")  # no piece: O by rule
    for suffix in (".conll", ".html"):
        code, _, err = run_cli(
            "predict", model, source, "--out", tmp_path / f"o{suffix}", "--all-scores"
        )
        assert code == 2
        assert "has no place" in err


def test_likeness_of_sentences(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    """A sentence is as the mean of its words; one whose words all vanish is like nothing."""
    from nlp_adapt.data.batches.words import encode_words
    from nlp_adapt.prediction.likeness import STATISTICS, measure_domains
    from nlp_adapt.tasks.token_classification import TokenClassification

    run = tmp_path / "run"
    shutil.copytree(model, run / "model")
    network, tokenizer = tagger("bert")
    sides = {"source": [["ab", "cd"], ["ef"]], "target": [["1", ".", "2"], ["7", "9"]]}
    rows = {side: encode_words(words * 20, tokenizer, 32) for side, words in sides.items()}
    likeness = measure_domains(Predictor(network, tokenizer, TokenClassification(TAGS)), rows)
    assert likeness is not None
    likeness.save(run / "adaptation" / STATISTICS)
    texts = [["ab", "cd"], ["1", ".", "2"], ["\u200b"], []]
    source = jsonl(tmp_path / "in.jsonl", [{"tokens": words} for words in texts])
    out = tmp_path / "out.jsonl"
    code, _, err = run_cli("predict", run, source, "--out", out, "--domain-likeness")
    assert code == 0, err
    ours, theirs, vanished, empty = read_jsonl(out.read_text(encoding="utf-8"))
    assert ours["distance_source"] < ours["distance_target"]
    assert theirs["distance_target"] < theirs["distance_source"]
    assert [row["likeness_target"] for row in (vanished, empty)] == [None, None]


def test_bad_rows_are_set_aside_with_the_reason(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    lines = [
        '{"id": 1, "tokens": ["a", "b"]}',
        '{"id": 2, "tokens": "a b"}',
        '{"id": 3, "tokens": ["a", 5]}',
        '{"id": 4, "tokens": ',
        '{"id": 5}',
        '{"id": 6, "tokens": ["c\\ud800"]}',
        '{"id": 7, "tokens": [["c"]]}',
    ]
    source, out = write(tmp_path / "in.jsonl", "\n".join(lines)), tmp_path / "out.jsonl"
    code, stdout, err = run_cli("predict", model, source, "--out", out, "--chunk-rows", 2)
    assert code == 0, err
    assert "4 rows were set aside" in stdout
    written = read_jsonl(out.read_text(encoding="utf-8"))
    assert [row["id"] for row in written] == [1, 5, 6]
    assert written[1]["tags"] == []
    assert written[2]["tokens"] == ["c\ud800"]
    rejected = read_jsonl((tmp_path / "out.jsonl.rejected.jsonl").read_text())
    assert [row["row"] for row in rejected] == [f"in.jsonl:{i}" for i in (2, 3, 4, 7)]
    for row in rejected:
        reason = "not valid JSON" if row["row"].endswith(":4") else "list of tokens"
        assert reason in row["reason"]
        assert row["content"]


def test_bad_sentences_of_a_conll_file_are_set_aside(
    run_cli: Cli, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.conll"
    source.write_bytes(b"a O\n\nb O\nc X Y\n\nd\xff O\n\ne\0 O\n\nf O")
    out, aside = tmp_path / "out.jsonl", tmp_path / "aside.jsonl"
    code, _, err = run_cli("predict", model, source, "--out", out, "--rejected", aside)
    assert code == 0, err
    assert [row["tokens"] for row in read_jsonl(out.read_text())] == [["a"], ["f"]]
    rejected = read_jsonl(aside.read_text())
    assert [row["row"] for row in rejected] == ["in.conll:3", "in.conll:6", "in.conll:8"]
    for row, reason in zip(rejected, ("line 4 has 3 columns", "UTF-8", "NUL"), strict=True):
        assert reason in row["reason"]
    assert not (tmp_path / "out.jsonl.rejected.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.conll", "", "holds no rows"),
        ("in.conll", "\n\n \n", "holds no rows"),
        ("in.txt", "", "holds no rows"),
        ("in.csv", "tokens\na b\nc d\n", "list of tokens"),
        ("in.csv", "a,b\n1,2\n", "no column that looks like tokens"),
        ("in.jsonl", '{"text": 1}\n', "holds an int where text is expected"),
        ("in.jsonl", '{"text": ["a"]}\n', "holds a list where text is expected"),
        ("in.jsonl", "{\n[\n", "not valid JSON"),
    ],
)
def test_files_that_cannot_be_used(
    run_cli: Cli, model: Path, tmp_path: Path, name: str, content: str, says: str
) -> None:
    write(tmp_path / name, content)
    code, _, err = run_cli("predict", model, tmp_path / name, "--out", tmp_path / "out.csv")
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_huge_cells_end_a_chunk_early_and_stay_whole(
    run_cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlp_adapt.prediction.files.rows.CHARACTERS_AT_A_TIME", 10_000)
    huge = "ab " * 3_000 + "-+" * 4_000 + "a\u0301\u0302" * 2_000
    source = write(tmp_path / "in.csv", "id,text\n" + "".join(f"{i},{t}\n" for i, t in enumerate(
        ["short", huge, "short", "short"]
    )))  # fmt: skip
    out = tmp_path / "out.jsonl"
    sizes = [len(c) for c in RowFile(source, TASK).chunks(4, 10_000)]
    assert sizes == [2, 2]
    code, _, err = run_cli("predict", model, source, "--out", out, "--chunk-rows", 4)
    assert code == 0, err
    rows = read_jsonl(out.read_text(encoding="utf-8"))
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[1]["text"] == huge
    assert len(rows[1]["tokens"]) == len(rows[1]["tags"]) > 3_000


def test_an_interrupted_command_goes_on_to_the_same_bytes(
    run_cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = jsonl(tmp_path / "in.jsonl", [*rows_of(11), {"id": 11, "tokens": 5}])
    words = ("predict", model, source, "--chunk-rows", 3, "--out")
    assert run_cli(*words, tmp_path / "whole.jsonl.gz")[0] == 0
    real, calls = Predictor.logits, []

    def logits(self: Predictor, rows: Any) -> Any:
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, rows)

    monkeypatch.setattr(Predictor, "logits", logits)
    out = tmp_path / "out.jsonl.gz"
    code, _, err = run_cli(*words, out)
    assert (code, out.exists()) == (130, False)
    code, _, err = run_cli(*words, out)
    assert code == 0, err
    assert "after 2 finished parts" in err
    assert len(calls) == 5  # three before, and only the two that were missing
    # gzip notes a file's name, which is the same here, but no time.
    assert out.read_bytes() == (tmp_path / "whole.jsonl.gz").read_bytes()
    aside = [tmp_path / f"{name}.jsonl.gz.rejected.jsonl" for name in ("whole", "out")]
    assert aside[0].read_bytes() == aside[1].read_bytes()


def _killed_at(words: list[str], part: int) -> None:
    """Run a command in a forked process that is killed in the middle of writing a part."""
    original = Parts._write

    def torn(path: Path, data: bytes) -> None:
        if path.name == f"{part:09d}.data":
            path.write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        original(path, data)

    Parts._write = staticmethod(torn)  # type: ignore[method-assign]
    main(words)


@pytest.mark.parametrize("suffix", [".parquet", ".html"])
def test_a_killed_command_goes_on_to_the_same_bytes(
    run_cli: Cli, model: Path, tmp_path: Path, suffix: str
) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows_of(8))
    words = ["predict", str(model), str(source), "--chunk-rows", "3", "--out"]
    assert run_cli(*words, tmp_path / f"whole{suffix}")[0] == 0
    out = tmp_path / f"out{suffix}"
    killed = multiprocessing.get_context("fork").Process(
        target=_killed_at, args=([*words, str(out)], 1)
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not out.exists()
    assert (tmp_path / f".{out.name}.lock").exists()  # of a dead process: it is taken over
    code, _, err = run_cli(*words, out)
    assert code == 0, err
    assert "after 1 finished part " in err
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_commands_cannot_write_one_output(
    run_cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = jsonl(tmp_path / "in.jsonl", rows_of(2)), tmp_path / "out.jsonl"
    words = ("predict", model, source, "--out", out)
    real, second = Predictor.logits, []

    def logits(self: Predictor, rows: Any) -> Any:
        if not second:
            second.append(None)
            second[0] = main([str(word) for word in words])
        return real(self, rows)

    monkeypatch.setattr(Predictor, "logits", logits)
    code, _, err = run_cli(*words)
    assert (code, second) == (0, [2])
    assert f"--out {out}: another command is writing there (process {os.getpid()}" in err
    assert len(read_jsonl(out.read_text(encoding="utf-8"))) == 2


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives bytes to standard input."""

    def give(text: str) -> None:
        stream = SimpleNamespace(buffer=io.BytesIO(text.encode()))
        monkeypatch.setattr(sys, "stdin", stream)

    return give


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("txt", "anna saw rome\nbob\n"),
        ("txt", "anna O\nsaw O\nrome O\n\nbob O\n"),  # recognised as CoNLL columns
        ("csv", "text\nanna saw rome\nbob\n"),
        ("jsonl", '{"tokens": ["anna", "saw", "rome"]}\n{"tokens": ["bob"]}\n'),
        ("conll", "anna\nsaw\nrome\n\nbob\n"),
    ],
)
def test_standard_input_to_standard_output(
    run_cli: Cli, model: Path, piped: Callable[[str], None], kind: str, content: str
) -> None:
    piped(content)
    code, stdout, err = run_cli("predict", model, "-", "--out", "-", "--input-format", kind)
    assert code == 0, err
    first, second = read_jsonl(stdout)
    assert first["tokens"] == ["anna", "saw", "rome"]
    assert len(second["tags"]) == 1
    assert "2 rows written to standard output" in err


def test_standard_output_equals_the_file(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows_of(7))
    for kind in ("jsonl", "csv", "tsv", "conll"):
        out = tmp_path / f"out.{kind}"
        words = ("predict", model, source, "--chunk-rows", 3, "--out")
        assert run_cli(*words, out)[0] == 0
        code, stdout, err = run_cli(*words, "-", "--output-format", kind, "--json")
        assert code == 0, err
        assert stdout.encode() == out.read_bytes()
        assert json.loads(err[err.index("{") :])["rows"] == 7


def test_rows_set_aside_from_a_stream(
    run_cli: Cli, model: Path, tmp_path: Path, piped: Callable[[str], None]
) -> None:
    words = ("predict", model, "-", "--out", "-", "--input-format", "jsonl")
    piped('{"text": "a"}\n{"text": \n')
    code, stdout, err = run_cli(*words)
    assert (code, len(read_jsonl(stdout))) == (0, 1)
    assert '"content": "{\\"text\\": "' in err
    assert "1 row was set aside in standard error" in err
    piped('{"text": "a"}\n{"text": \n')
    assert run_cli(*words, "--rejected", tmp_path / "aside.jsonl")[0] == 0
    assert len(read_jsonl((tmp_path / "aside.jsonl").read_text())) == 1


def test_an_interrupted_stream_goes_on_where_it_has_the_same_content(
    run_cli: Cli,
    model: Path,
    tmp_path: Path,
    piped: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("predict", model, "-", "--chunk-rows", 1, "--out", tmp_path / "out.jsonl")
    real, calls = Predictor.logits, []

    def logits(self: Predictor, rows: Any) -> Any:
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, rows)

    monkeypatch.setattr(Predictor, "logits", logits)
    piped("anna\nbob\n")
    assert run_cli(*words)[0] == 130
    piped("anna\nbob\n")
    code, _, err = run_cli(*words)
    assert code == 0
    assert "Going on after 1" in err
    assert [row["text"] for row in read_jsonl((tmp_path / "out.jsonl").read_text())] == [
        *("anna", "bob"),
    ]


def test_a_named_pipe_is_read_once(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    pipe, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"text": "a"}\n{"text": "b"}\n',))
    writer.start()
    code, _, err = run_cli("predict", model, pipe, "--out", out)
    writer.join()
    assert code == 0, err
    assert [row["text"] for row in read_jsonl(out.read_text())] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--out", "-", "--output-format", "html"), "invalid choice"),
        (("--out", "x.jsonl", "--output-format", "csv"), "is for --out -"),
    ],
)
def test_options_that_do_not_go_together(
    run_cli: Cli, model: Path, words: tuple[str, ...], says: str
) -> None:
    code, stdout, err = run_cli("predict", model, "in.txt", *words)
    assert (code, stdout) == (2, "")
    assert says in err


def test_an_empty_list_is_a_list_of_words(run_cli: Cli, model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text('tokens\n"[""anna"", ""rome""]"\n[]\n"[""bob""]"\n')
    code, _, err = run_cli("predict", model, source, "--out", out, "--text-column", "tokens")
    assert code == 0, err
    first, empty, last = read_jsonl(out.read_text())
    assert [len(row["tags"] or []) for row in (first, empty, last)] == [2, 0, 1]


@pytest.mark.parametrize("given", ["words", "texts", "conll"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".conll", ".conll.gz"])
def test_what_is_predicted_can_be_trained_on(
    run_cli: Cli, model: Path, tmp_path: Path, given: str, suffix: str
) -> None:
    if given == "words":
        source = jsonl(tmp_path / "in.jsonl", rows_of(8))
    elif given == "texts":
        source = write(tmp_path / "in.csv", 'text\nanna saw rome\n"bob, x"\ny\n')
    else:
        source = write(tmp_path / "in.conll", "anna NNP O\nsaw VBD O\n\nrome NNP O\n\n")
    out = tmp_path / f"out{suffix}"
    code, _, err = run_cli("predict", model, source, "--out", out)
    assert code == 0, err
    told = tmp_path / "told.jsonl"
    run_cli("predict", model, source, "--out", told)
    new = "predicted_tags" if given == "conll" else "tags"
    expected = [(row["tokens"], row[new]) for row in read_jsonl(told.read_text(encoding="utf-8"))]
    column = new if ".conll" not in suffix else None
    domain = load_domain(out, task=TASK, test_fraction=0.0, label_column=column)
    names = domain.label_names or ()
    found = [(row["tokens"], [names[i] for i in row["labels"]]) for row in domain.train or ()]
    assert found == [(words, tags) for words, tags in expected if any(map(str.strip, words))]
