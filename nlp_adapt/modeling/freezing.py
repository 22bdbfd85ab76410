"""Choosing which parts of a task model train."""

from typing import Any

from torch import nn

from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.architectures import (
    encoder_of,
    has_adapters,
    head_modules,
    is_adapter_parameter,
    modules_below,
    separate_layers,
)

# Set on a model: the names of the parameters that it came with frozen.
HELD = "held"


def freeze(task_model: Any, what: str | int) -> list[nn.Module]:
    """Stop parts of a task model from training.

    With LoRA the adapters and the head train, less what is frozen here. What the caller of a run
    has frozen in the model that it was given never trains.

    Args:
        what: `none`; `embeddings`, everything below the first layer; a number `k`, that and the
            lower `k` layers; or `all`, the whole encoder, so that the heads alone train.

    Returns:
        The frozen modules. They are a fixed function of the text, so that they run without dropout
        (see `AdaptationModel`) and their output can be cached.

    Raises:
        ConfigError: If `what` is none of these, or the encoder cannot be divided so.
        ModelError: If the caller has left nothing to train.
    """
    adapted = has_adapters(task_model)
    held: frozenset[str] = getattr(task_model, HELD, frozenset())
    heads = {id(one) for module in head_modules(task_model).values() for one in module.parameters()}
    for name, parameter in task_model.named_parameters():
        trains = not adapted or is_adapter_parameter(name) or id(parameter) in heads
        parameter.requires_grad_(trains and name not in held and "original_module" not in name)
    frozen = _frozen(task_model, what)
    for module in frozen:
        module.requires_grad_(False)
    if held and not any(parameter.requires_grad for parameter in task_model.parameters()):
        raise ModelError(
            "every parameter of the given model is frozen (requires_grad is False), so that nothing "
            "would train; leave out what should (PeftModel.from_pretrained takes is_trainable=True)."
        )
    return frozen


def hold(task_model: Any) -> Any:
    """The same model, which remembers what its caller froze."""
    named = task_model.named_parameters()
    setattr(task_model, HELD, frozenset(name for name, one in named if not one.requires_grad))
    return task_model


def _frozen(task_model: Any, what: str | int) -> list[nn.Module]:
    if what == "none":
        return []
    if what == "all":
        return [encoder_of(task_model)]
    if what == "embeddings":
        return modules_below(task_model, 0)
    if not str(what).isdecimal():
        raise ConfigError(
            f"freeze is '{what}', but must be none, embeddings, all or a number of layers."
        )
    layers = separate_layers(task_model, "freeze")
    if int(what) > len(layers):
        raise ConfigError(
            f"freeze is {what}, but this encoder has {len(layers)} layers: 0 to {len(layers)}."
        )
    return modules_below(task_model, int(what))


def freeze_head(task_model: Any) -> None:
    """A stage without a task term leaves the head alone: idle parameters would stall DDP."""
    encoder = {id(parameter) for parameter in encoder_of(task_model).parameters()}
    for parameter in task_model.parameters():
        if id(parameter) not in encoder:
            parameter.requires_grad_(False)
