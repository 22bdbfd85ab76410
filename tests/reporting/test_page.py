"""The report page: what is on it, that it loads nothing and obeys nobody's text, and how it looks."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from nlp_adapt.reporting.comparison import ESTIMATE_OFF
from nlp_adapt.reporting.page.build import build_report, report_run, write_report
from nlp_adapt.reporting.page.charts import Dot, interval_dots
from nlp_adapt.reporting.page.compare import build_comparison
from nlp_adapt.reporting.page.curves import Frame, Series, lines
from nlp_adapt.reporting.page.learning import curve, placed
from nlp_adapt.reporting.page.material import Material, read_material
from nlp_adapt.reporting.page.svg import Scale, shown
from tests.helpers.browser import PROGRAM, Browser
from tests.helpers.report_runs import (
    HOSTILE,
    KEYS,
    classifier_results,
    log_lines,
    plots,
    tagger_results,
    write_run,
)

SECTIONS = ("scores", "learning", "mistakes", "shares", "domains", "calibration", "about")
MOST_BYTES = 300_000


def full_material():
    drawn = dict.fromkeys(KEYS, plots())
    return Material(classifier_results(), {"method": "dann"}, log_lines(), drawn)


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def sections(page):
    return re.findall(r'<section id="(\w+)"', page)


def cells(page):
    return [float(value) for value in re.findall(r'<data value="([^"]+)"', page)]


def test_every_section_is_there_in_order():
    page = build_report(full_material())
    assert tuple(sections(page)) == SECTIONS
    assert "dann is 15.1 macro-F1 points better than doing nothing on tweets" in page
    assert len(page.encode()) < MOST_BYTES
    assert Tags(page).open == []


def test_the_numbers_are_those_of_the_results():
    material = full_material()
    found = cells(build_report(material))
    for key in KEYS:
        for side in ("source", "target"):
            for measure in ("accuracy", "macro_f1"):
                assert material.results[key][side][measure] in found
        assert material.plots[key]["calibration"]["target"]["before"]["ece"] in found


def test_nothing_is_loaded_and_nothing_runs():
    page = build_report(full_material())
    style = re.search("<style>(.*)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    for tag, attributes in Tags(page).seen:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("href", "#").startswith("#")


def test_foreign_text_is_only_text():
    results = classifier_results()
    text = json.dumps(results).replace('"negative"', json.dumps(HOSTILE))
    results = json.loads(text.replace('"dann"', json.dumps(HOSTILE)))
    results["model"] = results["source"]["name"] = results["target"]["name"] = HOSTILE
    results["findings"][0]["message"] = results["guard"]["reasons"][0] = HOSTILE
    drawn = dict.fromkeys(KEYS, plots())
    lines_ = [{**line, HOSTILE: 1.0} for line in log_lines()]
    page = build_report(Material(results, {"target": HOSTILE}, lines_, drawn))
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    for _, attributes in Tags(page).seen:
        assert "onerror" not in attributes


def test_what_is_not_known_is_left_out():
    results = classifier_results()
    for key in KEYS:
        del results[key]["evidence"], results[key]["best"]
        results[key]["target"] = None
    del results["guard"], results["seeds"], results["findings"]
    page = build_report(Material(results))
    assert sections(page) == ["scores", "mistakes", "about"]
    assert "no labelled test rows" in page
    alone = {**classifier_results(), "source_only": None}
    assert "No source-only twin was trained" in build_report(Material(alone, {}, log_lines()))


def test_a_yardstick_shows_no_difference():
    results = {**classifier_results(), "method": "source_only"}
    page = build_report(Material(results, {}, log_lines()))
    assert "This run did no adaptation" in page


def test_keys_of_others_are_shown_where_they_are():
    results = classifier_results()
    results["source_only"]["target"]["oracle"] = {"macro_f1": 0.77}
    results["target"]["drawn_from"] = {"test": 3200}
    told = {"negative": 0.3, "positive": 0.7}
    results["adapted"]["class_shares"] = {
        "told": told,
        "predicted_before": told,
        "estimated": {"bbse": told},
    }
    page = build_report(Material(results))
    for text in (
        "best threshold",
        "77.0",
        "drawn from 3,200",
        "as told",
        "by BBSE",
        "EM and BBSE estimate",
    ):
        assert text in page


def test_a_tagger_has_its_spans():
    results = tagger_results()
    page = build_report(Material(results, {}, log_lines(), dict.fromkeys(KEYS, plots(5))))
    assert "found where nothing is" in page
    assert "LOC: 20 wrong boundary" in page
    assert results["adapted"]["target"]["f1"] in cells(page)


def test_many_classes_stay_small():
    results = classifier_results()
    names = [f"class {number}" for number in range(80)]
    for key in KEYS:
        one = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
        scores = dict.fromkeys(names, one)
        matrix = [[int(i == j) * 3 for j in range(80)] for i in range(80)]
        matrix[0][1] = 2
        own = {"per_class": scores, "confusion_matrix": matrix, "label_names": names}
        results[key]["target"] = {**results[key]["target"], **own}
        results[key]["evidence"]["predicted"] = dict.fromkeys(names, 1 / 80)
        results[key]["evidence"]["source_classes"] = dict.fromkeys(names, 1 / 80)
    results["labels"] = names
    page = build_report(Material(results, {}, log_lines(), dict.fromkeys(KEYS, plots(80))))
    assert len(page.encode()) < MOST_BYTES
    assert "16 that changed most of 80" in page


def test_what_may_quote_rows_stays_out_of_what_is_given_away():
    material = full_material()
    assert "12 % are cut." in build_report(material)
    assert "12 % are cut." not in build_report(material, private=False)
    assert "40 %" not in build_report(material, private=False).partition("<section")[0]


def test_the_steps_of_stages_follow_each_other():
    material = full_material()
    adapted = material.models[-1]
    own = placed(material.lines, adapted.key)
    assert [at for at, _ in curve(own, "loss")] == list(range(3, 37, 3))
    # Checkpoints count the whole run; on the page each model starts from 0.
    assert "step 36: 70.0 (kept)" not in build_report(Material(material.results, {}, []))
    assert "(kept)" in build_report(material)


def test_a_scale_has_round_ticks_inside():
    assert Scale(0.0, 1.0, 0.0, 100.0).ticks(4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert Scale(61.0, 89.0, 0.0, 100.0).ticks(3) == [70.0, 80.0]
    assert Scale(0.0, 2.0, 10.0, 30.0)(1.0) == 20.0


def test_values_beyond_the_usual_limits_are_shown():
    picture = lines(
        [Series("score", [(0, -0.4), (9, -0.2)], "m0")], Frame(9), "S", limits=(0.0, 1.0)
    )
    heights = [float(one) for one in re.findall(r'cy="([\d.-]+)"', picture)]
    assert all(0 < height < 176 for height in heights)
    assert len(set(heights)) == 2


def test_an_interval_stays_among_shares():
    picture = interval_dots([("target", [Dot("auto", 0.0, 0.05, "m1")])], "F1")
    assert ">-" not in picture
    assert "interval 0.0 to 5.0" in picture


def test_many_reasons_are_folded_and_options_set_apart():
    material = full_material()
    material.results["guard"]["reasons"] = [f"`fall_back: {n}` is reason {n}." for n in range(9)]
    page = build_report(material)
    assert "<code>fall_back: 8</code> is reason 8." in page.partition("More, and why")[2]
    assert "reason 8" not in page.partition("More, and why")[0]


def test_the_interval_of_an_estimate_says_what_it_holds():
    page = build_report(full_material())
    off = 100 * ESTIMATE_OFF["sequence-classification"]
    assert f"± {off:.0f} for 9 of 10 models" in page
    assert "as wide as it was off for nine of ten models whose truth was known" in page


def test_a_line_of_one_value_is_drawn():
    picture = lines([Series("loss", [(0.0, 2.0)], "m0")], Frame(0), "Loss")
    assert "2.0" in picture


def test_long_names_are_cut():
    assert shown("x" * 50, 10) == "x" * 9 + "…"


def test_a_run_has_its_page(tmp_path):
    folder = write_run(tmp_path / "run", classifier_results())
    path = write_report(folder)
    assert path.name == "report.html"
    assert sections(path.read_text(encoding="utf-8"))[-1] == "about"


def test_runs_side_by_side_have_a_page():
    dann, other = full_material(), full_material()
    results = {**other.results, "method": "mcc", "fingerprints": {}}
    runs = {
        "runs/dann": replace(dann, results={**dann.results, "fingerprints": {}}),
        f"runs/{HOSTILE}": replace(other, results=results),
    }
    page = build_comparison(runs)
    assert sections(page) == ["scores", "learning", "shares"]
    assert "<script" not in page
    assert page.count(">mcc<") >= 2
    assert Tags(page).open == []


def test_damaged_plots_are_left_out(tmp_path):
    folder = write_run(tmp_path / "run", classifier_results())
    (folder / "adaptation" / "adapted.plots.json").write_text("{}", encoding="utf-8")
    assert [*read_material(folder).plots] == ["source_only"]


def test_a_page_that_cannot_be_written_ends_no_run(tmp_path, caplog):
    report_run(tmp_path)
    assert "nlp-adapt report" in caplog.text


WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
CELLS = "[...document.querySelectorAll('data')].map(one => [one.value, one.textContent])"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip("no Chromium here to look at the page with")
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366])
@pytest.mark.parametrize("kind", ["classifier", "tagger"])
def test_the_page_in_a_browser(tab, tmp_path, kind, width, dark):
    results = classifier_results() if kind == "classifier" else tagger_results()
    folder = write_run(tmp_path / "run", results, len(results["labels"]))
    page = write_report(folder)
    tab.look(width=width, dark=dark)
    tab.open(page.resolve())
    assert tab.complaints() == []
    assert tab.requests() == [page.resolve().as_uri()]
    inner, outer = tab.run(WIDTHS)
    assert inner <= outer
    # Opened for a look: what was folded must fit as well.
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    inner, outer = tab.run(WIDTHS)
    assert inner <= outer
    known = {float(value): text for value, text in tab.run(CELLS)}
    measure = "macro_f1" if kind == "classifier" else "f1"
    for key in KEYS:
        value = results[key]["target"][measure]
        assert known[value].lstrip("+") == f"{100 * value:.1f}"
    light = tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 251)"
    assert light is not dark


def test_the_page_is_printed_dark_on_white(tab, tmp_path):
    page = write_report(write_run(tmp_path / "run", classifier_results()))
    tab.open(page.resolve())
    tab.on_paper()
    body = "getComputedStyle(document.body)"
    assert tab.run(f"{body}.backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run(f"{body}.color") == "rgb(23, 27, 34)"
    tab.look()
