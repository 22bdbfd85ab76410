"""An access token in the environment or in a URL reaches no file, no log and no message."""

import pytest

from nlp_adapt.cli import train
from tests.helpers.trainers import trainer_for

CANARY = "hf_" + "CanaryCanaryCanary0123456789"


@pytest.fixture(autouse=True)
def canary(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", CANARY)


def test_no_file_or_log_of_a_run_holds_the_token(tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    trainer_for(tmp_path, save_steps=1).train()
    out, err = capfd.readouterr()
    assert CANARY not in out + err + caplog.text
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"results.json", "recipe.yaml", "log.jsonl", "README.md"} <= {p.name for p in files}
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path


def test_cards_results_and_logs_hold_no_texts(tmp_path):
    trainer = trainer_for(tmp_path, save_steps=1)
    domains = (trainer.source, trainer.target)
    texts = {text for one in domains for rows in one.splits.values() for text in rows["text"]}
    trainer.train()
    for name in ("results.json", "log.jsonl", "model/README.md"):
        written = (tmp_path / "run" / name).read_text()
        assert [text for text in texts if text in written] == [], name


@pytest.mark.parametrize(
    "reference",
    [f"https://user:{CANARY}@hub.example/data.csv", f"{CANARY}.csv", f"me/{CANARY}"],
)
def test_a_refused_reference_is_shown_without_it(run_cli, reference, tmp_path):
    code, out, err = run_cli("doctor", "--source", reference)
    assert code == 2
    assert CANARY not in out + err
    code, out, err = run_cli("train", "--source", reference, "--output_dir", tmp_path / "run")
    assert code == 2
    assert CANARY not in out + err


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_traceback_is_shown_without_it(run_cli, monkeypatch, debug):
    def fail(args):
        raise RuntimeError(f"GET https://user:{CANARY}@hub.example failed with {CANARY}")

    monkeypatch.setattr(train, "run", fail)
    code, out, err = run_cli("train", "--source", "x.csv", *debug)
    assert code == 1
    assert "RuntimeError: GET https://***@hub.example" in err
    assert CANARY not in out + err
