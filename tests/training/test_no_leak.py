"""A run holds as many tensors after many steps as after few."""

import gc

import torch

from nlp_adapt.training.loop import StageLoop
from tests.helpers.trainers import trainer_for


def test_steps_leave_no_tensors_behind(tmp_path, monkeypatch):
    counts = []
    original = StageLoop.steps

    def counted(self):
        for step in original(self):
            if step in (20, 60):
                gc.collect()
                held = sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())
                counts.append(held)
            yield step

    monkeypatch.setattr(StageLoop, "steps", counted)
    trainer_for(
        tmp_path, method="dann", compare_source_only=False, eval_strategy="no", logging_steps=10,
        data_doctor="off", max_steps=60,
    ).train()  # fmt: skip
    early, late = counts
    assert late <= early
