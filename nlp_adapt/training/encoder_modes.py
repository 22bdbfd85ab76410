"""How the encoder runs while it trains: with less memory or compiled if asked, on a CPU the quick way."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.dropout import quick_dropout
from nlp_adapt.modeling.host_memory import keep_freed_memory
from nlp_adapt.modeling.layers import plain_model

# They add to the embeddings by a hook, which a compiled encoder would not call.
PERTURBING = frozenset({"fgm", "pgd", "vat"})
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


def prepare_encoder(
    task_model: Any,
    config: AdaptationConfig,
    objectives: Collection[str],
    device: torch.device | None = None,
) -> None:
    """Turn on activation checkpointing and compilation, as far as the options ask for them.

    On a CPU, freed memory is kept for the next step, and attention with dropout is written out in
    single operations, unless the option `attn_implementation` says otherwise: PyTorch's fused
    attention has no dropout there and falls back to something slower.

    Args:
        task_model: The task model, changed in place.
        config: The run's options.
        objectives: Names of the stage's objectives.
        device: Where it trains.

    Raises:
        ModelError: If the model cannot recompute its activations.
        ConfigError: If an objective does not work with a compiled encoder.
    """
    if device is not None and device.type == "cpu":
        keep_freed_memory()
        if config.attn_implementation is None and not config.torch_compile:
            _write_out_attention(plain_model(task_model))
    if config.gradient_checkpointing:
        if not getattr(task_model, "supports_gradient_checkpointing", False):
            name = type(task_model).__name__
            raise ModelError(f"{name} does not support gradient_checkpointing; turn it off.")
        # The older name is deprecated, the newer one not in every version.
        newer = getattr(task_model, "activation_checkpointing_enable", None)
        (newer or task_model.gradient_checkpointing_enable)()
    if not config.torch_compile:
        return
    if clash := sorted(PERTURBING.intersection(objectives)):
        raise ConfigError(
            f"torch_compile does not go with {', '.join(clash)}, which perturb the embeddings: "
            "turn it off, or choose another method."
        )
    encoder = task_model.base_model
    if encoder._compiled_call_impl is None:
        # The head stays as it is: its input is where the features are read.
        encoder.compile(dynamic=True)


def dropout_mode(config: AdaptationConfig, device: torch.device) -> AbstractContextManager[Any]:
    """For the forward and backward pass of a training step: the quicker dropout of a CPU."""
    quick = device.type == "cpu" and not config.torch_compile
    return quick_dropout() if quick else nullcontext()


def _write_out_attention(model: Any) -> None:
    dropped = any(getattr(model.config, name, 0.0) for name in _ATTENTION_DROPOUT)
    if dropped and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")
