"""How the encoder runs while it trains: with less memory, compiled, or the quick way on a CPU."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.cpu import prepare_training
from nlp_adapt.objectives import objective_class


def prepare_encoder(
    task_model: Any,
    config: AdaptationConfig,
    objectives: Collection[str],
    device: torch.device,
) -> None:
    """Turn on activation checkpointing and compilation where options ask for them, and CPU modes.

    Args:
        task_model: The task model, changed in place.
        config: The run's options.
        objectives: Names of the stage's objectives.
        device: Where it trains.

    Raises:
        ModelError: If the model cannot recompute its activations.
        ConfigError: If an objective does not work with a compiled encoder.
    """
    prepare_training(task_model, config, device)
    if config.gradient_checkpointing:
        if not getattr(task_model, "supports_gradient_checkpointing", False):
            name = type(task_model).__name__
            raise ModelError(f"{name} does not support gradient_checkpointing; turn it off.")
        # The older name is deprecated, the newer one not in every version.
        newer = getattr(task_model, "activation_checkpointing_enable", None)
        (newer or task_model.gradient_checkpointing_enable)()
    if not config.torch_compile:
        return
    if clash := sorted(name for name in objectives if objective_class(name).perturbs_embeddings):
        raise ConfigError(
            f"torch_compile does not go with {', '.join(clash)}, which perturb the embeddings: "
            "turn it off, or choose another method."
        )
    encoder = task_model.base_model
    if encoder._compiled_call_impl is None:
        # The head stays as it is: its input is where the features are read.
        encoder.compile(dynamic=True)
