"""The beginning that both models have in common is trained once, and is as if each had trained it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from nlp_adapt.training import accelerator as accelerator_module
from nlp_adapt.training import run as run_module
from nlp_adapt.training.saving.shared_start import shared_stages
from nlp_adapt.training.schedule import Schedule
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.recorder import Recorder
from tests.helpers.several_domains import TAGS, several_trainer
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

OPTIONS = {"method": "auto", "data_doctor": "off", "max_steps": 6, "save_steps": 1}
TIMED = ("tokens_per_second", "seconds_left", "data_seconds")


def log_of(folder):
    lines = (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(one).items() if k not in TIMED} for one in lines]


def assert_same(one, other):
    whole, parts = weights(one), weights(other)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert log_of(one) == log_of(other)


@pytest.fixture
def steps(monkeypatch):
    """How many steps each run trained."""
    from nlp_adapt.training import loop

    applied, original = [0], loop.StageLoop._apply

    def apply(self):
        applied[0] += 1
        return original(self)

    monkeypatch.setattr(loop.StageLoop, "_apply", apply)
    return applied


def apart(monkeypatch, folder, make=trainer_for, **options):
    """The same run, both of whose models train all of their stages."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "shared_stages", lambda *args: 0)
        return make(folder, **options).train()


@pytest.mark.parametrize("method", ["auto", "daln", "consistency"])
def test_the_adapted_model_is_the_same_to_the_bit(tmp_path, monkeypatch, steps, method):
    options = {**OPTIONS, "method": method, "ema_decay": 0.5}
    options["model"] = tiny_model("bert", dropout=0.2)
    shared = trainer_for(tmp_path / "shared", **options).train()
    assert steps[0] == {"auto": 8, "daln": 10, "consistency": 10}[method]
    whole = apart(monkeypatch, tmp_path / "apart", **options)
    assert_same(tmp_path / "shared", tmp_path / "apart")
    for name in ("ledger", "steps", "target"):
        assert shared["adapted"][name] == whole["adapted"][name]
    assert shared["adapted"]["seconds"] > 0


def test_a_tagger_as_well(tmp_path, monkeypatch, steps):
    options = {**OPTIONS, "task": TAGS, "few_shot": None, "compare_source_only": True}
    several_trainer(tmp_path / "shared", **options).train()
    assert steps[0] == 8
    apart(monkeypatch, tmp_path / "apart", several_trainer, **options)
    assert_same(tmp_path / "shared", tmp_path / "apart")


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("crash", [2, 5, 7])
def test_an_interrupted_run_ends_the_same(tmp_path, monkeypatch, crash, lora):
    """After steps 2 and 5 of the twin, and within the stage that the finished twin teaches."""
    options = {**OPTIONS, "model": tiny_model("bert", dropout=0.2), "lora": lora}
    trainer_for(tmp_path / "whole", **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, crash)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path / "parts", **options).train()
    trainer_for(tmp_path / "parts", **options).train(resume_from_checkpoint=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"method": "dann"}, 12),
        ({"method": "mlm"}, 9),  # its twin has the second stage alone
        ({"load_best_model_at_end": True}, 12),
        ({"callbacks": [TrainerCallback]}, 12),
    ],
)
def test_models_that_begin_otherwise_share_nothing(tmp_path, steps, options, trained):
    trainer_for(tmp_path, **{**OPTIONS, **options}).train()
    assert steps[0] == trained


def test_trackers_are_told_of_the_shared_steps_of_both_models(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(accelerator_module, "_trackers", lambda names: [recorder for _ in names])
    trainer_for(tmp_path, **OPTIONS, logging_steps=1, report_to=["recorder"]).train()
    losses = [step for step, values in recorder.lines if "loss" in values]
    assert losses == [1, 2, 3, 4, 5, 6] * 2


def test_neither_do_they_where_the_adapted_one_reads_edited_copies(tmp_path):
    alone = SimpleNamespace(num_processes=1, is_main_process=True)
    context = replace(trainer_for(tmp_path, **OPTIONS).context, accelerator=alone)
    schedule = Schedule.of(context)
    assert shared_stages(context, schedule) == 1
    edited = replace(context.data, copies=context.data.train["source"])
    assert shared_stages(replace(context, prepared=edited), schedule) == 0
