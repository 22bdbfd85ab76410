"""Whether a run is sharded (FSDP2), as its recipe or its launcher asks."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.launch import process_count

REQUESTED = "ACCELERATE_USE_FSDP"
POLICIES = ("TRANSFORMER_BASED_WRAP", "NO_WRAP")
# What a launcher may ask for and a run cannot do, with what to set.
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "set fsdp_offload_params: false",
    "FSDP_ACTIVATION_CHECKPOINTING": "set fsdp_activation_checkpointing: false, and "
    "gradient_checkpointing in the recipe instead",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "take parallelism_config out",
}


@dataclass(frozen=True)
class Sharding:
    """How a run is sharded.

    Attributes:
        by_layer: Whether the encoder's layers are gathered one at a time where objectives allow it;
            otherwise the whole model is gathered for each step.
        reshard_after_forward: Whether a layer is let go between its forward and backward pass.
    """

    by_layer: bool = True
    reshard_after_forward: bool = True


def requested_sharding(config: AdaptationConfig) -> Sharding | None:
    """What the option `fsdp` or the launcher asks for; None without either, or with one process.

    Raises:
        ConfigError: If it asks for what a run cannot do.
    """
    launched = _is_set(REQUESTED)
    if not (launched or config.fsdp) or process_count() < 2:
        return None
    if config.torch_compile:
        raise ConfigError("torch_compile does not go with FSDP: turn one of them off.")
    if not launched:
        return Sharding()
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(
            "launched under FSDP version 1, which is not supported: set fsdp_version: 2, as in "
            "recipes/accelerate/fsdp2.yaml."
        )
    for name, remedy in _REFUSED.items():
        if _is_set(name):
            raise ConfigError(f"launched with {name}, which is not supported: {remedy}.")
    if os.environ.get("FSDP_IGNORED_MODULES"):
        raise ConfigError("launched with fsdp_ignored_modules, which is not supported: unset it.")
    policy = os.environ.get("FSDP_AUTO_WRAP_POLICY", "NO_WRAP")
    if policy.upper() not in POLICIES:
        raise ConfigError(
            f"fsdp_auto_wrap_policy is {policy}, but must be one of {', '.join(POLICIES)}."
        )
    return Sharding(
        by_layer=policy.upper() == "TRANSFORMER_BASED_WRAP",
        reshard_after_forward=_is_set("FSDP_RESHARD_AFTER_FORWARD", "true"),
    )


def _is_set(name: str, default: str = "false") -> bool:
    return os.environ.get(name, default).lower() in ("true", "1", "yes", "on")
