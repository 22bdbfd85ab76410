"""The page in a real browser: its keys, a phone's width, dark, hostile text, and what it saves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlp_adapt.reviewing.answers import read_answers
from nlp_adapt.reviewing.items import Item, Unit
from nlp_adapt.reviewing.page import write_page
from nlp_adapt.reviewing.state import Review
from tests.helpers.browser import PROGRAM, Browser
from tests.helpers.reviewed import review_of

HOSTILE = (
    "</script><img src=x onerror=\"document.title='owned'\">&lt;b&gt; <!-- \u2028 \U0001f600 {0} %s"
)
in_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


def asked(
    count: int = 5, *, text: str = "", labels: tuple[str, ...] = ("negative", "positive")
) -> Review:
    review = review_of(count, labels=labels)
    review.answers, review.first_look = {}, ()
    for number, (name, item) in enumerate([*review.items.items()]):
        unit = Unit(f"{text}text {number}", f"t:{number}", "positive", "negative")
        review.items[name] = Item(name, unit, item.a, item.b)
    return review


def page_of(folder: Path, review: Review) -> Path:
    path = folder / "review.html"
    write_page(path, review, [*review.items.values()])
    return path


def test_the_file_names_no_model_and_no_address(tmp_path: Path) -> None:
    text = page_of(tmp_path, asked()).read_text()
    assert not re.search(r"https?:|//\w|@import|url\(|adapted|source_only|source-only", text)
    assert "default-src 'none'" in text
    assert "unsafe" not in text


def test_nothing_in_a_text_ends_its_element(tmp_path: Path) -> None:
    text = page_of(tmp_path, asked(text=HOSTILE)).read_text()
    assert text.count("</script>") == 2
    assert "<img" not in text


@in_browser
def test_answers_by_key_are_saved_and_read_back(browser: Browser, tmp_path: Path) -> None:
    review = asked(6, text=HOSTILE)
    browser.open(page_of(tmp_path, review))
    assert browser.run("document.getElementById('text').textContent") == f"{HOSTILE}text 0"
    assert browser.run("document.title") == "Review"
    browser.press("1", "2", "3", "ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight", "4", "5")
    assert "Row 6 of 6, 5 answered" in browser.run("document.body.textContent")
    browser.press("2", "Backspace", "1")
    browser.press("ArrowLeft", "Backspace")
    assert "Row 5 of 6, 5 answered" in browser.run("document.body.textContent")
    browser.press("5", "s")
    saved = browser.downloaded("review-answers.csv")
    found = read_answers(saved, review)
    assert [*found.values()] == ["A", "B", "neither", "both", "unsure", "A"]
    saved.unlink()
    assert browser.complaints() == []
    assert {url.partition(":")[0] for url in browser.requests()} <= {"file", "blob"}


@in_browser
def test_answers_are_still_there_after_a_reload(browser: Browser, tmp_path: Path) -> None:
    path = page_of(tmp_path, asked(4, text="kept "))
    browser.open(path)
    browser.press("1", "2")
    browser.open(path)
    assert "Row 3 of 4, 2 answered" in browser.run("document.body.textContent")
    pressed = "document.querySelectorAll('[aria-pressed=true] kbd')"
    browser.press("ArrowLeft")
    assert browser.run(f"{pressed}[0].textContent") == "2"


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(browser: Browser, tmp_path: Path, dark: bool) -> None:
    browser.look(width=390, dark=dark)
    browser.open(page_of(tmp_path, asked(3, text="w" * 300 + " and " + "long words " * 40)))
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("innerWidth") == 390
    heights = "[...document.querySelectorAll('button')].map((one) => one.offsetHeight)"
    assert min(browser.run(heights)) >= 44
    for name in ("body", "#choices button", "#progress", "footer p"):
        assert browser.run(CONTRAST % name) >= 4.5, name
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == dark
    browser.look()


CONTRAST = """
(() => {
  const light = (rgb) => rgb.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ink = light(getComputedStyle(document.querySelector('%s')).color);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
})()
"""


@in_browser
def test_the_stretch_that_is_asked_is_marked(browser: Browser, tmp_path: Path) -> None:
    review = asked(1)
    review.task, review.labels = "token-classification", ("PER", "ORG")
    (name,) = review.items
    unit = Unit("\U0001f600 Ann <Lee> went", "t:1", "PER: Ann", "no entity", 2, 11)
    review.items[name] = Item(name, unit, "PER: Ann", "no entity")
    browser.open(page_of(tmp_path, review))
    assert browser.run("document.querySelector('mark').textContent") == "Ann <Lee>"
    assert browser.run("document.getElementById('others').hidden") is True
    assert browser.complaints() == []


@in_browser
def test_another_of_many_labels_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    review = asked(1, labels=("negative", "positive", "<i>mixed", "A"))
    browser.open(page_of(tmp_path, review))
    options = "[...document.querySelectorAll('option')].map((one) => one.value)"
    assert browser.run(options) == ["", "<i>mixed", "A"]
    browser.run("""(() => {
        const list = document.getElementById("label");
        list.value = "<i>mixed";
        list.dispatchEvent(new Event("change"));
    })()""")
    browser.press("s")
    saved = browser.downloaded("review-answers.csv")
    assert [*read_answers(saved, review).values()] == ["=<i>mixed"]
    saved.unlink()
