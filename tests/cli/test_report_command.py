"""`nlp-adapt report` and `compare --out`: pages of real runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.browser import PROGRAM, Browser

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(toy_run: Path, tmp_path: Path) -> Path:
    """A copy, so that no page is left in the run of other tests."""
    return Path(shutil.copytree(toy_run, tmp_path / "run"))


def test_a_run_leaves_its_page_and_the_command_writes_it_again(run_cli: Cli, run: Path) -> None:
    page = run / "report.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    code, out, err = run_cli("report", run, "--json")
    assert code == 0, err
    assert json.loads(out) == {"report": str(page)}
    assert page.read_text(encoding="utf-8") == before
    for section in ("scores", "learning", "mistakes", "shares", "domains", "calibration", "about"):
        assert f'<section id="{section}">' in before


def test_examples_come_from_the_runs_own_rows(run_cli: Cli, run: Path, tmp_path: Path) -> None:
    code, out, err = run_cli("report", run, "--examples", 2)
    assert code == 0, err
    page = run / "report-with-examples.html"
    assert str(page) in out
    text = page.read_text(encoding="utf-8")
    assert "Farthest from the source" in text
    assert "never pushed" in text
    assert "never pushed" not in (run / "report.html").read_text(encoding="utf-8")
    if PROGRAM is None:
        return
    browser = Browser(tmp_path)
    browser.look(width=390)
    browser.open(page.resolve())
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert browser.complaints() == []
    inner, outer = browser.run(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    browser.close()
    assert inner <= outer


def test_several_runs_have_a_page(run_cli: Cli, run: Path, tmp_path: Path) -> None:
    page = tmp_path / "runs.html"
    code, out, err = run_cli("compare", run, "--out", page)
    assert code == 0, err
    assert "source-only" in out
    assert str(page) in err
    assert '<section id="scores">' in page.read_text(encoding="utf-8")
    page.write_text("mine", encoding="utf-8")
    code, _, err = run_cli("compare", run, "--out", page)
    assert code == 2
    assert "already exists; set --overwrite" in err
    assert page.read_text(encoding="utf-8") == "mine"
    assert run_cli("compare", run, "--out", page, "--overwrite")[0] == 0
    assert '<section id="scores">' in page.read_text(encoding="utf-8")


def test_what_cannot_be_shown_is_said_in_a_sentence(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("report", tmp_path)
    assert code == 2
    assert "has no readable results.json" in err
    code, _, err = run_cli("report", tmp_path, "--examples", -1)
    assert code == 2
    assert "--examples is -1" in err
