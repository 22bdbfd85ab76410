"""The page for users of Trainer says what the installed transformers and the code say."""

from tests.helpers.scripts import SCRIPTS, scripts_on_path


def test_the_page_is_current(monkeypatch):
    with scripts_on_path(monkeypatch):
        import trainer_page

        written = trainer_page.PAGE.read_text(encoding="utf-8")
        expected = trainer_page.page()
    again = f"run `python {SCRIPTS.name}/trainer_page.py`"
    # The version alone is no reason to write the page anew.
    pairs = zip(written.splitlines(), expected.splitlines(), strict=False)
    changed = [line for line, now in pairs if line != now and not line.startswith("Made by")]
    assert changed == [], again
    assert written.count("\n") == expected.count("\n"), again


def test_every_row_has_an_answer(monkeypatch):
    with scripts_on_path(monkeypatch):
        import trainer_page

        rows = [*trainer_page.constructor(), *trainer_page.methods(), *trainer_page.arguments()]
    assert len(rows) > 100
    assert all(said for _, said in rows)
