"""The end of a run on one screen."""

import io

import pytest

from nlp_adapt.cli import console
from nlp_adapt.escaping import Terminal
from nlp_adapt.reporting.ending import OPEN, duration, ending
from nlp_adapt.reporting.table import layout
from tests.helpers.report_runs import HOSTILE, classifier_results, tagger_results

GOLDEN = """\
films (4,000 train, 1,000 test) -> tweets (3,000 train, 1,000 test); roberta-base, seed 42

dann is 15.1 macro-F1 points better than doing nothing on tweets (95 % interval +/- 3.6, 1,000
test rows).

%            source accuracy  source macro-F1  target accuracy  target macro-F1
-----------  ---------------  ---------------  ---------------  ---------------
source-only             90.0             90.0             73.5             71.8
dann                    90.0             90.0             87.0             86.9
difference               0.0              0.0            +13.5            +15.1

F1 on target, %  source-only  dann  difference  rows
---------------  -----------  ----  ----------  ----
negative                78.7  88.1        +9.4   500
positive                64.9  85.7       +20.8   500

The source-only model loses 18.2 macro-F1 points from films to tweets.
Without target labels, the signs speak for the adapted model.
The estimate goes up.

Trained: source-only 61 s (36 steps), dann 61 s (36 steps).

The dann model is in runs/dann/model. Next:
  xdg-open runs/dann/report.html                           see the run
  nlp-adapt review runs/dann                               judge both models
  nlp-adapt predict runs/dann TEXTS.csv --out LABELS.csv   label new texts"""


def printed(results, run="runs/dann", width=96):
    (before, after), tables = ending(results, run, width)
    return "\n\n".join([before, *map(layout, tables), after])


def test_a_classifier_ends_on_one_screen():
    text = printed(classifier_results())
    assert text.replace(f"  {OPEN} ", "  xdg-open ") == GOLDEN
    assert len(text.splitlines()) < 30
    assert max(map(len, text.splitlines())) <= 100


def test_a_tagger_has_its_types_in_the_table():
    text = printed(tagger_results(), "my runs/ner")
    assert "LOC" in text
    assert "nlp-adapt review 'my runs/ner'" in text
    assert len(text.splitlines()) < 34


def test_a_run_without_a_twin_is_sent_to_no_review():
    for missing in (None, {}):
        text = printed({**classifier_results(), "source_only": missing})
        assert "nlp-adapt review" not in text
        assert "nlp-adapt predict runs/dann" in text


def test_many_classes_have_no_table():
    results = classifier_results()
    one = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
    for key in ("source_only", "adapted"):
        many = {f"class {number}": one for number in range(9)}
        results[key]["target"] = {**results[key]["target"], "per_class": many}
    assert "class 1" not in printed(results)


def test_the_source_only_model_is_named_where_it_is_exported():
    text = printed({**classifier_results(), "exported": "source_only"})
    assert "The source-only model is in runs/dann/model." in text


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Screen])
def test_a_terminal_obeys_no_foreign_text(kind, monkeypatch):
    results = classifier_results()
    results["target"]["name"] = f"[red]{HOSTILE}"
    stream = kind()
    monkeypatch.setattr("sys.stdout", Terminal(stream))
    monkeypatch.setenv("TERM", "xterm")
    console.show_tables(*ending(results, "runs/dann"))
    shown = stream.getvalue()
    assert "\x1b[31m" not in shown.replace("\x1b[31mx", "")
    assert "\u202e" not in shown
    assert "[red]" in shown
    assert "71.8" in shown


@pytest.mark.parametrize("results", [classifier_results(), tagger_results()])
def test_a_narrow_terminal_cuts_no_name_and_breaks_no_line_twice(results, monkeypatch):
    stream = Screen()
    monkeypatch.setattr("sys.stdout", Terminal(stream))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    console.show_tables(*ending(results, "runs/dann"))
    shown = stream.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for line in printed(results, width=80).splitlines():
        assert "  " in line.strip() or line in shown  # tables are drawn in another way


def test_time_as_people_say_it():
    assert [duration(s) for s in (5.4, 89, 130, 7300)] == ["5 s", "89 s", "2 min", "2 h 02 min"]
