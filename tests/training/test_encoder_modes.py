"""Recomputed activations and a compiled encoder give the same weights."""

import shutil

import pytest
import torch
from transformers import modeling_utils

from nlp_adapt.errors import ConfigError
from tests.training.test_encoders import trainer_for
from tests.training.tiny import ARCHITECTURES

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
