"""Continuing from a saved run: labels, discriminators, and what cannot be continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ModelError
from nlp_adapt.training.continuing import continue_objective, open_saved
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.training.test_encoders import toy_domain, trainer_for


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a discriminator of 32 units."""
    folder = tmp_path_factory.mktemp("finished")
    trainer_for(folder, compare_source_only=False, discriminator_hidden_size=32).train()
    return folder / "run"


def continued(run: Path, folder: Path, **options: Any) -> AdaptationTrainer:
    settings = {
        "output_dir": str(folder / "next"),
        "precision": "fp32",
        "max_steps": 1,
        "learning_rate": 0.0,
        "head_learning_rate": 0.0,
        "disable_tqdm": True,
        "compare_source_only": False,
        "discriminator_hidden_size": 32,
    }
    return AdaptationTrainer.from_pretrained(
        run, AdaptationConfig(**{**settings, **options}), toy_domain("a", 30), toy_domain("b", 50)
    )


def objectives(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adaptation" / "objectives.safetensors")


def test_model_and_discriminator_go_on(finished: Path, tmp_path: Path) -> None:
    continued(finished, tmp_path).train()
    before, after = objectives(finished), objectives(tmp_path / "next")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    old, new = (
        load_file(run / "model" / "model.safetensors") for run in (finished, tmp_path / "next")
    )
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_discriminator_of_another_size_starts_anew(finished: Path, tmp_path: Path) -> None:
    continued(finished, tmp_path, discriminator_hidden_size=16).train()
    shapes = {tuple(value.shape) for value in objectives(tmp_path / "next").values()}
    assert (16, 32) in shapes


def test_the_models_own_label_order_holds(finished: Path, tmp_path: Path) -> None:
    source = toy_domain("a", 30)
    swapped = make_dataset(
        "sequence-classification",
        list(source.train["text"]),
        list(source.train["row"]),
        [1 - label for label in source.train["label"]],
        ("positive", "negative"),
    )
    trainer = AdaptationTrainer.from_pretrained(
        finished,
        AdaptationConfig(output_dir=str(tmp_path / "next"), precision="fp32"),
        Domain("a", "sequence-classification", train=swapped),
        toy_domain("b", 50, labelled=False),
    )
    assert trainer.task.label_names == ("negative", "positive")
    names = swapped.features["label"].names
    given = sorted(names[label] for label in swapped["label"])
    rows = [*trainer.data.train["source"].labels]
    rows += [*trainer.data.evaluation["source_validation"].encoded.labels]
    assert sorted(trainer.task.label_names[label] for label in rows) == given


def test_other_labels_are_refused(finished: Path, tmp_path: Path) -> None:
    rows = make_dataset("sequence-classification", ["x", "y"], ["a:1", "a:2"], [0, 1], ("a", "b"))
    domain = Domain("a", "sequence-classification", train=rows)
    args = AdaptationConfig(output_dir=str(tmp_path / "next"))
    target = toy_domain("b", 50, labelled=False)
    with pytest.raises(ModelError, match="knows the labels negative, positive"):
        AdaptationTrainer.from_pretrained(finished, args, domain, target)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no trained model"):
        open_saved(tmp_path)


def test_a_damaged_file_is_named(finished: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "adaptation" / "objectives.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"objectives\.safetensors: cannot be read"):
        open_saved(tmp_path / "run")


def test_only_the_same_build_is_loaded() -> None:
    layer = torch.nn.Linear(2, 1)
    state = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    assert not continue_objective(layer, None)
    assert not continue_objective(layer, {"weight": torch.ones(1, 3), "bias": torch.ones(1)})
    assert continue_objective(layer, state)
    assert torch.equal(layer.weight, state["weight"])
