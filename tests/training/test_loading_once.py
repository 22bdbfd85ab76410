"""The model of a run is loaded once for each model that is trained, and adapters count as loaded."""

from pathlib import Path

import peft
import pytest
import torch
import transformers

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.modeling.lora import save_task_model
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training import context as context_module
from nlp_adapt.training.saving.checkpoint import random_tensors
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.adapters import logits, lora_trainer, saved_base, stirred
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for

QUICK = {"precision": "fp32", "max_steps": 1, "disable_tqdm": True, "data_doctor": "off",
         "per_device_train_batch_size": 4, "eval_strategy": "no"}  # fmt: skip


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which models were loaded from the disk."""
    seen: list[str] = []
    original = context_module.load_task_model

    def load(name, *arguments, **options):
        seen.append(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(context_module, "load_task_model", load)
    return seen


def named(folder: Path, model: Path, **options) -> AdaptationTrainer:
    config = AdaptationConfig(output_dir=str(folder / "run"), **{**QUICK, **options})
    return AdaptationTrainer(str(model), config, toy_domain("a", 30), toy_domain("b", 50))


@pytest.mark.parametrize("lora", [False, True])
def test_a_run_loads_a_model_for_each_that_it_trains(tmp_path, loaded, lora):
    base = saved_base(tmp_path)
    trainer = named(tmp_path, base, lora=lora)
    trainer.train()
    assert loaded == [str(base)] * 2
    named(tmp_path, base, lora=lora, resume=True).train()
    assert loaded == [str(base)] * 2  # both are finished, and their own folders are opened


@pytest.mark.parametrize("lora", [False, True])
def test_each_fresh_model_is_the_same(tmp_path, lora):
    """Also the random numbers drawn after it are those after loading."""
    trainer = named(tmp_path, saved_base(tmp_path), lora=lora)
    assert trainer.data.max_length == 66
    torch.rand(7)
    found = []
    for _ in range(2):
        model = trainer.fresh_model()
        found.append((model.state_dict(), random_tensors()))
    (first, states), (second, other_states) = found
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        assert value.data_ptr() != second[name].data_ptr()
    for name, state in states.items():
        assert torch.equal(state, other_states[name]), name


def test_a_given_model_stays_as_it_is(tmp_path):
    trainer = trainer_for(tmp_path, compare_source_only=False, learning_rate=0.1)
    before = {
        name: value.clone() for name, value in trainer.context.start.loaded.state_dict().items()
    }
    trainer.train()
    for name, value in trainer.context.start.loaded.state_dict().items():
        assert torch.equal(value, before[name]), name


def saved_adapters(folder: Path, base: Path) -> Path:
    """A folder of adapters with a trained head, and the tokenizer."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    save_task_model(stirred(model), folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_training_from_adapters_begins_where_they_end(tmp_path, loaded):
    base = saved_base(tmp_path)
    adapters = saved_adapters(tmp_path / "adapters", base)
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    wanted = logits(peft.PeftModel.from_pretrained(plain, str(adapters)))
    trainer = named(tmp_path, adapters, compare_source_only=False, learning_rate=0.0,
                    head_learning_rate=0.0)  # fmt: skip
    torch.testing.assert_close(logits(trainer.fresh_model()), wanted, atol=1e-5, rtol=0)
    loaded.clear()
    trainer.train()
    assert loaded == [str(adapters)]
    torch.testing.assert_close(logits(trainer.model), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("continued", [False, True])
def test_adapters_on_adapters_are_saved_as_a_plain_model(tmp_path, continued):
    """No model to be named has the first ones merged in."""
    base = saved_base(tmp_path)
    lora_trainer(tmp_path, base, compare_source_only=False, lora_learning_rate=0.1).train()
    before = logits(load_predictor(tmp_path / "run").task_model)
    config = AdaptationConfig(output_dir=str(tmp_path / "next"), **QUICK, lora=True)
    start = AdaptationTrainer.from_pretrained if continued else AdaptationTrainer
    folder = tmp_path / "run" if continued else str(tmp_path / "run" / "model")
    trainer = start(folder, config, toy_domain("a", 30), toy_domain("b", 50))
    assert torch.allclose(logits(trainer.fresh_model()), before, atol=1e-5)
    trainer.train()
    files = {path.name for path in (tmp_path / "next" / "model").iterdir()}
    assert "model.safetensors" in files
    assert "adapter_config.json" not in files
    reopened = load_predictor(tmp_path / "next").task_model
    torch.testing.assert_close(logits(reopened), logits(trainer.model), atol=1e-5, rtol=0)


def test_the_longest_input_of_a_given_model_counts(tmp_path):
    config = AdaptationConfig(output_dir=str(tmp_path / "run"), **{**QUICK, "max_length": 500})
    trainer = AdaptationTrainer(
        tiny_model("roberta"), config, toy_domain("a", 30), toy_domain("b", 50),
        processing_class=tiny_tokenizer(),
    )  # fmt: skip
    assert trainer.data.max_length == 64
