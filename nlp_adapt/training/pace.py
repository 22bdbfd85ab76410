"""How fast a model trains on this machine, measured on one batch before the first step."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows, collate, to_tensors
from nlp_adapt.modeling.freezing import frozen_depth
from nlp_adapt.training.encoder_modes import dropout_mode
from nlp_adapt.training.saving.random_state import load_random, random_tensors
from nlp_adapt.training.sharding import requested_sharding

MOST_ROWS = 8


def can_be_measured(task_model: Any, config: AdaptationConfig) -> bool:
    """Whether steps will cost what a pass costs now: not compiled, sharded or read from a cache."""
    cached = config.cache_features and frozen_depth(task_model, config.freeze)
    return not (cached or config.torch_compile or requested_sharding(config) is not None)


def seconds_per_token(
    task_model: Any, rows: EncodedRows, config: AdaptationConfig, *, accelerator: Any, pad_id: int
) -> float:
    """Seconds that a real token takes in a forward and a backward pass.

    A few rows of middling length pass twice and the second pass counts, since the first one
    compiles kernels. Weights, gradients and random generators are left as they were.

    Args:
        task_model: A model that is about to train, what is frozen frozen.
        rows: Training rows.
        config: The run's options.
        accelerator: The run's, for its device and number format.
        pad_id: Token id of padding.
    """
    device = accelerator.device
    order = np.argsort(rows.lengths, kind="stable")
    first = max(0, (len(order) - MOST_ROWS) // 2)
    chosen = order[first : first + MOST_ROWS]
    width = int(rows.lengths[chosen].max())
    batch = collate([(rows, chosen)], width=width, pad_id=pad_id)
    inputs = to_tensors({name: batch[name] for name in ("input_ids", "attention_mask")}, device)
    was_training, random, seconds = task_model.training, random_tensors(), 0.0
    task_model.train()
    try:
        for _ in range(2):
            started = _now(device)
            with dropout_mode(config, device):
                with accelerator.autocast():
                    logits = task_model(**inputs).logits
                logits.float().sum().backward()
            seconds = _now(device) - started
    finally:
        task_model.zero_grad(set_to_none=True)
        task_model.train(was_training)
        load_random(random)
    return seconds / int(batch["attention_mask"].sum())


def _now(device: torch.device) -> float:
    """The time at which the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
