"""`nlp-adapt doctor` on broken files, and the doctor's look before a run."""

import json
import subprocess
import sys

import pytest

from nlp_adapt.errors import DataError
from nlp_adapt.training.checks import check_domains
from tests.helpers.tiny_encoders import tiny_tokenizer
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, toy_rows
from tests.helpers.trainers import toy_domain, trainer_for, with_domains


def write_rows(path, rows):
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


@pytest.fixture
def files(tmp_path, tiny_model_dir):
    """A labelled source, a target with two faults, and the options that name them."""
    source = write_rows(tmp_path / "reviews.csv", toy_rows(SOURCE_WORDS, 60, seed=1))
    target = tmp_path / "tweets.jsonl"
    texts = [text for text, _ in toy_rows(TARGET_WORDS, 40, seed=2)]
    lines = [json.dumps({"text": text}) for text in [*texts, texts[0], ""]]
    target.write_bytes("\n".join(lines).encode() + b'\n{"text": "caf\xe9"}\n')
    return ["--source", source, "--target", target, "--model", tiny_model_dir]


def test_every_fault_of_a_file_is_told_at_once(run_cli, files):
    code, out, err = run_cli("doctor", *files)
    assert (code, err) == (2, "")
    assert "tweets.jsonl:43 is not UTF-8 (byte 0xe9" in out
    assert "1 empty row of tweets.jsonl was left out: tweets.jsonl:42" in out
    assert "at tweets.jsonl:41 = tweets.jsonl:1" in out
    assert out.index("serious") < out.index("note")
    assert "1 serious, " in out
    assert "Training on this data would be refused." in out


def test_a_quarantine_lets_training_go_on(run_cli, files):
    code, out, _ = run_cli("doctor", *files, "--quarantine", 1, "--json")
    report = json.loads(out)
    assert (code, report["refused"]) == (0, False)
    assert report["domains"]["target"]["rows"] == {"unlabelled": 41}
    assert {finding["code"] for finding in report["findings"]} == {"reading", "duplicates"}


def test_a_domain_that_cannot_be_read_does_not_hide_the_other(run_cli, files):
    code, out, _ = run_cli("doctor", *files, "--source", "missing.csv", "--json")
    report = json.loads(out)
    assert code == 2
    assert [f["message"] for f in report["findings"] if f["domain"] == "source"] == [
        "missing.csv does not exist."
    ]


def test_ill_formed_tags_are_counted_and_the_rest_is_still_examined(
    run_cli, tmp_path, tiny_model_dir
):
    path = tmp_path / "news.conll"
    path.write_text("Ann I-PER\nran O\n\nBob B-PER\nran O\n\nEve B-PER\nran I-ORG\n\n" * 5)
    code, out, _ = run_cli(
        "doctor", "--task", "token-classification", "--source", path, "--model", tiny_model_dir
    )
    assert code == 2
    assert "news.conll:1: the tag I-PER is ill-formed in BIO (10 such tags" in out
    assert "duplicates" not in out
    assert "repeat the text of an earlier training row" in out


def test_a_missing_tokenizer_is_a_note(run_cli, files):
    code, out, _ = run_cli("doctor", *files, "--model", "no-such/model", "--quarantine", 1)
    assert code == 0
    assert "Lengths in tokens were not checked." in out


def test_no_source_is_named(run_cli):
    code, _, err = run_cli("doctor")
    assert code == 2
    assert "--source" in err


# Before a run


def test_a_run_logs_and_keeps_what_the_doctor_finds(tmp_path, caplog):
    trainer = trainer_for(tmp_path, compare_source_only=False, max_steps=1)
    results = trainer.train()
    found = {(finding["domain"], finding["code"]) for finding in results["findings"]}
    assert ("source", "leakage") in found  # the toy domain's test rows are its first training rows
    saved = json.loads((tmp_path / "run" / "results.json").read_text())
    assert saved["findings"] == results["findings"]
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("nlp_adapt")]
    assert any("reviews:0" in message and "memory" not in message for message in logged)


def test_serious_findings_refuse_a_run_before_it_writes_anything(tmp_path):
    trainer = trainer_for(tmp_path, compare_source_only=False)
    reviews, tweets = (toy_domain(name, 30, rows=60) for name in ("reviews", "tweets"))
    with_domains(trainer, sources=reviews, targets=tweets)
    object.__setattr__(trainer.target, "test", trainer.target.train)
    with pytest.raises(DataError, match="memory"):
        trainer.train()
    assert not trainer.folder.holds_run()
    for mode, number in (("report", 1), ("off", 0)):
        trainer.args.data_doctor = mode
        found = check_domains(trainer.args, trainer.inputs, tiny_tokenizer(), 64)
        assert sum(finding["severity"] == "serious" for finding in found) == number


OFFLINE = """
import json, multiprocessing, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("the network was used")

class NoNetwork(socket.socket):
    connect = connect_ex = refuse

socket.socket = NoNetwork
socket.create_connection = socket.getaddrinfo = refuse

from nlp_adapt import AdaptationTrainer, load_recipe

source, target, model, out = sys.argv[1:]
recipe = load_recipe(None, {
    "source": source, "target": target, "model": model, "output_dir": out, "max_steps": 1,
    "per_device_train_batch_size": 4, "compare_source_only": False, "disable_tqdm": True,
})
trainer = AdaptationTrainer.from_recipe(recipe)
results = trainer.train()

def tokenise(number):
    return len(trainer.task.encode(trainer.source.train, trainer.processing_class, 16))

with multiprocessing.get_context("fork").Pool(2) as pool:
    rows = pool.map_async(tokenise, range(4)).get(timeout=60)
print(json.dumps({"f1": results["adapted"]["target"]["macro_f1"], "rows": rows}))
"""


def test_training_needs_no_network_and_workers_may_tokenise_after_it(
    tmp_path, toy_source_csv, toy_target_jsonl, tiny_model_dir, monkeypatch
):
    # Neither offline mode nor a switched-off tokenizer parallelism may be what makes this pass.
    for name in ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        monkeypatch.delenv(name, raising=False)
    words = [toy_source_csv, toy_target_jsonl, tiny_model_dir, tmp_path / "run"]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert 0 <= report["f1"] <= 1
    assert len(set(report["rows"])) == 1
