"""A run's folder that somebody else made: its reports are written, or refused in one sentence."""

import csv
import json

import pytest

from nlp_adapt.errors import AdaptationError
from nlp_adapt.files import Manifest
from nlp_adapt.reporting.card import write_card
from nlp_adapt.reporting.page.build import write_report
from nlp_adapt.reporting.page.compare import write_comparison
from nlp_adapt.reviewing.session import review
from tests.helpers.oddities import changes, outcome
from tests.helpers.report_runs import classifier_results, tagger_results, write_run
from tests.helpers.reviewed import reviewable_run


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("nlp_adapt.files.sync", lambda path: None)


def seal(run, name, text):
    (run / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    Manifest(run).seal(run / name)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        *(("results.json", "texts"), ("results.json", "words")),
        *(("log.jsonl", "texts"), ("adaptation/adapted.plots.json", "texts")),
    ],
)
def test_reports_of_what_no_run_writes(tmp_path, name, task):
    results = classifier_results() if task == "texts" else tagger_results()
    run, other = write_run(tmp_path / "run", results), write_run(tmp_path / "other", results)
    text = (run / name).read_text(encoding="utf-8")
    lines = name.endswith("jsonl")
    values = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    refused = 0
    for one in changes(values):
        seal(run, name, "\n".join(map(json.dumps, one)) if lines else json.dumps(one))
        for write in (
            lambda: write_report(run),
            lambda: write_card(run),
            lambda: write_comparison([str(run), str(other)], tmp_path / "page.html"),
        ):
            found = outcome(write)
            refused += isinstance(found, AdaptationError)
            if not isinstance(found, AdaptationError):
                assert "<script>" not in found.read_text(encoding="utf-8", errors="replace")
    assert refused > 0


def test_the_sentence_names_the_run_and_what_is_odd_in_it(tmp_path, run_cli):
    run = write_run(tmp_path / "run", {**classifier_results(), "target": 5})
    for words in (("report", run), ("card", run), ("compare", run, run)):
        code, out, err = run_cli(*words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert f"{run}: results.json or another file" in err or "cannot be compared" in err


def test_a_review_of_what_no_run_writes(tmp_path):
    run = reviewable_run(tmp_path)
    review(run, rows=6, agreeing=2, device="cpu")
    answers = tmp_path / "answers.csv"
    with (run / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    answers.write_text("id,answer\n" + "".join(f"{row['id']},A\n" for row in rows), "utf-8")
    state = "adaptation/review.json"
    values = json.loads((run / state).read_text(encoding="utf-8"))
    for one in changes(values):
        seal(run, state, json.dumps(one))
        outcome(lambda: review(run, answers))
