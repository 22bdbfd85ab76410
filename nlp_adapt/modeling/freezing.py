"""Choosing which parts of a task model train."""

from __future__ import annotations

from typing import Any

from torch import nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import (
    encoder_layers,
    encoder_of,
    head_modules,
    modules_below,
    separate_layers,
)
from nlp_adapt.modeling.lora import has_adapters, is_adapter_parameter

FREEZE_CHOICES = ("none", "embeddings", "all")


def freeze(task_model: Any, what: str | int) -> list[nn.Module]:
    """Stop parts of a task model from training.

    With LoRA the adapters and the head train, less what is frozen here.

    Args:
        task_model: A classification model.
        what: `none`; `embeddings`, everything below the first layer; a number `k`, that and the
            lower `k` layers; or `all`, the whole encoder, so that the heads alone train.

    Returns:
        The frozen modules. They are a fixed function of the text, so that they run without dropout
        (see `AdaptationModel`) and their output can be cached.

    Raises:
        ConfigError: If `what` is none of these, or the encoder cannot be divided so.
    """
    adapted = has_adapters(task_model)
    heads = {id(one) for module in head_modules(task_model).values() for one in module.parameters()}
    for name, parameter in task_model.named_parameters():
        trains = not adapted or is_adapter_parameter(name) or id(parameter) in heads
        parameter.requires_grad_(trains and "original_module" not in name)
    depth = frozen_depth(task_model, what)
    if depth is None:
        return []
    frozen = [encoder_of(task_model)] if what == "all" else modules_below(task_model, depth)
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def frozen_depth(task_model: Any, what: str | int) -> int | None:
    """How many layers `what` freezes: 0 for the embeddings alone, None for nothing.

    Raises:
        ConfigError: See `freeze`.
    """
    if what == "none":
        return None
    if what == "embeddings":
        return 0
    if what == "all":
        return len(encoder_layers(task_model))
    try:
        depth = int(what)
    except ValueError:
        choices = ", ".join(FREEZE_CHOICES)
        raise ConfigError(
            f"freeze is '{what}', but must be {choices} or a number of layers."
        ) from None
    layers = separate_layers(task_model, "freeze")
    if not 0 <= depth <= len(layers):
        raise ConfigError(
            f"freeze is {depth}, but this encoder has {len(layers)} layers: 0 to {len(layers)}."
        )
    return depth


def freeze_head(task_model: Any) -> None:
    """A stage without a task term leaves the head alone: idle parameters would stall DDP."""
    encoder = {id(parameter) for parameter in encoder_of(task_model).parameters()}
    for parameter in task_model.parameters():
        if id(parameter) not in encoder:
            parameter.requires_grad_(False)
