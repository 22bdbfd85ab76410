"""Where an encoder's layers are, whatever the architecture calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

from nlp_adapt.errors import ConfigError

# Modules inside an encoder that read its last layer.
_AFTER_LAYERS = ("pooler", "final_norm")


def plain_model(task_model: Any) -> Any:
    """The transformers model itself, also inside a PEFT wrapper (its adapters stay active)."""
    unwrap = getattr(task_model, "get_base_model", None)
    return task_model if unwrap is None else unwrap()


def encoder_of(task_model: Any) -> Any:
    """The bare encoder of a task model, also inside a PEFT wrapper."""
    return plain_model(task_model).base_model


def encoder_layers(task_model: Any) -> nn.ModuleList:
    """The transformer layers, lowest first.

    ALBERT's shared layers come as the list of their groups, shorter than the depth of the encoder.

    Raises:
        ConfigError: If the encoder has no list of layers.
    """
    depth = plain_model(task_model).config.num_hidden_layers
    lists = [part for part in encoder_of(task_model).modules() if isinstance(part, nn.ModuleList)]
    for layers in lists:
        if len(layers) == depth:
            return layers
    if not lists:
        kind = type(plain_model(task_model)).__name__
        raise ConfigError(f"{kind} has no list of layers that could be told apart.")
    return lists[0]


def separate_layers(task_model: Any, key: str) -> nn.ModuleList:
    """The layers, where each has weights of its own.

    Args:
        task_model: A classification model.
        key: The option that asks, for the error.

    Raises:
        ConfigError: If layers share their weights, as ALBERT's do.
    """
    layers = encoder_layers(task_model)
    config = plain_model(task_model).config
    if len(layers) != config.num_hidden_layers:
        raise ConfigError(
            f"{key}: the {config.num_hidden_layers} layers of {config.model_type} share one set of "
            "weights, so that they cannot be treated differently; only `freeze: embeddings` and "
            "`freeze: all` work with it."
        )
    return layers


def after_layers(task_model: Any) -> list[nn.Module]:
    """Modules of the encoder that read its last layer: a pooler, a final norm."""
    named = dict(encoder_of(task_model).named_children())
    return [named[name] for name in _AFTER_LAYERS if isinstance(named.get(name), nn.Module)]


def head_modules(task_model: Any) -> dict[str, nn.Module]:
    """What stands between the last layer and the logits, by name: the head, and the pooler if any.

    Names are paths in the plain model, as PEFT's `modules_to_save` wants them.
    """
    model, encoder = plain_model(task_model), encoder_of(task_model)
    found = {
        name: module
        for name, module in model.named_children()
        if module is not encoder and any(True for _ in module.parameters())
    }
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Module):
        found["pooler"] = pooler
    return found


def trunk(task_model: Any, depth: int) -> list[nn.Module]:
    """The modules below layer `depth`: embeddings, relative positions, layers 0 to `depth - 1`.

    Together they hold everything that the input of layer `depth` depends on.
    """
    layers: list[nn.Module] = list(encoder_layers(task_model))
    above = {*layers[depth:], *after_layers(task_model)}
    parts: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        if module in above:
            return
        if above.isdisjoint(module.modules()):
            parts.append(module)
            return
        for child in module.children():
            visit(child)

    visit(encoder_of(task_model))
    return parts


def layer_distances(task_model: Any) -> dict[int, int]:
    """For the id of each encoder parameter, how many layers lie between it and the top.

    The top layer and what follows it have 0, the lowest layer `n - 1`, the embeddings `n`.

    Raises:
        ConfigError: If layers share their weights.
    """
    layers = separate_layers(task_model, "layer_decay")
    distances = {id(one): len(layers) for one in encoder_of(task_model).parameters()}
    for index, layer in enumerate(layers):
        distances.update((id(one), len(layers) - 1 - index) for one in layer.parameters())
    for module in after_layers(task_model):
        distances.update((id(one), 0) for one in module.parameters())
    return distances
