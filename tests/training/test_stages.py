"""How long each stage is, and what waits at its start."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import stages_for
from nlp_adapt.modeling.architectures import encoder_of
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.optimization import HeadsFirst
from nlp_adapt.training.schedule import ADAPTED, SOURCE_ONLY, Schedule
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

ALONE = {"compare_source_only": False, "max_steps": -1, "data_doctor": "off"}


@pytest.mark.parametrize(
    ("method", "steps"),
    [("udalm", [150, 30]), ("daat", [150, 30]), ("mlm", [30, 30]), ("distillation", [30])],
)
def test_a_stage_that_models_the_targets_text_alone_passes_over_the_target(method, steps):
    """100 source rows, 500 target rows, 3 epochs, 10 rows of each a step."""
    config = AdaptationConfig(method=method, num_train_epochs=3, teacher="x")
    schedule = Schedule(config, stages_for(config), 100, 10, target_rows=500)
    assert schedule.steps(ADAPTED) == steps
    assert schedule.steps(SOURCE_ONLY) == [steps[-1]]
    unknown = Schedule(config, stages_for(config), 100, 10)  # a stream
    assert unknown.steps(ADAPTED) == [30] * len(steps)


def test_a_run_counts_the_rows_of_its_target(tmp_path):
    trainer = trainer_for(tmp_path, method="udalm", max_steps=-1)
    data = trainer.data.train
    context = replace(trainer.context, accelerator=SimpleNamespace(num_processes=1))
    schedule = Schedule.of(context)
    expected = [-(-3 * len(data[side]) // 4) for side in ("target", "source")]
    assert schedule.steps(ADAPTED) == expected


def test_a_new_language_modelling_head_is_trained_alone_first(tmp_path, monkeypatch, caplog):
    """The encoder stays to the bit for a fifth of the stage, and of this stage alone."""
    seen = []
    apply = loop_module.StageLoop._apply

    def noted(self):
        applied = apply(self)
        encoder = next(encoder_of(self.model.task_model).parameters()).detach().clone()
        seen.append((self.number, encoder, self.model.objectives["mlm"].head.bias.detach().clone()))
        return applied

    monkeypatch.setattr(loop_module.StageLoop, "_apply", noted)
    stages = [{"objectives": {"mlm": {"domains": "target"}}, "steps": 10},
              {"objectives": {"task": {}, "mlm": {"domains": "target"}}, "steps": 5}]  # fmt: skip
    options = {**ALONE, "stages": stages, "warmup_steps": 0, "weight_decay": 0.1}
    with caplog.at_level(logging.WARNING, logger="nlp_adapt"):
        trainer_for(tmp_path, **options).train()
    told = [one.message for one in caplog.records if one.message.startswith("mlm: ")]
    assert len(told) == 1
    assert "alone for the first 20 %" in told[0]
    moved = [not torch.equal(before[1], after[1]) for before, after in pairwise(seen)]
    assert moved == [False, *[True] * 13]  # the second step is as frozen as the first
    assert torch.equal(seen[0][1], next(encoder_of(tiny_model()).parameters()))
    assert not torch.equal(seen[0][2], seen[1][2])


def test_a_stage_with_a_waiting_encoder_resumes_to_the_same_bits(tmp_path, monkeypatch):
    options = {**ALONE, "method": "udalm", "num_train_epochs": 2.0, "save_steps": 2}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trainer_for(whole, **options).train()
    for number, steps in enumerate((3, 3, 11)):  # within the wait, after it, in the second stage
        with monkeypatch.context() as patch:
            crash_after(patch, steps)
            with pytest.raises(InterruptedRunError):
                trainer_for(broken, **options, resume=number > 0).train()
    trainer_for(broken, **options, resume=True).train()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name


def test_heads_go_first_by_the_step_alone():
    waiting = HeadsFirst(tiny_model(), 11)
    assert [waiting.training_parts(step) for step in range(11)] == [0] * 3 + [1] * 8
    short = HeadsFirst(tiny_model(), 1)
    assert short.training_parts(0) == 0
