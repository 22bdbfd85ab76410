"""What other people have written cannot steer the terminal, forge lines or show tokens."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
import warnings
from pathlib import Path

import pytest

from nlp_adapt.cli import console, main
from nlp_adapt.errors import DataError, RunError
from nlp_adapt.escaping import Terminal, for_bars, visible
from nlp_adapt.training.inputs import diagnosis

CANARY = "hf_" + "CanaryCanaryCanary0123456789"
EVIL = "\x1b]0;owned\x07\x9b31m\u202egpj.exe\u2066\r\x7fé"
FORGED = "\nnlp-adapt: error: forged\u2028forged"
# As labels, sorted: both are formulas for a spreadsheet, too.
NAMES = (f"=HYPERLINK({EVIL})", f"@evil{FORGED}")


def assert_harmless(text, traceback=False):
    found = {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs")}
    assert found <= {"\n", "\t"}, ascii(text)
    assert CANARY not in text
    # A traceback quotes errors of libraries as they are, with their lines.
    assert traceback or "\nnlp-adapt: error: forged" not in text, text


def write_rows(path, names, rows=24):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            words = ("good great", "bad awful")[number % 2]
            writer.writerow([f"{words} number {number}", names[number % 2]])
    return path


@pytest.fixture(autouse=True)
def canary(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", CANARY)


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory, tiny_model_dir):
    """A folder with hostile data files and a run that learned their labels."""
    folder = tmp_path_factory.mktemp("evil")
    source = write_rows(folder / f"so{EVIL}urce.csv", NAMES)
    target = write_rows(folder / f"ta{FORGED}rget.csv", NAMES)
    words = (
        *("train", "--model", tiny_model_dir, "--source", source, "--target", target),
        *("--target_test", target, "--max_steps", 1, "--max_length", 16, "--precision", "fp32"),
        *("--disable_tqdm", "--output_dir", folder / "run", "--data_doctor", "report"),
    )
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO()
        patch.setattr(sys, "stdout", shown)
        patch.setattr(sys, "stderr", shown)
        assert main([str(word) for word in words]) == 0, shown.getvalue()
    assert_harmless(shown.getvalue())
    return folder, source, target


def commands(folder, source, target, tiny):
    run, out = folder / "run", folder / "out"
    out.mkdir(exist_ok=True)
    other = write_rows(folder / "other.csv", (f"x{EVIL}", f"y{FORGED}"))
    return {
        "predict": ("predict", run, target, "--out", out / f"{EVIL}.csv", "--overwrite"),
        "evaluate": ("evaluate", run, "--data", source),
        "wrong": ("evaluate", run, "--data", other),
        "labels": ("labels", source, other),
        "doctor": ("doctor", "--source", source, "--target", other, "--model", tiny),
        "compare": ("compare", run, run),
        "verify": ("verify", run),
        "card": ("card", run),
        "init": (
            *("init", "--source", source, "--target", target, "--model", tiny),
            *("--out", out / f"{FORGED}.yaml", "--overwrite"),
        ),
        "ensemble": ("ensemble", run, run, "--output_dir", out / f"{EVIL}joined"),
        "missing": ("predict", f"no{EVIL}{FORGED}{CANARY}", target, "--out", out / "x.csv"),
        "no data": (
            "evaluate",
            run,
            "--data",
            f"https://me:{CANARY}@hub.example/{EVIL}{FORGED}.csv",
        ),
        "unknown option": ("train", f"--{EVIL}{FORGED}", CANARY),
        "unknown command": (f"{EVIL}{FORGED}{CANARY}",),
        "unknown key": ("train", "--source", source, f"--options.dann.{EVIL}{FORGED}", 1),
        "bad value": ("train", "--source", source, "--seed", f"{EVIL}{FORGED}{CANARY}"),
    }


NAMED = (
    *("predict", "evaluate", "labels", "doctor", "compare", "verify"),
    *(
        "card",
        "init",
        "ensemble",
        "wrong",
        "missing",
        "no data",
        "unknown option",
        "unknown command",
    ),
    *("unknown key", "bad value"),
)
REFUSED = NAMED[NAMED.index("wrong") :]


@pytest.mark.parametrize("name", NAMED)
def test_no_command_passes_it_on(evil_run, run_cli, tiny_model_dir, name):
    words = commands(*evil_run, tiny_model_dir)[name]
    for more in ((), ("--debug",)):
        code, out, err = run_cli(*words, *more)
        assert_harmless(out + err, traceback=bool(more))
        if name in REFUSED:
            assert (code, out) == (2, "")
            assert err.count("\n") == 1 if not more else "Traceback" in err, err
        if name == "ensemble":
            shutil.rmtree(words[-1])
    if name in REFUSED:
        return
    code, out, err = run_cli(*words, "--json")
    assert_harmless(out + err)
    told = json.loads(out)
    if name == "labels":
        assert tuple(told["source"]["labels"]) == NAMES  # the content is what it was
        assert f"y{FORGED}" in told["target_only"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_labels_are_no_formulas_in_a_spreadsheet(evil_run, run_cli, tmp_path, ending):
    folder, _, _ = evil_run
    given = tmp_path / "in.txt"
    given.write_text("=1+1\n+2 good\n-bad\n")
    out = tmp_path / f"out.{ending}"
    code, _, err = run_cli("predict", folder / "run", given, "--out", out)
    if ending == "tsv" and code == 2:
        assert "line break" in err  # one of the labels holds one
        return
    assert code == 0, err
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["=1+1", "+2 good", "-bad"]
    assert {row["label"] for row in rows} <= {f"'{name}" for name in NAMES}


@pytest.mark.parametrize(
    ("label", "cell"),
    [("=1", "'=1"), ("+x", "'+x"), ("-x", "'-x"), ("@x", "'@x"), ("\tx", "'\tx"), ("-1", "-1"),
     ("+0.5", "+0.5"), ("a=b", "a=b"), ("-1+1", "'-1+1")],
)  # fmt: skip
def test_numbers_are_no_formulas(label, cell):
    from nlp_adapt.prediction.files.writing import CsvWriter, LabelledRow, Layout

    layout = Layout(columns=["text"], names={"label": "label"}, types={"label": "string"})
    row = LabelledRow("a:1", {"text": "=left alone"}, {"label": label})
    assert CsvWriter(layout).record(row) == {"text": "=left alone", "label": cell}


def test_what_is_written_for_programs_stays_as_it_is(evil_run, run_cli, tmp_path):
    folder, _, target = evil_run
    out = tmp_path / "out.jsonl"
    assert run_cli("predict", folder / "run", target, "--out", out)[0] == 0
    labels = {json.loads(line)["label"] for line in out.open(encoding="utf-8")}
    assert labels <= set(NAMES)
    code, piped, _ = run_cli("predict", folder / "run", target, "--out", "-")
    assert code == 0
    assert piped == out.read_text(encoding="utf-8")


def test_piped_rows_are_visible_on_a_terminal(evil_run, run_cli, monkeypatch):
    folder, _, target = evil_run
    monkeypatch.setattr(Terminal, "isatty", lambda self: True, raising=False)
    words = ("predict", folder / "run", target, "--out", "-", "--output_format")
    for form in ("csv", "jsonl"):
        code, out, _ = run_cli(*words, form)
        assert code == 0
        assert "good great" in out
        found = {one for one in out if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")}
        assert found <= {"\n"}, ascii(out)


def test_visible_json_is_the_same_json():
    value = {f"{EVIL}{FORGED}\U000e0001\ud800": ["\u200d\u200c", "a\tb"]}
    written = json.dumps(value, ensure_ascii=False, indent=2)
    assert json.loads(visible(written)) == value
    assert json.loads(visible('{"a": "https://x?token=abc", "b": "\\"?key=x\\"y"}')) == {
        "a": "https://x?token=***",
        "b": '"?key=***"y',
    }


def test_words_of_all_scripts_are_shown_as_they_are():
    text = "naïve Straße 中文 עברית فارسی می\u200cخواهم 👩\u200d💻 x\u00a0y\n\tz"
    assert visible(text) == text


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_logs_warnings_and_tracebacks_are_harmless(run_cli, monkeypatch):
    def noisy(recipe):
        logging.getLogger("nlp_adapt").warning("label %s %s", EVIL + FORGED, CANARY)
        logging.getLogger("other").warning("label %s %s", EVIL + FORGED, CANARY)
        warnings.warn(f"{EVIL} {CANARY}", stacklevel=1)
        print(f"{EVIL} {CANARY}")
        raise RuntimeError(f"{EVIL} https://user:{CANARY}@hub.example")

    monkeypatch.setattr(diagnosis, "diagnose", noisy)
    for debug in ((), ("--debug",)):
        code, out, err = run_cli("doctor", "--source", "a.csv", *debug)
        assert code == 1
        assert err.count("label \\u001b]0;owned") == 2
        assert "RuntimeError: " in err
        assert_harmless(out + err)


@pytest.mark.parametrize("kind", [DataError, RunError])
def test_an_error_shows_itself_in_one_line(kind):
    error = kind(f"{EVIL}{FORGED} of {CANARY}: a  b")
    assert_harmless(str(error))
    assert len(str(error).splitlines()) == 1
    assert str(error).endswith(": a  b")


def test_a_huge_value_is_cut_and_what_to_do_is_not():
    said = str(DataError(f"rows.csv:2 has the answer {'9' * 1_000_000}: write A or B."))
    assert said.startswith("rows.csv:2 has the answer 999")
    assert said.endswith("999: write A or B.")
    assert len(said) < 5_000


def test_a_bar_may_move_the_cursor(capsys):
    with console.fit_to_be_shown():
        assert for_bars() is sys.stderr.bare
        print("\rlabel", file=for_bars())
    assert capsys.readouterr().err == "\rlabel\n"


def test_a_terminal_without_letters_of_a_label_gets_escapes():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Terminal(raw).write('"é"')
    raw.flush()
    assert json.loads(raw.buffer.getvalue()) == "é"


def test_a_full_standard_output_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nlp_adapt", "methods"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("nlp-adapt: error: ")
    assert done.stderr.count("\n") == 1


_WAITING = """
import sys, time
from nlp_adapt.cli import main
from nlp_adapt.prediction.files import outputs
def load(*args):
    print("ready", flush=True, file=sys.stderr)
    time.sleep(60)
import nlp_adapt.cli.predict as predict
predict.open_model = load
sys.exit(main(["predict", "m", "-", "--out", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_text_of_standard_input_goes_with_the_command(tmp_path, number):
    temporary, out = tmp_path / "temporary", tmp_path / "out.csv"
    temporary.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", _WAITING, str(out)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdin.write("a secret text\n")
    child.stdin.close()
    assert child.stderr.readline() == "ready\n"
    assert len(list(temporary.rglob("stdin.txt"))) == 1
    time.sleep(0.1)
    child.send_signal(number)
    assert child.wait(30) == 128 + number
    assert child.stderr.read() == "nlp-adapt: interrupted\n"
    assert list(temporary.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
