"""Model folders as people bring them: sure heads under any names, and weights that were changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

TEXTS = [f"word{i} word{7 * i % 90} word{5 * i % 90}" for i in range(12)]


def with_head(names: Sequence[str], architecture: str = "bert", task: str = "Sequence") -> Any:
    """A random model whose head is sure of itself, with labels of these names."""
    model = tiny_model(architecture, f"{task}Classification", labels=len(names))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "classifier" in name:
                parameter.mul_(20)
    rename(model.config, names)
    return model


def rename(config: Any, names: Sequence[str]) -> None:
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}


def saved(model: Any, folder: Path, **config: Any) -> Path:
    """The model's folder, with a tokenizer; the rest is written into its config.json."""
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    return folder


def reweighted(folder: Path, change: Callable[[str, Tensor], Mapping[str, Tensor]]) -> Path:
    """The same folder after `change` of each tensor: what it is replaced by."""
    file = folder / "model.safetensors"
    tensors: dict[str, Tensor] = {}
    for name, value in load_file(file).items():
        tensors.update(change(name, value))
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def barely_trained(model: Any, folder: Path, **options: Any) -> AdaptationTrainer:
    """A trainer after a run that leaves the weights as they were."""
    trainer = starting_from(model, folder, **options)
    trainer.train()
    return trainer


def starting_from(model: Any, folder: Path, **options: Any) -> AdaptationTrainer:
    """A trainer with two toy domains of the labels negative and positive."""
    still = {"learning_rate": 1e-12, "head_learning_rate": 1e-12, "max_steps": 1}
    quiet = {"precision": "fp32", "disable_tqdm": True, "data_doctor": "off"}
    config = AdaptationConfig(output_dir=str(folder), **{**still, **quiet, **options})
    start = model if hasattr(model, "config") else str(model)
    source, target = toy_domain("reviews", 30), toy_domain("tweets", 50)
    tokenizer = tiny_tokenizer() if hasattr(model, "config") else None
    return AdaptationTrainer(start, config, source, target, processing_class=tokenizer)
