"""The checks on a GPU, tried on a CPU: what passes, what fails, and how they end."""

import os
import subprocess
import sys

import pytest
import torch

from tests.helpers.scripts import SCRIPTS, scripts_on_path
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer


@pytest.fixture
def gpu_checks(monkeypatch):
    with scripts_on_path(monkeypatch):
        import gpu_checks
        from cost.measure import measured_here
        from cost.running import MeasurementError

        def launched(spec, processes, threads):
            if spec["point"]["precision"] == "fp16":
                raise MeasurementError("ConfigError: precision fp16 needs a GPU; ...")
            return measured_here(spec)

        monkeypatch.setattr(gpu_checks, "launched", launched)
        yield gpu_checks


@pytest.fixture
def words(tmp_path):
    tiny_model().save_pretrained(tmp_path / "tokenizer")
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return ["--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "gpu.md")]


def ended_with(gpu_checks, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["gpu_checks.py", *words])
    return gpu_checks.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_checked_and_the_code_says_so(gpu_checks, monkeypatch, capsys):
    assert ended_with(gpu_checks, monkeypatch) == gpu_checks.NO_GPU == 3
    assert "PyTorch sees no CUDA device here" in capsys.readouterr().err


def test_a_dry_run_fills_the_table(gpu_checks, monkeypatch, words, tmp_path):
    assert (
        ended_with(gpu_checks, monkeypatch, "--dry-run", "--only", "fp32", "bf16", "fp16", *words)
        == 0
    )
    page = (tmp_path / "gpu.md").read_text()
    assert "| fp32 | passed |" in page
    assert "| bf16 | passed, loss 0.0" in page
    assert "| fp16 | refused on a CPU, as it should be |" in page
    assert "a dry run: what it measures says nothing" in page


def test_losses_that_are_no_numbers_or_far_off_fail(gpu_checks):
    first = gpu_checks.Check("fp32", True, "passed", {"losses": [1.0, 1.2]}, 1.0)
    assert gpu_checks.judged({"losses": [float("nan")]}, [])[0] is False
    assert gpu_checks.judged({"losses": [1.5, 1.6]}, [first])[0] is False
    assert gpu_checks.judged({"losses": [1.1, 1.2]}, [first])[0] is True


def test_a_check_that_breaks_fails_the_whole(gpu_checks, monkeypatch, words, tmp_path):
    from cost.running import MeasurementError

    def broken(*_):
        raise MeasurementError("RuntimeError: out of memory")

    monkeypatch.setattr(gpu_checks, "launched", broken)
    assert ended_with(gpu_checks, monkeypatch, "--dry-run", "--only", "bf16", *words) == 1
    assert "| **failed:** RuntimeError: out of memory |" in (tmp_path / "gpu.md").read_text()


@pytest.mark.slow
def test_every_command_of_it_runs_dry(words, tmp_path):
    script = ["bash", str(SCRIPTS / "gpu_checks.sh"), "--dry-run", *words]
    done = subprocess.run(
        script,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    page = (tmp_path / "gpu.md").read_text()
    for title in ("fp32", "bf16", "fp16", "torch.compile", "FSDP2 in one process", "`predict`"):
        assert title in page
