"""An interrupted run continues to the same weights; a damaged checkpoint is never used."""

import json
import re

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.errors import RunError
from nlp_adapt.objectives.task import TaskLoss
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.saving.checkpoint import CheckpointFolder, verify
from tests.helpers.interruptions import InterruptedRunError, assert_resumes, crash_after, weights
from tests.helpers.trainers import trainer_for

OPTIONS = {"save_strategy": "steps", "save_steps": 2, "max_steps": 5, "discriminator_dropout": 0.3}


@pytest.mark.parametrize("crashes", [[1], [3], [5], [7], [9], [3, 1, 4]])
def test_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, whole_run, crashes):
    broken = tmp_path / "broken"
    whole, expected = whole_run(**OPTIONS)
    for number, steps in enumerate(crashes):
        with monkeypatch.context() as patch:
            crash_after(patch, steps)
            with pytest.raises(InterruptedRunError):
                trainer_for(broken, **OPTIONS, resume=number > 0).train()
    results = trainer_for(broken, **OPTIONS, resume=True).train()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    for model in ("source_only", "adapted"):
        assert results[model]["target"] == expected[model]["target"]
        assert results[model]["steps"] == expected[model]["steps"]


def test_stages_resume_where_they_stopped(tmp_path, monkeypatch):
    stages = [{"objectives": ["task"], "steps": 2}, {"objectives": ["task", "dann"], "steps": 3}]
    options = {**OPTIONS, "stages": stages, "max_steps": -1, "compare_source_only": False}
    assert_resumes(tmp_path, monkeypatch, 4, **options)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
        lambda optimizer, steps: lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps + 1),
        lambda optimizer, steps: lr_scheduler.SequentialLR(
            optimizer,
            [
                lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
                lr_scheduler.ExponentialLR(optimizer, 0.5),
            ],
            milestones=[2],
        ),
    ],
)
def test_a_schedule_of_the_users_own_goes_on_where_it_stood(tmp_path, monkeypatch, schedule):
    options = {**OPTIONS, "max_steps": 6, "compare_source_only": False}
    options["optimizers"] = (None, schedule)
    assert_resumes(tmp_path, monkeypatch, 5, **options)


