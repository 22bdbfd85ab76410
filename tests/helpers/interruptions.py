"""Runs that are broken off, and the weights that they end with."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.training import loop as loop_module
from tests.helpers.trainers import trainer_for


class InterruptedRunError(Exception):
    """Stands for a crash."""


def crash_after(monkeypatch, steps):
    """Make the run stop before its applied step number `steps + 1`, counted over both models."""
    original = loop_module.StageLoop._apply
    left = [steps]

    def apply(self):
        if not left[0]:
            raise InterruptedRunError
        left[0] -= 1
        return original(self)

    monkeypatch.setattr(loop_module.StageLoop, "_apply", apply)


def assert_resumes(tmp_path, monkeypatch, steps, **options):
    """A run that breaks off after so many applied steps and resumes ends with a whole run's weights."""
    trainer_for(tmp_path / "whole", **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, steps)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path / "broken", **options).train()
    resumed = trainer_for(tmp_path / "broken", **options, resume=True).train()["resumed"]
    assert resumed["exact"]
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "broken")[name]), name


def weights(folder):
    return {
        **load_file(folder / "run" / "model" / "model.safetensors"),
        **load_file(folder / "run" / "adaptation" / "objectives.safetensors"),
    }


def signal_at(monkeypatch, step, number=signal.SIGTERM):
    """Send this process a signal while it works on a step."""
    original = loop_module.StageLoop._forward_backward

    def signalled(self, batches):
        if self.step == step:
            os.kill(os.getpid(), number)
        return original(self, batches)

    monkeypatch.setattr(loop_module.StageLoop, "_forward_backward", signalled)
