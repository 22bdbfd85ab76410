"""The benchmark of peers: what they are given, what is read of them, and what the page says."""

import importlib
import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from tests.helpers.scripts import SCRIPTS
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain

PEERS = SCRIPTS / "peers"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.syspath_prepend(str(PEERS))
    yield
    for path in (*SCRIPTS.glob("*.py"), *PEERS.glob("*.py")):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tiny_model("bert").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def job(tmp_path, encoder):
    import rows
    from harness import Job

    target = toy_domain("tweets", 50)
    drawn = rows.of_domains(toy_domain("reviews", 30), target, target.train, 1, 20).with_few(8, 1)

    def made(method, **changed):
        settings = {
            "method": method, "seed": 1, "words": False, "label_names": drawn.label_names,
            "texts": drawn.texts, "labels": drawn.labels, "encoder": encoder, "steps": 3,
            "batch_size": 4, "learning_rate": 1e-4, "head_learning_rate": 1e-3, "warmup": 0.1,
            "weight_decay": 0.0, "max_length": 16, "threads": 1, "precision": "fp32",
            "scratch": str(tmp_path / "scratch"), "out": str(tmp_path / "out.json"),
        }  # fmt: skip
        return Job(**{**settings, **changed})

    return made


def methods(name):
    sys.path.insert(0, str(PEERS))
    try:
        from catalogue import PEERS as KNOWN

        return KNOWN[name].texts
    finally:
        sys.path.remove(str(PEERS))


def done(adapter, job):
    from harness import do

    found = do(job, importlib.import_module(adapter).train)
    assert len(found["answers"]) == len(job.texts["test"])
    return found


def check_texts(found, steps):
    for row in found["answers"]:
        assert sum(row) == pytest.approx(1, abs=1e-4)
    assert found["peak_mib"] >= found["loaded_mib"] > 0
    assert (found["tokens_per_second"] is not None) == steps


@pytest.mark.parametrize("method", [*methods("nlp_adapt")[:-2]])
def test_this_package(method, job):
    stepped = method != "logistic_regression"
    found = done("with_nlp_adapt", job(method))
    check_texts(found, stepped)
    if method in ("dann", "mcc", "dann_mcc", "mmd"):
        assert found["tokens"] == 3 * 2 * 4 * 5


def test_the_textbook_loop(job):
    found = done("textbook", job("dann"))
    check_texts(found, True)
    # Three steps of four rows a side, each of three words and two marks.
    assert found["tokens"] == 3 * 2 * 4 * 5


@pytest.mark.parametrize("method", methods("transformers Trainer"))
def test_trainer(method, job):
    found = done("with_trainer", job(method))
    check_texts(found, True)
    assert found["tokens"] == 3 * 4 * 5


@pytest.mark.parametrize("method", methods("pytorch-adapt"))
def test_pytorch_adapt(method, job):
    pytest.importorskip("pytorch_adapt")
    found = done("with_pytorch_adapt", job(method))
    check_texts(found, True)
    assert found["tokens"] == 3 * (1 if method == "source_only" else 2) * 4 * 5


@pytest.mark.parametrize("method", methods("skada"))
def test_skada(method, job):
    pytest.importorskip("skada.deep")
    found = done("with_skada", job(method))
    check_texts(found, True)
    assert found["tokens"] == 3 * (1 if method == "source_only" else 2) * 4 * 5


@pytest.mark.parametrize("method", methods("SetFit")[:1])
def test_setfit(method, job):
    pytest.importorskip("setfit")
    check_texts(done("with_setfit", job(method)), True)


@pytest.mark.parametrize("method", methods("sentence-transformers")[:2])
def test_sentence_transformers(method, job):
    pytest.importorskip("sentence_transformers")
    check_texts(done("with_sentence_transformers", job(method)), method != "logistic_regression")


@pytest.mark.parametrize("adapter", ["with_trainer", "with_nlp_adapt"])
def test_words_are_tagged(adapter, job):
    plain = job("source_only")
    texts = {side: [text.split() for text in own] for side, own in plain.texts.items()}
    tags = {side: [[1, 0, 0] for _ in plain.texts[side]] for side in ("source",)}
    found = done(
        adapter,
        job("source_only", words=True, label_names=["O", "B-PER"], texts=texts, labels=tags),
    )
    assert {len(row) for row in found["answers"]} == {3}
    assert {tag for row in found["answers"] for tag in row} <= {0, 1}


def test_the_meter_counts_what_learns_alone():
    from harness import Meter

    table = torch.nn.Embedding(7, 2)
    ids = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]])
    plain = torch.nn.Embedding.forward
    with Meter(7, 0) as meter:
        optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
        for _ in range(10):
            table(ids).sum().backward()
            optimizer.step()
        with torch.no_grad():
            table(ids)
        table.eval()(ids)
        torch.nn.Embedding(5, 2)(ids)
    assert meter.tokens == 30
    assert len(meter.marks) == 10
    assert all(speed > 0 for speed in meter.speeds.values())
    assert torch.nn.Embedding.forward is plain


def test_rows_are_those_of_the_seed_and_test_labels_stay_here(job):
    import rows

    source, target = toy_domain("reviews", 30), toy_domain("tweets", 50)
    one, again, other = (
        rows.of_domains(source, target, target.train, seed, 10) for seed in (1, 1, 2)
    )
    assert one == again
    assert one.texts["source"] != other.texts["source"]
    assert one.labels.keys() == {"source"}
    assert one.label_names == list(NAMES)
    assert [len(one.texts[side]) for side in ("source", "target", "test")] == [10, 10, 9]
    few = one.with_few(4, 1)
    assert sorted(few.labels["few"]) == [0, 0, 1, 1]
    assert "truth" not in asdict(job("dann"))


