"""What regenerates all pages: it knows every page and script, takes the data, and goes on after a failure."""

import os
import subprocess

import pytest

from tests.helpers.scripts import SCRIPTS

ALL = SCRIPTS / "benchmark_all.sh"
BENCHMARKS = SCRIPTS.parent / "docs" / "benchmarks"


def run(*words, **environment):
    return subprocess.run(
        ["bash", str(ALL), *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def listed():
    return [line.split() for line in run("--list").stdout.splitlines()]


@pytest.fixture
def stand_in(tmp_path):
    """A Python that writes down what it is given, and fails on checkpoints."""
    path = tmp_path / "python"
    path.write_text(
        '#!/bin/sh\necho "$@"\ncase "$1" in *checkpoints*) exit 1 ;; *gpu*) exit 3 ;; esac\n'
    )
    path.chmod(0o755)
    return str(path)


def test_every_page_in_the_tree_and_every_script_is_listed(listed):
    names = {line[0] for line in listed}
    assert {path.stem for path in BENCHMARKS.glob("*.md")} <= names
    scripts = {line[-1] for line in listed}
    assert all((SCRIPTS / name).is_file() for name in scripts - {"benchmark_peers.py"})
    makers = {path.name for path in SCRIPTS.glob("benchmark_*.py")}
    shared = {"benchmark_page.py", "benchmark_runs.py"}
    assert makers - shared <= scripts


def test_pages_run_in_order_and_one_that_fails_stops_no_other(tmp_path, stand_in):
    done = run(
        tmp_path, "review", "checkpoints", "gpu", "peers", PYTHON=stand_in, SCRATCH=str(tmp_path)
    )
    assert done.stdout.splitlines() == [
        "scripts/benchmark_checkpoints.py --out docs/benchmarks/checkpoints.md",
        "scripts/gpu_checks.py",
        "scripts/benchmark_review.py",
    ]
    assert done.returncode == 1
    assert "failed: checkpoints\n" in done.stderr
    assert "peers: left out, because ENVIRONMENTS is not set" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no/such/folder"], "name the folder of the data first"),
        ([".", "nothing"], "no page nothing"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(words, said):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
