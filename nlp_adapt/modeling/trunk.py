"""An encoder on its own, for its last states, and a model whose head is fed with them.

The model's own forward pass does both: for the time of a call, its layers are taken out of their
list, and the embeddings replaced by the states that are given. Masks, positions and norms are
thereby the architecture's own.
"""

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
    """Stands in for the layers where a loop wants at least one."""

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> tuple[Any, ...]:
        return hidden_states, None


class Trunk:
    """The embeddings and layers of an encoder."""

    def __init__(self, task_model: Any) -> None:
        self.encoder = encoder_of(task_model)
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
        self._instead = nn.ModuleList()

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return next(self.encoder.parameters()).device

    def of_copy(self, task_model: Any) -> "Trunk":
        """The same part of a copy of the model."""
        other = Trunk(task_model)
        other._instead = self._instead
        return other

    @contextmanager
    def skipped(self, states: Tensor) -> Iterator[None]:
        """Inside, the model takes `states` `[rows, width, size]` for what its last layer gives."""
        self._given.states = states
        try:
            with self.fed_by(self._given):
                yield
        finally:
            self._given.states = None

    @contextmanager
    def fed_by(self, embeddings: nn.Module) -> Iterator[None]:
        """Inside, the model takes what a module gives for the embeddings for its last states."""
        changes: list[tuple[nn.Module, str, nn.Module]] = [
            (self.encoder, self._names.embeddings, embeddings),
            (self._holder, self._name, self._instead),
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
        """What the last layer gives, `[rows, width, size]`."""
        seen: list[Any] = []
        hook = self._layers[-1].register_forward_hook(
            lambda module, arguments, output: seen.append(output)
        )
        try:
            self.encoder(**inputs)
        finally:
            hook.remove()
        if not isinstance(seen[-1], tuple):
            return seen[-1]
        if not len(self._instead):  # DeBERTa's loop reads what its last turn has left
            self._instead.append(_Passed())
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
