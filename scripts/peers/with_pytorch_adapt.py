"""The hooks of pytorch-adapt in a plain loop, as its README shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from harness import Job, Predict, main
from pytorch_adapt.hooks import AlignerPlusCHook, CDANHook, ClassifierHook, DANNHook, MCCHook
from pytorch_adapt.layers import CORALLoss, RandomizedDotProduct
from pytorch_adapt.models import Discriminator
from texts import TextEncoder, adamw, batches, encode, probabilities, schedule
from torch import nn

HOOKS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "source_only": lambda g, c, _: ClassifierHook([g, c]),
    "dann": lambda g, c, d: DANNHook([g, c, d]),
    "cdan": lambda g, c, d: CDANHook(d_opts=[d], g_opts=[g, c]),
    "mcc": lambda g, c, _: ClassifierHook([g, c], post=[MCCHook()]),
    "dann_mcc": lambda g, c, d: DANNHook([g, c, d], post_g=[MCCHook()]),
    "coral": lambda g, c, _: AlignerPlusCHook([g, c], loss_fn=CORALLoss()),
    "mmd": lambda g, c, _: AlignerPlusCHook([g, c]),
}


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    encoder = TextEncoder(job.encoder)
    models: dict[str, nn.Module] = {
        "G": encoder,
        "C": encoder.classifier(len(job.label_names)),
        "D": Discriminator(in_size=encoder.size, h=256),
    }
    optimizers = [adamw(job, models["G"])]
    optimizers += [adamw(job, nn.Identity(), models[name]) for name in ("C", "D")]
    schedules = [schedule(job, optimizer) for optimizer in optimizers]
    hook = HOOKS[job.method](*optimizers)
    # CDAN reads features and classes together.
    together = RandomizedDotProduct([encoder.size, len(job.label_names)], encoder.size)
    source = batches(encode(job, job.texts["source"]), job, torch.tensor(job.labels["source"]))
    target = batches(encode(job, job.texts["target"]), job)
    for model in models.values():
        model.train()
    for _ in range(job.steps):
        rows, labels = next(source)
        data = {"src_imgs": rows, "src_labels": labels, "src_domain": torch.zeros(len(rows))}
        if job.method != "source_only":
            (others,) = next(target)
            data |= {"target_imgs": others, "target_domain": torch.ones(len(others))}
        hook({**models, **data, "feature_combiner": together})
        for one in schedules:
            one.step()
    model = nn.Sequential(models["G"], models["C"])
    return lambda texts: probabilities(model, job, texts)


if __name__ == "__main__":
    main(train, "pytorch-adapt", "pytorch-metric-learning")
