"""Recomputed activations and a compiled encoder give the same weights; attention suits the device."""

import json
import shutil

import pytest
import torch
from transformers import modeling_utils

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.cpu import dropout, training_step
from nlp_adapt.training.model import prepare_encoder
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model
from tests.helpers.trainers import trainer_for

OPTIONS = {"compare_source_only": False, "data_doctor": "off", "discriminator_dropout": 0.0}


def trained(folder, architecture="bert", **options):
    trainer = trainer_for(folder, architecture, **OPTIONS, **options)
    trainer.train()
    return dict(trainer.model.named_parameters())


def assert_same(one, other, atol):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_recomputed_activations_give_the_same_weights(tmp_path, architecture, monkeypatch):
    plain = trained(tmp_path / "plain", architecture)
    used = []
    original = modeling_utils.checkpoint
    monkeypatch.setattr(
        modeling_utils, "checkpoint", lambda *a, **k: used.append(1) or original(*a, **k)
    )
    options = {"gradient_checkpointing": True}
    assert_same(plain, trained(tmp_path / "less", architecture, **options), 1e-7)
    assert used


def trainer_with_dropout(folder, **options):
    return trainer_for(folder, model=tiny_model("bert", dropout=0.2), **OPTIONS, **options)


def attention_after(model, device="cpu", **options):
    prepare_encoder(model, AdaptationConfig(**options), ("task",), torch.device(device))
    return model.config._attn_implementation


def test_attention_with_dropout_is_written_out_on_a_cpu_unless_told_otherwise():
    def dropped():
        return tiny_model("bert", dropout=0.1)

    assert attention_after(dropped()) == "eager"
    assert attention_after(tiny_model("distilbert", dropout=0.1)) == "eager"
    assert attention_after(tiny_model("bert", dropout=0.0)) == "sdpa"
    assert attention_after(dropped(), "cuda") == "sdpa"
    assert attention_after(dropped(), attn_implementation="sdpa") == "sdpa"
    assert attention_after(dropped(), torch_compile=True) == "sdpa"


def test_attention_is_no_part_of_the_saved_model(tmp_path):
    trainer = trainer_with_dropout(tmp_path)
    trainer.train()
    assert trainer.model.config._attn_implementation == "eager"
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert not [key for key in saved if "attn_implementation" in key]


def test_quick_dropout_is_for_a_cpu_that_does_not_compile():
    def is_quick(device, **options):
        with training_step(None, (), AdaptationConfig(**options), torch.device(device)):
            return torch.nn.functional.dropout is dropout

    assert is_quick("cpu")
    assert not is_quick("cuda")
    assert not is_quick("cpu", torch_compile=True)
    assert torch.nn.functional.dropout is not dropout


def test_recomputed_activations_give_the_same_weights_with_dropout(tmp_path):
    plain, less = (
        trainer_with_dropout(tmp_path / "plain"),
        trainer_with_dropout(tmp_path / "less", gradient_checkpointing=True),
    )
    for trainer in (plain, less):
        trainer.train()
    weights = [dict(trainer.model.named_parameters()) for trainer in (plain, less)]
    assert_same(*weights, 1e-7)


def test_compilation_is_refused_where_it_would_be_ignored(tmp_path):
    trainer = trainer_for(tmp_path, **OPTIONS, method="fgm", torch_compile=True)
    with pytest.raises(ConfigError, match="torch_compile does not go with fgm"):
        trainer.train()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_compiled_encoder_gives_the_same_weights(tmp_path, architecture):
    assert shutil.which("c++") or shutil.which("g++"), "torch.compile needs a C++ compiler on CPU"
    plain = trained(tmp_path / "plain", architecture)
    compiled = trained(tmp_path / "compiled", architecture, torch_compile=True)
    assert_same(plain, compiled, 2e-4)
    folder = tmp_path / "compiled" / "run" / "model"
    assert (folder / "config.json").is_file()
