"""A running average of the weights: what it is, and that it is what a run scores and saves."""

import json

import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training import stages as stages_module
from nlp_adapt.training.optimization import WeightAverage
from nlp_adapt.training.saving.best import BestModel
from tests.helpers.adapters import lora_trainer, saved_base
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.trainers import trainer_for

OPTIONS = {
    "ema_decay": 0.6,
    "compare_source_only": False,
    "data_doctor": "off",
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "eval_strategy": "no",
}


def averaged_by_hand(history, decay):
    """The definition, in Python floats: one weight's values, the first before any step."""
    average = history[0]
    for step, value in enumerate(history[1:], start=1):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * value
    return average


def copied(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.fixture
def history(monkeypatch):
    """The weights under training before the first and after each applied step, stage by stage."""
    stages = []
    start, update = WeightAverage.__init__, WeightAverage.update

    def started(self, task_model, decay):
        start(self, task_model, decay)
        stages.append([copied(task_model)])
        self.model = task_model

    def updated(self, step):
        stages[-1].append(copied(self.model))
        update(self, step)

    monkeypatch.setattr(WeightAverage, "__init__", started)
    monkeypatch.setattr(WeightAverage, "update", updated)
    return stages


def test_the_average_is_the_definition():
    layer = torch.nn.Linear(1, 1, bias=False)
    values = [0.5, 2.0, -1.0, 4.0, 3.0, 7.0]
    torch.nn.init.constant_(layer.weight, values[0])
    average = WeightAverage(layer, 0.3)
    for step, value in enumerate(values[1:], start=1):
        torch.nn.init.constant_(layer.weight, value)
        average.update(step)
    expected = averaged_by_hand(values, 0.3)
    assert average.tensors()["weight"].item() == pytest.approx(expected, rel=1e-6)
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected, rel=1e-6)
    assert layer.weight.item() == 7.0


def test_weights_come_back_bit_for_bit_also_after_an_error_and_in_half_precision():
    model = torch.nn.Linear(40, 30).to(torch.bfloat16)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.add_(torch.randn(30, 40))
    average.update(1)
    assert average.tensors()["weight"].dtype == torch.float32
    before, kept = copied(model), average.tensors()["weight"].clone()
    inside = []

    def fail():
        with average.in_place():
            inside.append(model.weight.clone())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not torch.equal(inside[0], before["weight"])
    assert torch.equal(model.weight, before["weight"])
    assert torch.equal(average.tensors()["weight"], kept)


def test_a_model_in_which_nothing_trains_has_no_average():
    average = WeightAverage(torch.nn.Linear(2, 2).requires_grad_(False), 0.9)
    average.update(1)
    assert average.tensors() == {}


def test_a_run_ends_with_the_average_and_trains_as_without_it(tmp_path, history):
    steps = {"eval_strategy": "steps", "eval_steps": 1}
    averaged = trainer_for(tmp_path / "averaged", max_steps=5, **{**OPTIONS, **steps})
    averaged.train()
    (stage,) = history
    assert len(stage) == 6
    saved = load_file(tmp_path / "averaged" / "run" / "model" / "model.safetensors")
    for name, value in saved.items():
        expected = averaged_by_hand([weights[name].double() for weights in stage], 0.6)
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=0, msg=name)
        assert torch.equal(value, dict(averaged.model.named_parameters())[name])
    # Scored five times on the way with other weights in place, training went on from its own.
    plain = trainer_for(tmp_path / "plain", max_steps=5, **{**OPTIONS, "ema_decay": 0.0})
    plain.train()
    for name, value in plain.model.named_parameters():
        assert torch.equal(value, stage[-1][name]), name
    assert not torch.equal(saved["classifier.weight"], stage[-1]["classifier.weight"])


def test_a_skipped_step_is_no_part_of_it(tmp_path, history, monkeypatch):
    original, calls = loop_module.StageLoop._forward_backward, []

    def poison(self, batches):
        terms = original(self, batches)
        calls.append(1)
        if len(calls) == 2:
            next(self.wrapped.parameters()).grad.fill_(float("nan"))
        return terms

    monkeypatch.setattr(loop_module.StageLoop, "_forward_backward", poison)
    trainer_for(tmp_path, max_steps=3, **OPTIONS).train()
    assert len(calls) == 4
    assert len(history[0]) == 4
    for value in weights(tmp_path).values():
        assert value.isfinite().all()


