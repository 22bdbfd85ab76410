"""Tiny models with adapters."""

from __future__ import annotations

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.modeling.lora import add_adapters
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

INPUTS = {
    "input_ids": torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


def logits(model):
    with torch.no_grad():
        return model.eval()(**INPUTS).logits


def stirred(model, **options):
    """Adapters with random weights and a changed head, as after training."""
    add_adapters(model, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def saved_base(tmp_path, task="SequenceClassification", architecture="bert"):
    model = tiny_model(architecture, task)
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def lora_trainer(tmp_path, model, **options):
    defaults = {"output_dir": str(tmp_path / "run"), "precision": "fp32", "max_steps": 2,
                "per_device_train_batch_size": 4, "disable_tqdm": True, "lora": True}  # fmt: skip
    config = AdaptationConfig(**{**defaults, **options})
    return AdaptationTrainer(str(model), config, toy_domain("a", 30), toy_domain("b", 50))
