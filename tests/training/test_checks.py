"""What a run will cost, before it starts; and where its measurements go."""

import json
from collections import namedtuple

import pytest

from nlp_adapt.errors import RunError
from nlp_adapt.training import accelerator as accelerator_module
from nlp_adapt.training import checks as cost_module
from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.recorder import Recorder
from tests.helpers.trainers import trainer_for

OPTIONS = {"data_doctor": "off"}


def test_the_estimate_counts_what_the_run_then_does(tmp_path):
    trainer = trainer_for(tmp_path, **OPTIONS, max_steps=3)
    results = trainer.train()
    cost = results["cost"]
    data = trainer.data.train
    assert cost["rows"] == {side: len(rows) for side, rows in data.items()}
    assert cost["tokens"] == {side: int(rows.lengths.sum()) for side, rows in data.items()}
    assert cost["steps"] == {"source_only": 3, "adapted": 3}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    assert [line["seconds_left"] == 0 for line in lines if "loss" in line] == [
        False,
        False,
        True,
    ] * 2
    assert all(line["data_seconds"] >= 0 for line in lines if "loss" in line)
    # Every toy text has five tokens: 4 rows a step of one domain, then of two.
    assert cost["tokens_to_train"] == 3 * 4 * 5 + 3 * 4 * 10
    parameters = sum(p.numel() for p in trainer.model.parameters())
    assert cost["parameters"] == cost["trained_parameters"] == parameters


def test_the_disk_estimate_covers_what_is_written(tmp_path):
    options = {**OPTIONS, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 3}
    most = [0]
    from nlp_adapt.training.saving.checkpoint import CheckpointFolder

    original = CheckpointFolder._rotate

    def measured(self):
        run = self.folder.parent
        sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
        most[0] = max(most[0], sum(sizes))
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointFolder, "_rotate", measured)
        results = trainer_for(tmp_path, **options, max_steps=5).train()
    needed = results["cost"]["disk_bytes"] - cost_module.OTHER_BYTES
    assert 0.6 * needed < most[0] < results["cost"]["disk_bytes"]


def test_a_disk_that_is_too_small_is_refused_before_the_first_step(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(cost_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RunError, match=r"needs about [\d.]+ MB .*but 1 KB are free"):
        trainer_for(tmp_path, **OPTIONS).train()
    assert not (tmp_path / "run" / "log.jsonl").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_preview_is_printed_with_the_progress_bar_alone(tmp_path, capsys):
    trainer_for(tmp_path, **OPTIONS, compare_source_only=False).train()
    assert "parameters" not in capsys.readouterr().err
    trainer_for(
        tmp_path, **{**OPTIONS, "disable_tqdm": False}, compare_source_only=False, overwrite=True
    ).train()
    assert "24 target rows (120 tokens); 2 steps, about 80 tokens" in capsys.readouterr().err


def test_frozen_parameters_are_not_counted_among_those_that_train(tmp_path):
    trainer = trainer_for(tmp_path, **OPTIONS, freeze="all", compare_source_only=False)
    cost = trainer.train()["cost"]
    head = sum(p.numel() for p in trainer.model.classifier.parameters())
    assert cost["trained_parameters"] == head < cost["parameters"]


def test_trackers_get_the_options_and_every_line(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(accelerator_module, "_trackers", lambda names: [recorder for _ in names])
    trainer_for(tmp_path, **OPTIONS, report_to=["recorder"], compare_source_only=False).train()
    assert recorder.hyperparameters["method"] == "dann"
    assert recorder.finished
    losses = [(step, values["loss"]) for step, values in recorder.lines if "loss" in values]
    assert [step for step, _ in losses] == [1, 2]
    assert any("source_validation/accuracy" in values for _, values in recorder.lines)


def test_an_unknown_tracker_is_named(tmp_path):
    from nlp_adapt.errors import ConfigError

    with pytest.raises(ConfigError, match="report_to: 'tensorboad'"):
        trainer_for(tmp_path, **OPTIONS, report_to=["tensorboad"]).train()


def test_the_estimate_counts_the_teacher_and_the_best_weights(tmp_path):
    plain, teacher = (
        trainer_for(
            tmp_path / method,
            **OPTIONS,
            method=method,
            max_steps=3,
            compare_source_only=False,
            load_best_model_at_end=method == "auto",
        ).train()["cost"]
        for method in ("mcc", "auto")
    )
    size = 4 * plain["parameters"]
    assert teacher["memory_bytes"] - plain["memory_bytes"] == size
    # One more model in each of three checkpoints, and the best weights with their successor.
    assert teacher["disk_bytes"] - plain["disk_bytes"] == 3 * size + 2 * size


def test_a_run_that_is_gone_on_with_needs_room_for_the_rest_alone(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 0, 1_400_000)
    monkeypatch.setattr(cost_module.shutil, "disk_usage", lambda path: usage)
    folder, cost = RunFolder(tmp_path), {"disk_bytes": 3_500_000}
    with pytest.raises(RunError, match=r"needs about 3\.5 MB more .* but 1\.4 MB are free"):
        cost_module.refuse_full_disk(cost, folder)
    for place in (folder.checkpoints / "step-000000001", folder.source_only):
        place.mkdir(parents=True)
        (place / "model.safetensors").write_bytes(b"x" * 1_100_000)
    (tmp_path / "own.safetensors").write_bytes(b"x" * 10**6)  # not of the run
    cost_module.refuse_full_disk(cost, folder)
    with pytest.raises(RunError, match=r"needs about 1\.8 MB more"):
        cost_module.refuse_full_disk({"disk_bytes": 4_000_000}, folder)
