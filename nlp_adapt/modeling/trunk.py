"""The lower part of an encoder on its own, and the upper part fed with what the lower one gave.

The model's own forward pass does both: for the time of a call, the layers that are not wanted are
taken out of their list, and the embeddings replaced by the states that are given. Masks, positions
and norms are thereby the architecture's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.architectures import (
    architecture_of,
    encoder_layers,
    encoder_of,
    place_of,
    plain_model,
)


class Given(nn.Module):
    """Stands in for the embeddings: returns what it was given, whatever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.states: Tensor | None = None

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """The states, whatever the arguments."""
        assert self.states is not None
        return self.states


class _Passed(nn.Module):
    """Stands in for the upper layers where there are none, and a loop wants at least one."""

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> tuple[Any, ...]:
        return hidden_states, None


class Trunk:
    """The embeddings and the lower `depth` layers of an encoder.

    Args:
        task_model: A classification model.
        depth: Layers below the cut, at least 1.

    Raises:
        ModelError: If the encoder has no separate list of layers or no `embeddings` module.
    """

    def __init__(self, task_model: Any, depth: int) -> None:
        self.encoder = encoder_of(task_model)
        self.depth = depth
        layers = encoder_layers(task_model)
        config = plain_model(task_model).config
        self._names = architecture_of(config)
        below = self._names.embeddings in self.encoder._modules
        if len(layers) != config.num_hidden_layers or not below:
            raise ModelError(f"the layers of {config.model_type} cannot be run one by one")
        self.size = int(config.hidden_size)
        self._layers = layers
        self._holder, self._name = place_of(layers, self.encoder)
        self._given = Given()
        self._lower = nn.ModuleList(layers[:depth])
        self._upper = nn.ModuleList(layers[depth:])

    def of_copy(self, task_model: Any) -> Trunk:
        """The same part of a copy of the model."""
        other = Trunk(task_model, self.depth)
        if len(self._upper) > len(other._upper):
            other._upper.append(_Passed())
        return other

    @contextmanager
    def skipped(self, states: Tensor) -> Iterator[None]:
        """Inside, the model runs its upper layers on `states` `[rows, width, size]` alone."""
        self._given.states = states
        try:
            with self.fed_by(self._given):
                yield
        finally:
            self._given.states = None

    @contextmanager
    def fed_by(self, embeddings: nn.Module) -> Iterator[None]:
        """Inside, the model runs its upper layers on what a module gives for the embeddings."""
        changes: list[tuple[nn.Module, str, nn.Module]] = [
            (self.encoder, self._names.embeddings, embeddings),
            (self._holder, self._name, self._upper),
        ]
        changes += [
            (self.encoder, name, nn.Identity())
            for name in self._names.projections
            if name in self.encoder._modules
        ]
        with swapped(changes):
            yield

    @torch.no_grad()
    def states(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What layer `depth` would read, or the last layer gives: `[rows, width, size]`.

        Args:
            inputs: `input_ids` and `attention_mask`.
        """
        seen: list[Any] = []
        hook = self._layers[self.depth - 1].register_forward_hook(
            lambda module, arguments, output: seen.append(output)
        )
        try:
            with swapped([(self._holder, self._name, self._lower)]):
                self.encoder(**inputs)
        finally:
            hook.remove()
        if not isinstance(seen[-1], tuple):
            return seen[-1]
        if not len(self._upper):  # DeBERTa's loop reads what its last turn has left
            self._upper.append(_Passed())
        return seen[-1][0]


@contextmanager
def swapped(changes: list[tuple[nn.Module, str, nn.Module]]) -> Iterator[None]:
    """Put other submodules in the place of a model's own, and the own ones back afterwards."""
    own = [(holder, name, holder._modules[name]) for holder, name, _ in changes]
    for holder, name, other in changes:
        holder._modules[name] = other
    try:
        yield
    finally:
        for holder, name, module in own:
            holder._modules[name] = module
