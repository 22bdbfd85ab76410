"""How long each stage is, which rows it reads, and what waits at its start."""

from __future__ import annotations

import logging
from collections import Counter
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
from nlp_adapt.training.saving.resume import SampleLedger
from nlp_adapt.training.schedule import ADAPTED, SOURCE_ONLY, Schedule
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

ALONE = {"compare_source_only": False, "max_steps": -1, "data_doctor": "off"}


@pytest.fixture
def rows_read(monkeypatch):
    """The rows of each step, by side, with the number of their stage."""
    steps = []
    add = SampleLedger.add

    def noted(self, stage, step, rows):
        steps.append((stage, rows))
        add(self, stage, step, rows)

    monkeypatch.setattr(SampleLedger, "add", noted)
    return steps


def test_a_stage_goes_on_with_the_pass_over_the_source(tmp_path, rows_read):
    """Three stages make up two passes, and none of them is a whole one."""
    kinds = (["task"], ["task", "mcc"], ["task"])
    trainer = trainer_for(tmp_path, **ALONE, validation_fraction=0.0)
    rows = len(trainer.data.train["source"])
    each = rows // 2 // 3
    lengths = (each, each + 1, rows // 2 - 2 * each - 1)
    stages = [
        {"objectives": kind, "steps": steps} for kind, steps in zip(kinds, lengths, strict=True)
    ]
    trainer_for(tmp_path, **ALONE, stages=stages, validation_fraction=0.0).train()
    assert Counter(number for number, _ in rows_read) == dict(enumerate(lengths))
    read = Counter(row for _, step in rows_read for row in step["source"].tolist())
    assert dict(read) == dict.fromkeys(range(rows), 2)


def test_the_twin_and_the_stages_read_the_source_in_the_same_order(
    tmp_path, rows_read, monkeypatch
):
    monkeypatch.setattr("nlp_adapt.training.run.shared_stages", lambda *args: 0)
    options = {"method": "auto", "data_doctor": "off", "max_steps": 9}
    trainer_for(tmp_path, **options).train()
    twin, adapted = (rows_read[:9], rows_read[9:])
    assert {number for number, _ in adapted} == {0, 1}
    first, second = (
        Counter(r for _, s in run for r in s["source"].tolist()) for run in (twin, adapted)
    )
    assert first == second


def test_a_stage_that_does_not_read_the_source_leaves_its_pass_alone():
    stages = [{"objectives": {"mlm": {"domains": "target"}}, "steps": 4},
              {"objectives": ["task"], "steps": 5}, {"objectives": ["task"], "steps": 6}]  # fmt: skip
    config = AdaptationConfig(stages=stages)
    schedule = Schedule(config, stages_for(config), epoch_rows=100, global_batch=10)
    assert [schedule.steps_on_source(ADAPTED, number) for number in range(3)] == [0, 0, 5]
    assert schedule.steps_on_source(SOURCE_ONLY, 0) == 0


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
