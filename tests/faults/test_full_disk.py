"""Wherever a disk is full, a command ends in one sentence, and leaves nothing half-written."""

import errno
import io
import json
import os
import resource
import signal
import sys
import traceback

import pytest

from nlp_adapt.cli import main
from nlp_adapt.errors import AdaptationError, RunError
from nlp_adapt.files import full_disk, said_of, write_folder
from nlp_adapt.prediction import export
from nlp_adapt.prediction.joining import join
from nlp_adapt.prediction.opening import save_ensemble
from nlp_adapt.reporting.card import write_card
from nlp_adapt.training.inputs.augmented import write_rows
from tests.helpers.trainers import trainer_for

OPTIONS = {"data_doctor": "off", "save_strategy": "steps", "save_steps": 1}


def under_limit(limit, job):
    """What `job` ends with in a child whose files may not grow beyond `limit` bytes."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = io.StringIO()  # pytest's own are files
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            job()
            said = "done"
        except AdaptationError as error:
            said = str(error)
        except BaseException:
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def assert_clean(said, *folders, parts=False):
    assert "Traceback" not in said, said
    assert len(said.splitlines()) == 1, said
    assert "File too large" in said
    assert "free some space" in said
    for folder in folders:
        names = [path.name for path in folder.rglob("*")]
        left = [name for name in names if name.startswith(".") or "stag" in name]
        assert not left or (parts and all(name.endswith(".parts") for name in left)), left
        assert "joined" not in names


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trainer_for(folder, data_doctor="off").train()
    return folder / "run"


@pytest.mark.parametrize("limit", [0, 700, 3_000, 30_000, 80_000])
def test_a_run(tmp_path, finished, limit):
    largest = max(path.stat().st_size for path in finished.rglob("*") if path.is_file())
    assert limit < largest
    said = under_limit(limit, lambda: trainer_for(tmp_path, **OPTIONS).train())
    if limit:
        assert_clean(said, tmp_path)
    else:  # not even the lock
        assert "choose another folder" in said
    if limit >= 3_000:
        results = trainer_for(tmp_path, **OPTIONS, resume=True).train()
        whole = json.loads((finished / "results.json").read_text())
        assert results["adapted"]["ledger"] == whole["adapted"]["ledger"]


@pytest.mark.parametrize("limit", [500, 30_000])
def test_what_is_made_of_models(tmp_path, finished, limit):
    out = tmp_path / "out"
    jobs = {
        "average": lambda: save_ensemble(out, [finished, finished]),
        "soup": lambda: join([str(finished)] * 2, out, "soup"),
        "ensemble": lambda: join([str(finished)] * 2, out),
    }
    for name, job in jobs.items():
        said = under_limit(limit, job)
        assert_clean(said, tmp_path)
        assert not out.exists(), name


def test_an_export(tmp_path, finished, monkeypatch):
    """The graph itself needs packages that are not always there."""
    monkeypatch.setattr(export, "_require_packages", lambda *names: None)
    monkeypatch.setattr(export, "_difference", lambda *graphs: 0.0)
    for graph in (10, 5_000):
        monkeypatch.setattr(
            export, "_write_graph", lambda _, file, n=graph: file.write_bytes(b"x" * n)
        )
        said = under_limit(500, lambda: export.export_onnx(finished, tmp_path / "onnx"))
        assert_clean(said, tmp_path)
        assert not (tmp_path / "onnx").exists()


def test_a_card_and_augmented_rows_keep_what_was_there(tmp_path, finished):
    card = finished / "model" / "README.md"
    before = card.read_bytes()
    assert_clean(under_limit(300, lambda: write_card(finished)), finished / "model")
    assert card.read_bytes() == before
    rows = [{"text": "word " * 100}]
    path = tmp_path / "augmented.jsonl"
    assert_clean(under_limit(300, lambda: write_rows(path, "key", rows, {})), tmp_path)
    assert not path.exists()


def command(words):
    """The command's one sentence, raised so that `under_limit` tells it."""
    sys.stdout = io.TextIOWrapper(io.BytesIO())
    code = main([str(word) for word in words])
    if code:
        raise AdaptationError(sys.stderr.getvalue().strip())


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_predictions(tmp_path, finished, ending):
    given = tmp_path / "in.jsonl"
    given.write_text(
        "".join(json.dumps({"text": f"word{i} " * 9, "n": i}) + "\n" for i in range(300))
    )
    out = tmp_path / "out" / f"out.{ending}"
    out.parent.mkdir()
    words = ("predict", finished, given, "--out", out, "--chunk_rows", 20)
    size = {"csv.gz": 1_000, "parquet": 3_500}.get(ending, 5_000)  # more than a part, not the whole
    for limit in (200, size):
        said = under_limit(limit, lambda: command(words))
        assert f"--out {out}: cannot be written" in said
        assert "what is done is kept" in said
        assert_clean(said, out.parent, parts=True)
        assert not out.exists()
    assert main([str(word) for word in words]) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_rows_that_are_set_aside_and_standard_input(tmp_path, finished, monkeypatch):
    given = tmp_path / "in.jsonl"
    good = json.dumps({"text": "word1"}) + "\n"
    given.write_text(good * 5 + "{broken\n" * 40)
    words = ("predict", finished, given, "--out", "-", "--rejected", tmp_path / "aside.jsonl")
    assert "aside.jsonl: cannot be written" in under_limit(300, lambda: command(words))
    text = tmp_path / "in.txt"
    text.write_text("word1 word2\n" * 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def from_standard_input():
        sys.stdin = text.open()
        command(("predict", finished, "-", "--out", tmp_path / "x.csv"))

    assert_clean(under_limit(300, from_standard_input), tmp_path)


def test_a_full_disk_that_nothing_else_speaks_of(run_cli, monkeypatch):
    def full(*args):
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
        except OSError as error:
            raise ValueError("wrapped") from error

    monkeypatch.setattr("nlp_adapt.training.inputs.diagnosis.diagnose", full)
    code, out, err = run_cli("doctor", "--source", "a.csv")
    assert (code, out) == (2, "")
    said = "/tmp/x: cannot be written (No space left on device); free some space and try again."
    assert err == f"nlp-adapt: error: {said}\n"
    assert full_disk(ValueError("x")) is None


def test_other_errors_pass(tmp_path):
    with pytest.raises(ValueError, match="ours"), said_of(tmp_path):
        raise ValueError("ours")
    with pytest.raises(RunError, match="as it was"), said_of(tmp_path):
        raise RunError("as it was")

    def write(folder):
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(RunError, match="Permission denied"):
        write_folder(tmp_path / "x", write)
    assert not list(tmp_path.iterdir())
