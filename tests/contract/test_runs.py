"""What a run leaves on disk, and its numbers: the same rows, and the same weights, by a seed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.contract.runs import RUNS, layout, machine, signal_after, train, weights, working_in
from tests.contract.surface import stored

FOLDERS = stored("run_folders")
EXIT_CODES = FOLDERS.pop("exit_codes")
WEIGHTS = stored("weights")
MACHINE = WEIGHTS.pop("machine")


def test_runs_end_with_the_codes_of_success_and_of_a_signal(exit_codes: dict[str, int]) -> None:
    assert exit_codes == EXIT_CODES
    assert set(exit_codes.values()) == {0, 128 + signal.SIGTERM}


@pytest.mark.parametrize("part", ["files", "keys", "tensors"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_holds(made: Path, name: str, part: str) -> None:
    assert layout(made / name)[part] == FOLDERS[name][part]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_sees_the_same_rows(made: Path, name: str) -> None:
    assert weights(made / name)["ledgers"] == WEIGHTS[name]["ledgers"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_with_nearly_the_same_weights(made: Path, name: str) -> None:
    """On any machine: rounding apart, sums of the weights are those that were recorded."""
    found = weights(made / name)["sums"]
    for file, tensors in WEIGHTS[name]["sums"].items():
        for key, (total, absolute) in tensors.items():
            near = pytest.approx([total, absolute], rel=0, abs=1e-3 * absolute + 1e-4)
            assert found[file][key] == near, f"{file}: {key}"


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_with_the_same_bits(made: Path, name: str) -> None:
    if machine() != MACHINE:
        pytest.skip("recorded on another processor or with other libraries, which round otherwise")
    assert weights(made / name)["sha256"] == WEIGHTS[name]["sha256"]


def test_a_stopped_run_goes_on_to_the_same_bits(made: Path) -> None:
    out = ("--output-dir", "resumed")
    with working_in(made):
        with signal_after(15, signal.SIGINT):
            assert train(*RUNS["dann"], *out) == 128 + signal.SIGINT
        assert train(*RUNS["dann"], *out, "--resume") == 0
    assert weights(made / "resumed") == weights(made / "dann")
