"""fp16's gradient scaler, on a processor: what overflows is skipped, and no schedule moves on."""

import json

import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.errors import RunStopped
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training import trainer as trainer_module
from tests.helpers.interruptions import signal_at
from tests.helpers.trainers import trainer_for

OPTIONS = {
    "compare_source_only": False,
    "max_steps": 5,
    "max_grad_norm": 0.5,
    "discriminator_dropout": 0.0,
    "data_doctor": "off",
}
FIRST_SCALE = 2.0**10  # powers of two change no bit of a float32 gradient


@pytest.fixture
def scalers(monkeypatch):
    """Gives every run a scaler as fp16 on a GPU has, and keeps them in order."""
    original = trainer_module.make_accelerator
    made = []

    def make(config):
        accelerator = original(config)
        scaler = accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=FIRST_SCALE)
        accelerator.unscale_gradients = lambda optimizer=None: [
            scaler.unscale_(one.optimizer) for one in accelerator._optimizers
        ]
        made.append(scaler)
        return accelerator

    monkeypatch.setattr(trainer_module, "make_accelerator", make)
    return made


def break_attempt(monkeypatch, number, value):
    """Put a number that is not finite into a gradient of one attempt."""
    original = loop_module.StageLoop._forward_backward

    def broken(self, batches):
        terms = original(self, batches)
        if self.step + self.skipped == number:
            next(self.wrapped.parameters()).grad[0, 0] = value
        return terms

    monkeypatch.setattr(loop_module.StageLoop, "_forward_backward", broken)


def ended(folder):
    """Weights, and the schedules by step."""
    run = folder / "run"
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    schedules = [
        {key: value for key, value in line.items() if "lambda" in key or "learning_rate" in key}
        for line in lines
        if "loss" in line
    ]
    skipped = sum(line.get("skipped", False) for line in lines)
    return load_file(run / "model" / "model.safetensors"), schedules, skipped


def test_an_overflow_is_a_step_that_never_was(tmp_path, monkeypatch, scalers):
    """The same as skipping a step that is not finite without a scaler, and the scale is halved."""
    with monkeypatch.context() as patch:
        break_attempt(patch, 2, float("inf"))
        trainer_for(tmp_path / "scaled", **OPTIONS).train()
    assert scalers[0].get_scale() == FIRST_SCALE / 2
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        break_attempt(patch, 2, float("nan"))
        trainer_for(tmp_path / "plain", **OPTIONS).train()
    weights, schedules, skipped = ended(tmp_path / "scaled")
    plain_weights, plain_schedules, plain_skipped = ended(tmp_path / "plain")
    assert skipped == plain_skipped == 1
    assert schedules == plain_schedules
    assert len(schedules) == OPTIONS["max_steps"]
    for name, value in plain_weights.items():
        assert torch.equal(weights[name], value), name


def test_the_scale_goes_on_where_it_was(tmp_path, monkeypatch, scalers):
    with monkeypatch.context() as patch:
        break_attempt(patch, 1, float("inf"))
        trainer_for(tmp_path / "whole", **OPTIONS).train()
        signal_at(patch, 3)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path / "stopped", **OPTIONS).train()
    trainer_for(tmp_path / "stopped", **OPTIONS, resume=True).train()
    assert [scaler.get_scale() for scaler in scalers] == [FIRST_SCALE / 2] * 3
    (weights, *_), (expected, *_) = ended(tmp_path / "stopped"), ended(tmp_path / "whole")
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name
