"""Reading what a task model's classifier reads, whatever the architecture calls it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.layers import encoder_of, plain_model


class FeatureTap:
    """Records the input of the last linear layer, the one that produces the logits.

    For BERT this is the pooled output, for RoBERTa the hidden layer of its classification head,
    for token classification each token's last hidden state: always what the classifier reads.

    Args:
        model: An `AutoModelForSequenceClassification` or `AutoModelForTokenClassification`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layer = output_layer(model)
        self._seen: Tensor | None = None
        self._hook = self.layer.register_forward_pre_hook(self._record)

    def _record(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._seen = arguments[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureTap:
        """The tap of a copied model, without what was seen: that is part of a graph."""
        copied = FeatureTap.__new__(FeatureTap)
        memo[id(self)] = copied
        copied.layer, copied._seen = copy.deepcopy(self.layer, memo), None
        copied._hook = self._hook
        return copied

    def remove(self) -> None:
        """Stop recording."""
        self._hook.remove()

    def take(self) -> Tensor:
        """The features of the last forward pass, once."""
        if self._seen is None:
            raise RuntimeError("no forward pass since the features were last taken")
        seen, self._seen = self._seen, None
        return seen


@contextmanager
def encoder_outputs(model: Any) -> Iterator[list[Tensor]]:
    """Inside, the list that is given collects the last hidden states of each forward pass."""
    seen: list[Tensor] = []
    handle = encoder_of(model).register_forward_hook(
        lambda module, arguments, outputs: seen.append(outputs[0])
    )
    try:
        yield seen
    finally:
        handle.remove()


def output_layer(model: Any) -> nn.Linear:
    """The linear layer that maps features to the model's labels."""
    num_labels = model.config.num_labels
    base = encoder_of(model)
    inside = set(base.modules()) if base is not plain_model(model) else set()
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == num_labels
        and module not in inside
        and "original_module" not in name  # what PEFT keeps aside of a head that it trains
    ]
    if not found:
        raise ModelError(
            f"{type(model).__name__} has no linear output layer with {num_labels} outputs: "
            "use an encoder with an ordinary classification head, such as BERT or RoBERTa."
        )
    return found[-1]


def pool_tokens(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """Pool token states `[rows, tokens, size]` to `[rows, size]` by `first`, `mean` or `max`.

    Padding (mask 0) never contributes.
    """
    if how == "first":
        return hidden[:, 0]
    keep = mask.unsqueeze(-1).to(torch.bool)
    if how == "max":
        return hidden.masked_fill(~keep, torch.finfo(hidden.dtype).min).amax(1)
    return (hidden * keep).sum(1) / keep.sum(1).clamp_min(1)
