"""Gradual unfreezing: the head first, then the encoder's layers from the top down.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", ACL.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from nlp_adapt.modeling.architectures import after_layers, encoder_of, separate_layers


class GradualUnfreezing:
    """Decides at each step which layers train; a function of the step alone, so that runs resume.

    A stage is divided evenly: in its first part the heads train alone, and each further part adds
    one layer, the embeddings last. What does not train yet has no gradient, so that it counts in no
    norm and the optimizer neither moves it nor keeps state for it.

    Args:
        task_model: The model, with what never trains frozen already.
        total_steps: Steps of the stage.
        distributed: Whether DDP wraps the model. It then expects a gradient for every parameter it
            was built with, so that those of waiting layers are computed, and dropped; otherwise
            they are not computed.
    """

    def __init__(self, task_model: Any, total_steps: int, *, distributed: bool = False) -> None:
        self.total_steps = total_steps
        self.distributed = distributed
        self.parts = _parts_from_the_top(task_model)
        self._waiting: list[nn.Parameter] = []

    def training_parts(self, step: int) -> int:
        """How many parts of the encoder train at `step`."""
        return min(len(self.parts), step * (len(self.parts) + 1) // max(1, self.total_steps))

    def before(self, step: int) -> None:
        """Call before the forward pass of `step`."""
        active = self.training_parts(step)
        self._waiting = [one for part in self.parts[active:] for one in part]
        if not self.distributed:
            for index, part in enumerate(self.parts):
                for parameter in part:
                    parameter.requires_grad_(index < active)

    def after_backward(self) -> None:
        """Call between the backward pass and the clipping of gradients."""
        for parameter in self._waiting:
            parameter.grad = None

    def finish(self) -> None:
        """Let everything train again, when the stage is over."""
        for part in self.parts:
            for parameter in part:
                parameter.requires_grad_(True)


def _parts_from_the_top(task_model: Any) -> list[list[nn.Parameter]]:
    """Trainable encoder parameters: top layer first, what lies below the layers last.

    What follows the layers (a pooler, a final norm) always trains and is left out.
    """
    layers = separate_layers(task_model, "gradual_unfreezing")
    parts = [_trainable(layer) for layer in reversed(layers)]
    listed = {id(one) for part in parts for one in part}
    listed |= {id(one) for module in after_layers(task_model) for one in module.parameters()}
    rest = [one for one in _trainable(encoder_of(task_model)) if id(one) not in listed]
    return [part for part in (*parts, rest) if part]


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