def test_a_stage_hands_its_average_to_the_next(tmp_path, history):
    stages = [{"objectives": ["task"], "steps": 3}, {"objectives": ["task", "dann"], "steps": 2}]
    trainer_for(tmp_path, **OPTIONS, stages=stages, max_steps=-1).train()
    first, second = history
    for name, value in second[0].items():
        expected = averaged_by_hand([weights[name].double() for weights in first], 0.6)
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=0, msg=name)
    assert not torch.equal(second[0]["classifier.weight"], first[-1]["classifier.weight"])


def test_the_average_is_what_is_scored_and_chosen(tmp_path, history, monkeypatch):
    seen, consider = [], BestModel.consider

    def remember(self, model, scores, step):
        seen.append((step, copied(model)))
        # The first of three wins.
        return consider(self, model, {"label_free": -float(step)}, step)

    monkeypatch.setattr(BestModel, "consider", remember)
    options = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}
    results = trainer_for(tmp_path, max_steps=6, **{**OPTIONS, **options}).train()
    assert [step for step, _ in seen] == [2, 4, 6]
    assert results["adapted"]["best"]["step"] == 2
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for step, found in seen:
        for name, value in found.items():
            expected = averaged_by_hand([w[name].double() for w in history[0][: step + 1]], 0.6)
            torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=0, msg=name)
    for name, value in saved.items():
        assert torch.equal(value, seen[0][1][name]), name


TWO_STAGES = [{"objectives": ["task"], "steps": 3}, {"objectives": ["task", "dann"], "steps": 3}]


@pytest.mark.parametrize("crash", [3, 5])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, crash):
    """Also where the crash comes just before a stage hands over."""
    options = {**OPTIONS, "stages": TWO_STAGES, "max_steps": -1, "save_steps": 1}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trainer_for(whole, **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, crash)
        with pytest.raises(InterruptedRunError):
            trainer_for(broken, **options).train()
    newest = max((broken / "run" / "checkpoints").glob("step-*"))
    assert "average.safetensors" in json.loads((newest / "manifest.json").read_text())
    trainer_for(broken, **options, resume=True).train()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name


def test_another_decay_is_another_run(tmp_path, monkeypatch):
    options = {**OPTIONS, "ema_decay": 0.0, "max_steps": 4, "save_steps": 1}
    with monkeypatch.context() as patch:
        crash_after(patch, 2)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path, **options).train()
    (newest,) = (tmp_path / "run" / "checkpoints").glob("step-000000002")
    assert not (newest / "average.safetensors").exists()
    options["ema_decay"] = 0.5
    with pytest.raises(RunError, match=r"option ema_decay: was 0\.0, is 0\.5"):
        trainer_for(tmp_path, **options, resume=True).train()
    # Asked to go on all the same, the average begins at the weights of the checkpoint.
    results = trainer_for(tmp_path, **options, resume=True, allow_inexact_resume=True).train()
    assert results["resumed"]["notes"] == ["option ema_decay: was 0.0, is 0.5"]
    for value in weights(tmp_path).values():
        assert value.isfinite().all()


def test_of_adapters_only_what_trains_is_averaged(tmp_path, monkeypatch):
    kept = []
    release = loop_module.StageLoop.release

    def look(self):
        kept.append(set(self.average.tensors()))
        release(self)

    monkeypatch.setattr(stages_module.StageLoop, "release", look)
    trainer = lora_trainer(
        tmp_path, saved_base(tmp_path), method="dann", **{**OPTIONS, "max_steps": 3}
    )
    trainer.train()
    trained = {name for name, value in trainer.model.named_parameters() if value.requires_grad}
    assert kept == [trained]
    assert all("lora_" in name or "classifier" in name or "pooler" in name for name in trained)


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, "0.9x"])
def test_decays_that_mean_nothing_are_refused(tmp_path, value):
    with pytest.raises(ConfigError, match="ema_decay is"):
        trainer_for(tmp_path, ema_decay=value)


def test_the_estimate_counts_the_average(tmp_path):
    plain = trainer_for(tmp_path / "plain", **{**OPTIONS, "ema_decay": 0.0}).train()["cost"]
    averaged = trainer_for(tmp_path / "averaged", **OPTIONS).train()["cost"]
    assert averaged["memory_bytes"] - plain["memory_bytes"] == 4 * plain["trained_parameters"]
    assert averaged["disk_bytes"] > plain["disk_bytes"]