@pytest.fixture
def benchmark(monkeypatch, tmp_path, encoder):
    import benchmark_peers
    import rows

    first = {"a": 30, "b": 50}
    monkeypatch.setattr(rows, "read_domain", lambda _, __, name: toy_domain(name, first[name]))
    words = ["benchmark_peers.py", "--data", str(tmp_path), "--encoder", encoder, "--seeds", "1"]
    words += ["--pairs", "a>b", "--set", "steps=2", "batch_size=4", "precision=fp32"]

    def run(*more):
        monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "page.md"), *more])
        benchmark_peers.main()
        file = tmp_path / "page.runs.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]

    benchmark_peers.run_benchmark = run
    return benchmark_peers


def answered(calls):
    """A stand-in for the processes of peers: ours is the slowest, and the best."""

    def run(_, key, __):
        calls.append(key)
        ours = key["peer"] == "nlp_adapt"
        return {
            "scores": {"macro_f1": 0.8 if ours else 0.7, "accuracy": 0.8, "auc": 0.7 if ours else 0.75},
            "tokens_per_second": 100.0 if ours else 200.0, "tokens_per_cpu_second": None,
            "peak_mib": 300.0, "cpu_seconds": 1.0, "seconds": 2.0,
            "versions": {"torch": "2"},
            "machine": {"processor": "p", "device": "cpu", "cores": 2, "threads": 1, "load": 1.0},
        }  # fmt: skip

    return run


def test_peers_run_in_turns_and_once(benchmark, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(benchmark, "run", answered(calls))
    options = ("--peers", "nlp_adapt", "nlp_adapt in fp32", "textbook", "--methods", "auto", "dann")
    lines = benchmark.run_benchmark(*options, "--sitting", "one")
    assert [(line["peer"], line["method"]) for line in lines] == [
        ("nlp_adapt", "auto"),
        ("nlp_adapt", "dann"),
        ("nlp_adapt in fp32", "dann"),
        ("textbook", "dann"),
    ]
    page = (tmp_path / "page.md").read_text()
    assert "| dann | textbook | macro-F1 | 1 | 80.0 | 70.0 | +10.0 |" in page
    assert "- textbook, `dann`: AUC 75.0 against our 70.0." in page
    assert "- textbook, `dann`: tokens / s 0.50 times the peer's." in page
    assert page.index("| dann | textbook | AUC |") < page.index("| dann | textbook | macro-F1 |")
    assert "take no number for settled" in page
    assert benchmark.run_benchmark(*options) == lines
    # A peer's line outlives a change of our code; its speed is not held against that of another sitting.
    monkeypatch.setattr(benchmark, "code_hash", lambda: "other")
    assert len(benchmark.run_benchmark(*options)) == 7
    page = (tmp_path / "page.md").read_text()
    assert "| dann | textbook | macro-F1 | 1 | 80.0 | 70.0 | +10.0 |" in page
    assert "- textbook, `dann`: tokens / s" not in page
    cost = page.split("### Cost")[1].split("### All means")[0]
    assert "| dann | nlp_adapt in fp32 | 1 |" in cost
    assert "textbook" not in cost
    assert "3 lines of older code" in page
    assert len(benchmark.run_benchmark(*options, "--sitting", "one")) == 10
    assert "- textbook, `dann`: tokens / s" in (tmp_path / "page.md").read_text()


def test_a_process_of_its_own(benchmark):
    (line,) = benchmark.run_benchmark("--peers", "textbook")
    assert line["scores"].keys() == {"macro_f1", "accuracy", "auc"}
    assert line["seconds"] > line["train_seconds"] > 0
    assert line["machine"]["threads"] == 1


def test_a_peer_that_fails_is_told_and_the_others_go_on(benchmark, monkeypatch, capsys):
    def run(args, key, job):
        if key["peer"] == "textbook":
            raise benchmark.PeerError("no such thing")
        return answered([])(args, key, job)

    monkeypatch.setattr(benchmark, "run", run)
    with pytest.raises(SystemExit, match=r"1 runs ended in an error.*no such thing"):
        benchmark.run_benchmark("--peers", "textbook", "skada", "nlp_adapt", "--methods", "dann")
    assert "skada: no environment" in capsys.readouterr().err


def test_a_setting_that_is_none_is_refused(benchmark):
    from nlp_adapt import AdaptationError

    with pytest.raises(AdaptationError, match="--set stepps: there are only steps"):
        benchmark.read_settings(["stepps=3"])


def test_an_environment_has_what_its_peer_needs(tmp_path, monkeypatch):
    import environments
    from catalogue import PEERS as KNOWN

    ran = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: (ran.append(command), (tmp_path / "pytorch-adapt").mkdir(exist_ok=True))
    )  # fmt: skip
    peer = KNOWN["pytorch-adapt"]
    assert environments.python_of(tmp_path, "pytorch-adapt", peer) is None
    environments.make(tmp_path, "pytorch-adapt", peer)
    environments.make(tmp_path, "pytorch-adapt", peer)
    assert [command[-1] for command in ran] == [
        str(tmp_path / "pytorch-adapt"),
        peer.requirements[-1],
        "pytorch-adapt==0.0.83",
    ]
    assert "--no-deps" in ran[-1]
    assert environments.python_of(tmp_path, "pytorch-adapt", peer) is not None
    assert environments.python_of(None, "textbook", KNOWN["textbook"]) == sys.executable
