"""Two processes on gloo end like one."""

import json
import re
import shutil

import pytest
import torch

from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.distributed.launching import launch, seen
from tests.helpers.distributed.scenarios import (
    EVALUATION_ROWS,
    RUNS,
    evaluation_scores,
    run,
    stopped_early,
)
from tests.helpers.interruptions import weights

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of all scenarios, run in two processes."""
    folder = tmp_path_factory.mktemp("two")
    launch("tests.helpers.distributed.scenarios", folder)
    return folder


@pytest.mark.parametrize("name", [name for name in RUNS if name != "masks_first"])
def test_weights_and_rows_equal_one_process(two, tmp_path, name):
    """Masked words are drawn by each process, so that only the other runs can be compared."""
    expected = run(tmp_path, name, 1)
    found = seen(two)["results"][name]
    assert found["adapted"]["ledger"] == expected["adapted"]["ledger"]
    one, both = weights(tmp_path / name), weights(two / name)
    assert one.keys() == both.keys()
    for key, value in one.items():
        torch.testing.assert_close(both[key], value, atol=1e-6, rtol=0, msg=lambda m, k=key: k + m)


def test_every_process_sees_the_same_results(two):
    first, second = seen(two, 0), seen(two, 1)
    for name in RUNS:
        for model in ("source_only", "adapted"):
            one, other = first["results"][name][model], second["results"][name][model]
            assert (one is None) == (other is None)
            if one:
                assert one["target"] == other["target"]
                assert one["ledger"] == other["ledger"]
                assert one["evidence"] == other["evidence"]
        assert first["results"][name]["guard"] == second["results"][name]["guard"]
    assert first["evaluation"] == second["evaluation"]


def test_metrics_equal_those_of_one_process_for_every_tail(two):
    expected = evaluation_scores()
    assert seen(two)["evaluation"] == expected
    assert [sum(map(sum, expected[str(n)]["confusion_matrix"])) for n in EVALUATION_ROWS] == list(
        EVALUATION_ROWS
    )


def test_both_skip_what_one_finds_broken(two):
    first, second = seen(two, 0)["skip"], seen(two, 1)["skip"]
    assert first == second
    assert first["calls"] == 4
    lines = [json.loads(line) for line in (two / "skip" / "run" / "log.jsonl").open()]
    assert sum(line.get("skipped", False) for line in lines) == 1


def test_a_signal_to_one_process_stops_and_saves_both(two):
    for process in (0, 1):
        assert seen(two, process)["stop"]["code"] == 143
    assert "step-000000002" in seen(two)["stop"]["saved"]
    whole, stopped = weights(two / "whole"), weights(two / "stopped")
    for key, value in whole.items():
        assert torch.equal(value, stopped[key]), key


def test_the_command_line_runs_under_torchrun(tmp_path, tiny_model_dir, toy_source_csv,
                                              toy_target_jsonl):  # fmt: skip
    run_folder = tmp_path / "run"
    done = launch(
        *("nlp_adapt", "train", "--model", tiny_model_dir, "--source", toy_source_csv),
        *("--target", toy_target_jsonl, "--max_steps", 2, "--precision", "auto"),
        *("--per_device_train_batch_size", 4, "--output_dir", run_folder, "--json"),
    )
    results = json.loads(done.stdout)
    assert results == json.loads((run_folder / "results.json").read_text())
    assert results["machine"]["processes"] == 2
    lines = [json.loads(line) for line in (run_folder / "log.jsonl").open()]
    steps = [(line["model"], line["stage"], line["step"]) for line in lines if "task" in line]
    assert len(steps) == len(set(steps))


def test_a_run_goes_on_with_another_number_of_processes(two, tmp_path):
    """Saved by two, continued by one: the same rows, the same weights, and a note of it."""
    shutil.copytree(two / "stopped_early", tmp_path / "run_folder")
    results = stopped_early(tmp_path / "run_folder", 1, resume=True)
    expected = stopped_early(tmp_path / "whole", 1)
    assert results["adapted"]["ledger"] == expected["adapted"]["ledger"]
    assert results["resumed"]["notes"] == ["machine.processes: was 2, is 1"]
    one = weights(tmp_path / "whole")
    for key, value in weights(tmp_path / "run_folder").items():
        torch.testing.assert_close(value, one[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_a_dead_or_silent_process_ends_the_run_with_its_place(tmp_path, number):
    program = "tests.helpers.distributed.lost_process"
    done = launch(program, tmp_path, number, code=1, timeout=120)  # a hang is a failure
    assert re.search(r"process 0 lost another process after step [12] ", done.stderr) or (
        number == "KILL" and "Signal 9" in done.stderr
    )


def test_with_a_held_lock_every_process_of_a_run_says_so(
    tmp_path, tiny_model_dir, toy_source_csv, toy_target_jsonl
):
    with RunFolder(tmp_path / "run").lock():
        done = launch(
            *("nlp_adapt", "train", "--model", tiny_model_dir, "--source", toy_source_csv),
            *("--target", toy_target_jsonl, "--max_steps", 2, "--output_dir", tmp_path / "run"),
            code=2,
            timeout=120,  # a hang is a failure
        )
    said = f"nlp-adapt: error: output_dir {tmp_path / 'run'}: another run is writing there"
    assert done.stderr.count(said) == 2
    assert "nlp_adapt/training" not in done.stderr  # no traceback
