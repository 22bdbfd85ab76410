"""A streamed target in two processes: every row once a pass, and no process waits for another."""

import json
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.distributed import streamed
from tests.helpers.distributed.launching import launch

pytestmark = pytest.mark.distributed


def weights(folder):
    return load_file(folder / "run" / "model" / "model.safetensors")


def test_shards_of_unequal_length_in_two_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("nlp_adapt.data.batches.pairing.WINDOW_STEPS", 5)
    streamed.write_shards(tmp_path / "shards")
    shards = tmp_path / "shards"
    assert streamed.train(tmp_path / "stopped", shards, 1, stop_at=11)[0] is None
    launch("tests.helpers.distributed.streamed", tmp_path, timeout=240)  # a hang is a failure
    processes = [json.loads((tmp_path / f"process{n}.json").read_text()) for n in (0, 1)]
    results, alone = streamed.train(tmp_path / "one", shards, 1)

    for number in range(streamed.STEPS):
        parts = [process["rows"][number] for process in processes]
        assert [len(part) for part in parts] == [streamed.GLOBAL_BATCH // 2] * 2
        assert sorted(parts[0] + parts[1]) == sorted(alone[number]), number
    used = Counter(tuple(row) for process in processes for step in process["rows"] for row in step)
    assert len(used) == streamed.ROWS
    assert set(used.values()) == {streamed.PASSES}

    ledgers = {results["adapted"]["ledger"], *(process["ledger"] for process in processes)}
    assert len(ledgers) == 1
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, atol=1e-6, rtol=0)

    # Stopped in one process within a window, and gone on with in two.
    assert {process["resumed"] for process in processes} == ledgers
    assert processes[0]["notes"] == ["machine.processes: was 1, is 2"]
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "stopped")[name], value, atol=1e-6, rtol=0)
