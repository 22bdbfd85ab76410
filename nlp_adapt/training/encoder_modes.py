"""Running the encoder with less memory or compiled: the options of the same names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, ModelError

# They add to the embeddings by a hook, which a compiled encoder would not call.
PERTURBING = frozenset({"fgm", "pgd", "vat"})


def prepare_encoder(task_model: Any, config: AdaptationConfig, objectives: Collection[str]) -> None:
    """Turn on activation checkpointing and compilation, as far as the options ask for them.

    Raises:
        ModelError: If the model cannot recompute its activations.
        ConfigError: If an objective does not work with a compiled encoder.
    """
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
