"""`nlp-adapt predict --engine ray`: the same file, also when a worker or the command dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.cli import predict as command
from nlp_adapt.prediction.files.parts import Parts
from tests.helpers.prediction_files import Cli, write_csv


@pytest.fixture(scope="module")
def cluster() -> Any:
    """Ray on this machine, for two workers."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


ENGINE = ("--engine", "ray", "--workers", 2, "--json")


@pytest.fixture
def both(run_cli: Cli, toy_run: Path, tmp_path: Path) -> Any:
    """Whether both engines write the same bytes of the same file, with a row that is set aside."""
    source = write_csv(tmp_path / "in.csv", 41)
    with source.open("a") as file:
        file.write("41,good,surplus\n42,\n")
    words = ("predict", toy_run, source, "--chunk-rows", 4, "--precision", "fp32", "--out")

    def compared() -> bool:
        assert run_cli(*words, tmp_path / "plain.jsonl")[0] == 0
        code, said, err = run_cli(*words, tmp_path / "ray.jsonl", *ENGINE)
        assert code == 0, err
        assert '"rejected": 1' in said
        names = ("{}.jsonl", "{}.jsonl.rejected.jsonl")
        files = [[tmp_path / name.format(one) for one in ("plain", "ray")] for name in names]
        return all(plain.read_bytes() == ray.read_bytes() for plain, ray in files)

    return compared


@pytest.mark.distributed
def test_workers_write_the_same_bytes(cluster: Any, both: Any) -> None:
    assert both()


@pytest.mark.distributed
def test_a_killed_worker_is_replaced(
    cluster: Any, both: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, killed, real = os.getpid(), tmp_path / "killed", command.open_model

    def dying(args: Any) -> Any:
        predictor = real(args)
        answer, chunks = predictor.predict, []

        def predict(texts: list[str]) -> Any:
            chunks.append(texts)
            if os.getpid() != here and len(chunks) == 2 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return answer(texts)

        predictor.predict = predict
        return predictor

    monkeypatch.setattr(command, "open_model", dying)
    assert both()
    assert killed.exists()


@pytest.mark.distributed
def test_an_interrupted_command_labels_only_what_is_missing(
    cluster: Any, both: Any, tmp_path: Path, run_cli: Cli, toy_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real, written = Parts.write, []

    def write(self: Parts, number: int, *rest: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        real(self, number, *rest)
        written.append(number)

    words = ("predict", toy_run, tmp_path / "in.csv", "--chunk-rows", 4, "--precision", "fp32")
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "write", write)
        assert run_cli(*words, "--out", tmp_path / "ray.jsonl", *ENGINE)[0] == 130
    later: list[int] = []
    monkeypatch.setattr(
        Parts,
        "write",
        lambda self, number, *rest: (
            later.append(number) if self.out.name == "ray.jsonl" else None,
            real(self, number, *rest),
        ),
    )
    assert both()
    assert sorted([*written, *later]) == list(range(11))


@pytest.mark.distributed
def test_what_a_worker_refuses_is_one_sentence(
    cluster: Any, run_cli: Cli, toy_run: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "good film"}\n{"text": "bad\\tfilm"}\n')
    code, _, err = run_cli("predict", toy_run, source, "--out", tmp_path / "out.tsv", *ENGINE)
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("nlp-adapt: error: in.jsonl:2 holds a tab")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in.txt", "--out", "x.csv", "--workers", "2"), "--workers is an option of --engine ray"),
        (("in.txt", "--out", "-", "--engine", "ray"), "--engine ray writes a file"),
        (("--text", "good", "--engine", "ray"), "--engine ray writes a file"),
        (("in.txt", "--out", "x.csv", "--engine", "ray"), 'pip install "nlp-adapt[ray]"'),
    ],
)
def test_what_the_engine_cannot_do_is_refused(
    run_cli: Cli, words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", dict[str, Any]().get)
    code, stdout, err = run_cli("predict", "run", *words)
    assert (code, stdout) == (2, "")
    assert says in err


def test_a_launcher_is_refused() -> None:
    """In a process of its own: one of several is deaf to signals after a command."""
    words = [sys.executable, "-m", "nlp_adapt", "predict", "run", "in.txt", "--out", "x.csv"]
    done = subprocess.run(
        words, env={**os.environ, "WORLD_SIZE": "2"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "start it by itself" in done.stderr
