"""Two processes that each keep a share of the model (FSDP2) end like one with all of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from nlp_adapt.training.saving.checkpoint import verify
from tests.helpers.distributed.launching import ROOT, launch, seen
from tests.helpers.distributed.scenarios import run, stopped_early
from tests.helpers.distributed.sharded_scenarios import DRAWING, RUNS
from tests.helpers.interruptions import weights

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of all scenarios, run in two processes."""
    folder = tmp_path_factory.mktemp("sharded")
    stopped_early(folder / "from_one", 1, stop_at=1)
    launch("tests.helpers.distributed.sharded_scenarios", folder)
    return folder


def logged(folder):
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").open()]


def assert_close(found, expected, atol=1e-6):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=atol, rtol=0, msg=lambda m, k=key: k + m)


@pytest.mark.parametrize("name", RUNS)
def test_weights_and_rows_equal_those_of_the_whole_model(two, tmp_path, name):
    """In one process; in two under DDP where processes draw at random."""
    if name in DRAWING:
        whole, expected = two / "ddp" / name, seen(two)["ddp"][name]
    else:
        whole, expected = tmp_path / name, run(tmp_path, name, 1, RUNS)
    found = seen(two)["results"][name]
    assert found["adapted"]["ledger"] == expected["adapted"]["ledger"]
    assert found["adapted"]["best"] == pytest.approx(expected["adapted"]["best"], abs=1e-5)
    assert_close(weights(two / name), weights(whole))
    scored = [line["source_risk"] for line in logged(whole) if "source_risk" in line]
    both = [line["source_risk"] for line in logged(two / name) if "source_risk" in line]
    assert scored
    assert both == pytest.approx(scored, abs=1e-5)


def test_each_process_holds_its_share(two):
    first, second = seen(two, 0)["shares"], seen(two, 1)["shares"]
    for stage, held in first.items():
        assert held["weights"] + second[stage]["weights"] == held["of"]
        assert held["moments"] + second[stage]["moments"] == held["of"]
        assert 0.4 < held["weights"] / held["of"] < 0.6
    # The top layer stays with the rest; a stage with passes of its own is gathered as a whole.
    assert first["task,dann"]["gathered_alone"] == ["", "task_model.bert.encoder.layer.0"]
    assert first["task,fgm"]["gathered_alone"] == [""]


def test_every_process_sees_the_same_results(two):
    first, second = seen(two, 0)["results"], seen(two, 1)["results"]
    for name in RUNS:
        for part in ("target", "ledger", "evidence", "best"):
            assert first[name]["adapted"][part] == second[name]["adapted"][part]


def test_both_skip_what_one_finds_broken_in_its_shard(two):
    first, second = seen(two, 0)["skip"], seen(two, 1)["skip"]
    assert first == second
    assert first["calls"] == 4
    assert sum(line.get("skipped", False) for line in logged(two / "skip")) == 1


def test_a_stopped_run_goes_on_to_the_same_bits(two):
    """Dropout in the discriminator and a running average included."""
    for process in (0, 1):
        assert seen(two, process)["stop"]["code"] == 143
    assert "step-000000002" in seen(two)["stop"]["saved"]
    whole, stopped = weights(two / "whole"), weights(two / "stopped")
    assert whole.keys() == stopped.keys()
    for key, value in whole.items():
        assert torch.equal(value, stopped[key]), key


def test_a_checkpoint_is_that_of_one_process(two, tmp_path):
    stopped_early(tmp_path, 1, stop_at=1)
    ours, theirs = (
        folder / "run" / "checkpoints" / "step-000000002"
        for folder in (two / "stopped_early", tmp_path)
    )
    assert verify(ours) is None
    for name in ("model", "optimizer"):
        one = load_file(theirs / f"{name}.safetensors")
        assert len(one) > 20
        assert_close(load_file(ours / f"{name}.safetensors"), one)


def test_a_run_goes_on_with_whole_weights_and_back(two, tmp_path):
    """From shards to one process and from one process to shards, with a note of it."""
    whole = stopped_early(tmp_path / "whole", 1)
    shutil.copytree(two / "stopped_early", tmp_path / "from_two")
    results = stopped_early(tmp_path / "from_two", 1, resume=True)
    back = seen(two)["from_one"]
    assert results["resumed"]["notes"] == [
        "machine.processes: was 2, is 1",
        "machine.sharding: was FSDP2, is not there",
    ]
    assert back["resumed"]["step"] == results["resumed"]["step"] == 2
    for found, folder in ((results, tmp_path / "from_two"), (back, two / "from_one")):
        assert found["adapted"]["ledger"] == whole["adapted"]["ledger"]
        assert_close(weights(folder), weights(tmp_path / "whole"))


def test_accelerate_launches_it(tmp_path, tiny_model_dir, toy_source_csv, toy_target_jsonl):
    """The launch file as it stands; without a GPU the processes talk through gloo."""
    run_folder = tmp_path / "run"
    launcher = ("-m", "accelerate.commands.launch", "--config_file")
    done = subprocess.run(
        [
            *(sys.executable, *launcher, str(ROOT / "recipes" / "accelerate" / "fsdp2.yaml")),
            *("-m", "nlp_adapt", "train", "--model", str(tiny_model_dir), "--json"),
            *("--source", str(toy_source_csv), "--target", str(toy_target_jsonl)),
            *("--max_steps", "2", "--per_device_train_batch_size", "4"),
            *("--output_dir", str(run_folder)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(done.stdout)
    assert results["machine"]["processes"] == 2
    parts = json.loads((run_folder / "adaptation" / "fingerprint.json").read_text())
    assert parts["machine.sharding"] == "FSDP2"
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(run_folder / "model")
    assert set(plain.config.id2label.values()) == {"negative", "positive"}
    assert Path(run_folder / "source_only" / "model" / "model.safetensors").is_file()
