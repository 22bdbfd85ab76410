"""A crash within a step, within an evaluation or at the end of an epoch costs nothing."""

import accelerate
import numpy as np
import pytest
import torch

from nlp_adapt.training import scoring
from nlp_adapt.training.saving.checkpoint import CheckpointFolder
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.trainers import trainer_for

# 24 source rows: three steps are an epoch.
OPTIONS = {
    "compare_source_only": False,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "max_steps": 7,
    "discriminator_dropout": 0.3,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "data_doctor": "off",
}
EVERY_STEP = {"save_strategy": "steps", "save_steps": 1}
AN_EPOCH = {"save_strategy": "epoch", "eval_strategy": "epoch"}
# What crashes, at which call, before or after it, and when checkpoints are saved.
PHASES = {
    "between micro-batches": (accelerate.Accelerator, "backward", 6, "after", EVERY_STEP),
    "in an evaluation": (scoring, "predict_logits", 4, "before", EVERY_STEP),
    "before the save that ends an epoch": (CheckpointFolder, "save", 2, "before", AN_EPOCH),
    "after the save that ends an epoch": (CheckpointFolder, "save", 2, "after", AN_EPOCH),
}


def crash_at(monkeypatch, owner, name, call, side):
    """Make one call of a function the last thing that happens."""
    original = getattr(owner, name)
    calls = []

    def crashing(*arguments, **options):
        calls.append(1)
        if len(calls) == call and side == "before":
            raise InterruptedRunError
        result = original(*arguments, **options)
        if len(calls) == call:
            raise InterruptedRunError
        return result

    monkeypatch.setattr(owner, name, crashing)


def assert_same(folder, whole, results, expected):
    assert results["adapted"]["ledger"] == expected["adapted"]["ledger"]
    assert results["resumed"]["exact"]
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(folder)[name]), name


@pytest.mark.parametrize("phase", PHASES)
def test_a_crash_in_any_phase(tmp_path, monkeypatch, whole_run, phase):
    owner, name, call, side, saving = PHASES[phase]
    options = {**OPTIONS, **saving}
    whole, expected = whole_run(**options)
    with monkeypatch.context() as patch:
        crash_at(patch, owner, name, call, side)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path / "broken", **options).train()
    results = trainer_for(tmp_path / "broken", **options, resume=True).train()
    assert results["resumed"]["step"] > 0
    assert_same(tmp_path / "broken", whole, results, expected)


def test_three_crashes_anywhere_in_one_epoch_use_the_same_rows(tmp_path, monkeypatch):
    options = {**OPTIONS, **EVERY_STEP, "per_device_train_batch_size": 1, "max_steps": 11}
    expected = trainer_for(tmp_path / "whole", **options).train()
    for number, steps in enumerate(np.random.default_rng().integers(1, 4, 3)):
        with monkeypatch.context() as patch:
            crash_after(patch, int(steps))
            with pytest.raises(InterruptedRunError):
                trainer_for(tmp_path / "broken", **options, resume=number > 0).train()
    results = trainer_for(tmp_path / "broken", **options, resume=True).train()
    assert_same(tmp_path / "broken", tmp_path / "whole", results, expected)


def test_the_best_weights_outlive_rotation_and_a_crash(tmp_path, monkeypatch):
    """The first evaluation is the best, and one checkpoint is kept."""
    options = {
        **OPTIONS,
        **EVERY_STEP,
        "eval_steps": 1,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
    }
    monkeypatch.setattr(
        scoring, "score_all", lambda _: {"label_free": 1.0 / next(count)}, raising=True
    )
    count = iter(range(1, 100))
    expected = trainer_for(tmp_path / "whole", **options).train()
    count = iter(range(1, 100))
    with monkeypatch.context() as patch:
        crash_after(patch, 4)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path / "broken", **options).train()
    names = sorted(path.name for path in (tmp_path / "broken" / "run" / "checkpoints").iterdir())
    assert names == ["best-1.safetensors", "best.json", "step-000000004"]
    results = trainer_for(tmp_path / "broken", **options, resume=True).train()
    assert results["adapted"]["best"] == expected["adapted"]["best"]
    assert results["adapted"]["best"]["step"] == 1
    assert_same(tmp_path / "broken", tmp_path / "whole", results, expected)