class Distance(torch.optim.SGD):
    """Keeps a number in its groups from which the next step follows, as Prodigy does."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["distance"] = group.get("distance", 0.1) * 0.7
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(group["distance"])
        return super().step(closure)


def test_what_an_optimizer_keeps_in_its_groups_is_kept(tmp_path, monkeypatch):
    options = {**OPTIONS, "max_steps": 7, "compare_source_only": False, "learning_rate": 1e-2}
    options["optimizers"] = (Distance, None)
    assert_resumes(tmp_path, monkeypatch, 5, **options)


def test_an_inexact_resume_takes_the_rates_of_the_new_recipe(tmp_path, monkeypatch):
    options = {**OPTIONS, "max_steps": 7, "compare_source_only": False}
    with monkeypatch.context() as patch:
        crash_after(patch, 5)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path, **options).train()
    seen = []
    original = loop_module.StageLoop._apply

    def apply(self):
        seen.append(
            [(g["lr"], g["weight_decay"], g["eps"]) for g in self.plain_optimizer.param_groups]
        )
        return original(self)

    monkeypatch.setattr(loop_module.StageLoop, "_apply", apply)
    new = {"learning_rate": 0.5, "weight_decay": 0.25, "adam_epsilon": 0.125}
    new |= {"head_learning_rate": 0.5, "lr_scheduler_type": "constant"}
    trainer_for(tmp_path, **options | new, resume=True, allow_inexact_resume=True).train()
    for rate, decay, epsilon in seen[0]:
        assert (rate, epsilon) == (0.5, 0.125)
        assert decay in (0.0, 0.25)


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    results = trainer_for(tmp_path, **OPTIONS).train()
    again = trainer_for(tmp_path, **OPTIONS, resume=True).train()
    assert again["adapted"] == results["adapted"]


def saved(folder, count=3):
    checkpoints = CheckpointFolder(folder, limit=2)
    for order in range(1, count + 1):
        checkpoints.save(order, {"step": order}, {"model": {"w": torch.full((2,), float(order))}})
    return checkpoints


def test_rotation_keeps_the_newest(tmp_path):
    checkpoints = saved(tmp_path / "checkpoints")
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000000002", "step-000000003"]
    assert checkpoints.latest()[0].position == {"step": 3}


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage):
    checkpoints = saved(tmp_path)
    newest = tmp_path / "step-000000003"
    file = newest / "model.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "truncate":
        file.write_bytes(content[:-1])
    elif damage == "delete":
        file.unlink()
    else:
        (newest / "manifest.json").unlink()
    assert verify(newest)
    checkpoint, problems = checkpoints.latest()
    assert checkpoint.position == {"step": 2}
    assert torch.equal(checkpoint.tensors["model"]["w"], torch.full((2,), 2.0))
    assert len(problems) == 1
    assert "step-000000003" in problems[0]


def test_a_full_disk_leaves_earlier_checkpoints_alone(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, count=1)

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nlp_adapt.training.saving.checkpoint.save_file", no_space)
    with pytest.raises(RunError, match="No space left"):
        checkpoints.save(2, {}, {"model": {"w": torch.ones(1)}})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert verify(tmp_path / "step-000000001") is None


def test_nothing_to_resume_from_but_damage_is_an_error(tmp_path):
    checkpoints = saved(tmp_path / "run" / "checkpoints", count=1)
    (checkpoints.folder / "step-000000001" / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="no checkpoint can be resumed from"):
        trainer_for(tmp_path, resume=True).train()


def test_a_skipped_step_is_logged_with_its_rows_and_losses(tmp_path, monkeypatch):
    original, row_ids = TaskLoss.losses, PairedBatches.row_ids
    calls, read = [], []

    def broken_once(self, source, target, progress):
        terms = original(self, source, target, progress)
        calls.append(1)
        return {**terms, "task": terms["task"] / 0.0} if len(calls) == 2 else terms

    def remembered(self, step):
        read.append(row_ids(self, step))
        return read[-1]

    monkeypatch.setattr(TaskLoss, "losses", broken_once)
    monkeypatch.setattr(PairedBatches, "row_ids", remembered)
    trainer_for(tmp_path, max_steps=3, compare_source_only=False).train()
    text = (tmp_path / "run" / "log.jsonl").read_text()
    assert not {"NaN", "Infinity"} & set(re.findall(r"\w+", text))
    (line,) = [line for line in map(json.loads, text.splitlines()) if line.get("skipped")]
    assert line["step"] == 1
    assert line["rows"] == {side: rows.tolist() for side, rows in read[1].items()}
    assert line["rows"].keys() == {"source", "target"}
    assert line["non_finite"] == ["loss", "task"]
    assert line["terms"].keys() == {"loss", "task", "dann"}
    assert line["terms"]["task"] == line["terms"]["loss"] == "inf"
    assert line["terms"]["dann"] == pytest.approx(0.69, abs=0.1)


def test_non_finite_gradients_are_skipped_and_end_a_hopeless_run(tmp_path, monkeypatch):
    original = loop_module.StageLoop._forward_backward
    calls = []

    def poison(self, batches):
        terms = original(self, batches)
        calls.append(1)
        if len(calls) in (2, 3):
            next(self.wrapped.parameters()).grad.fill_(float("nan"))
        return terms

    monkeypatch.setattr(loop_module.StageLoop, "_forward_backward", poison)
    options = {"compare_source_only": False, "max_steps": 4}
    trainer_for(tmp_path, **options).train()
    assert len(calls) == 6
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    assert sum(line.get("skipped", False) for line in lines) == 2
    for value in weights(tmp_path).values():
        assert value.isfinite().all()

    def always(self, batches):
        terms = original(self, batches)
        next(self.wrapped.parameters()).grad.fill_(float("inf"))
        return terms

    monkeypatch.setattr(loop_module.StageLoop, "_forward_backward", always)
    with pytest.raises(RunError, match="5 steps in a row") as raised:
        trainer_for(tmp_path, **options, overwrite=True).train()
    last = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()][-1]
    named = " and ".join(
        f"{side} rows {', '.join(map(str, rows))}" for side, rows in last["rows"].items()
    )
    assert f"the last with {named};" in str(raised.value)


def test_an_error_names_the_first_few_rows_of_a_step():
    rows = {"source": np.array([7, 3, 9, 1, 4, 8]), "target": np.array([5])}
    assert loop_module._listed(rows) == "source rows 7, 3, 9, 1, ... and target rows 5"


def test_micro_batches_equal_one_big_batch(tmp_path):
    options = {"discriminator_dropout": 0.0, "max_steps": 3, "compare_source_only": False}
    big, small = tmp_path / "big", tmp_path / "small"
    trainer_for(big, **options, per_device_train_batch_size=8).train()
    trainer_for(
        small, **options, per_device_train_batch_size=2, gradient_accumulation_steps=4
    ).train()
    for name, value in weights(big).items():
        torch.testing.assert_close(value, weights(small)[name], atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("options", "crash"),
    [
        (
            {
                "max_steps": -1,
                "stages": [
                    {"objectives": ["task", "dann"], "steps": 2},
                    {"objectives": ["task"], "steps": 2},
                    {"objectives": ["task", "dann"], "steps": 2},
                ],
            },
            3,
        ),
        ({"method": "daat", "max_steps": 8}, 5),
        ({"method": "mlm", "max_steps": 8}, 5),
    ],
)
def test_objectives_of_finished_stages_are_not_forgotten(tmp_path, monkeypatch, options, crash):
    """A later stage takes over the discriminator of the first; the MLM head is saved at the end."""
    # A checkpoint at each step: the run goes on from within the later stage.
    options = {**OPTIONS, "save_steps": 1, "compare_source_only": False, **options}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trainer_for(whole, **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, crash)
        with pytest.raises(InterruptedRunError):
            trainer_for(broken, **options).train()
    assert trainer_for(broken, **options, resume=True).train()["resumed"]["exact"]
    expected, found = weights(whole), weights(broken)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_resume_of_a_finished_run_keeps_what_was_known_of_it(tmp_path):
    trainer_for(tmp_path, **OPTIONS).train()
    path = tmp_path / "run" / "results.json"
    known = json.loads(path.read_text())
    known["seeds"] = [{"seed": 1}]
    path.write_text(json.dumps(known))
    trainer_for(tmp_path, **OPTIONS, resume=True).train()
    again = json.loads(path.read_text())
    assert again["cost"] == known["cost"] != {}
    assert again["seeds"] == known["seeds"]
    assert again["resumed"] == known["resumed"]
