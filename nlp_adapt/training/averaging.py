"""A running average of the weights under training, which is scored and kept in their place.

Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", SIAM Journal on
Control and Optimization 30(4); with the exponential weights of Tarvainen & Valpola 2017, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """An exponential moving average of the weights of a task model that train in a stage.

    Frozen weights, such as everything but adapters and head under LoRA, are what they are and need
    no average; what objectives own (discriminators) is no part of the result and has none. The
    average is float32 and lies on the weights' device.

    A stage starts a new average and ends with it as the model's weights: each stage hands over the
    model that a run of this stage alone would have saved. The next one has its own optimizer, whose
    moments begin at zero, so that no state refers to the weights that are given up; and it may
    train other parts, for which an average over both stages would mix unlike histories.

    Args:
        task_model: The model, with what does not train frozen already, on its device.
        decay: Share of the average kept in each step, once warmed up.
    """

    def __init__(self, task_model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = {
            name: weight for name, weight in task_model.named_parameters() if weight.requires_grad
        }
        self._average = {
            name: weight.detach().float().clone() for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights as they are after the stage's applied step number `step`.

        Early on the decay is `(1 + step) / (10 + step)` where that is smaller, so that the first
        weights do not linger. It depends on the step alone: a resumed run needs no counter.
        """
        if not self._average:
            return
        move = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        now = [weight.detach().float() for weight in self._weights.values()]
        move(list(self._average.values()), now, None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has its averaged weights; afterwards its own, bit for bit."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.take_over()
        try:
            yield
        finally:
            self._write(own)

    def take_over(self) -> None:
        """Make the average the model's weights."""
        self._write(self._average)

    def tensors(self) -> dict[str, Tensor]:
        """The average by parameter name, for a checkpoint."""
        return dict(self._average)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put `tensors()` back; what is not among them starts at the weights as they are."""
        for name, average in self._average.items():
            average.copy_(tensors.get(name, self._weights[name]))

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])
