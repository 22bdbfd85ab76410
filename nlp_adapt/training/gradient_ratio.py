"""How much say an adversary has: its gradient beside the task's, where both enter the encoder.

Both are taken by the states that one pass computes features and logits from. From a loss to those
states it is a few small layers, so that the measurement costs no pass through the encoder; what
lies below applies the same linear map to both. `torch.autograd.grad` writes to no parameter, calls
no hook of DDP and draws no random number: training does not notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.features import output_layer
from nlp_adapt.modeling.layers import encoder_layers, encoder_of
from nlp_adapt.modeling.outputs import DomainOutput
from nlp_adapt.objectives.base import StepView

TASK_TERM = "task"
RATIO = "/gradient_ratio"
_OWN = "/gradient_square"
_REFERENCE = "/reference_square"
_STRENGTH = "/lambda"
# Keeps gradients by fp16 states above the smallest fp16 number; a power of two cancels exactly.
_SCALE = 1024.0
# Logged where the task has no gradient at all.
LARGEST = 1e4


@dataclass
class MeasuredView(StepView):
    """A view that notes the states from which its main pass computes both features and logits.

    The main pass runs when an objective first asks for it, as in any view: running it earlier would
    draw other dropout masks.

    Attributes:
        domain_features: What objectives read as features, see `UnitReader`.
        shared: The states, once the main pass has run; several where it runs a batch in parts.
    """

    domain_features: str = "classifier"
    shared: list[Tensor] = field(default_factory=list)

    @cached_property
    def outputs(self) -> tuple[DomainOutput, DomainOutput]:
        """Source and target of the main forward pass."""
        with _shared_states(self.task_model, self.domain_features) as self.shared:
            return self.encode(self.batch)


@contextmanager
def _shared_states(task_model: Any, domain_features: str) -> Iterator[list[Tensor]]:
    """Inside, collects the states of each pass: the output layer's input, or the last layer's."""
    states: list[Tensor] = []
    if domain_features == "classifier":
        handle = output_layer(task_model).register_forward_pre_hook(
            lambda module, arguments: states.append(arguments[0])
        )
    else:
        handle = _below_the_pooler(task_model).register_forward_hook(
            lambda module, arguments, outputs: states.append(
                outputs if isinstance(outputs, Tensor) else outputs[0]
            )
        )
    try:
        yield states
    finally:
        handle.remove()


def _below_the_pooler(task_model: Any) -> Any:
    """The module whose output is the last hidden states, before a pooler inside the encoder."""
    encoder = encoder_of(task_model)
    try:
        layers = encoder_layers(task_model)
    except ConfigError:
        return encoder
    return next(
        part for part in encoder.modules() if any(child is layers for child in part.children())
    )


def gradient_squares(terms: Mapping[str, Tensor], view: MeasuredView) -> dict[str, Tensor]:
    """Squared norms of the gradients of each adversarial term and of what it is compared with.

    Over the micro-batches and processes of a step they add up, since each has its own units.

    Args:
        terms: Weighted losses with their graph, and the measurements beside them.
        view: The view that they were computed from.
    """
    shared = [states for states in view.shared if states.requires_grad]
    if not shared:
        return {}
    pairs = {name: _reference(name, terms) for name in _adversaries(terms)}
    squares: dict[str, Tensor] = {}
    for name, reference in pairs.items():
        if reference is None:
            continue
        squares[name + _OWN] = _square(terms[name], shared)
        squares[name + _REFERENCE] = _square(terms[reference], shared)
    return squares


def with_ratios(means: Mapping[str, float]) -> dict[str, float]:
    """Logged means with a `<name>/gradient_ratio` in the place of two squared norms.

    It comes last, when the squares of all micro-batches and processes have been put together.
    """
    found = {}
    for name, value in means.items():
        if name.endswith(_OWN):
            objective = name.removesuffix(_OWN)
            against = means[objective + _REFERENCE]
            # 0 of 0, a lambda of 0 beside a task without a gradient, is no say.
            share = value / against if against else math.inf if value else 0.0
            found[objective + RATIO] = min(math.sqrt(share), LARGEST)
        elif not name.endswith(_REFERENCE):
            found[name] = value
    return found


def why_unmeasured(terms: Mapping[str, Tensor], task_model: Any, domain_features: str) -> str:
    """Why a step has no squares for one of its adversaries, or an empty string if none lacks them."""
    lacking = [name for name in _adversaries(terms) if name + _OWN not in terms]
    if not lacking:
        return ""
    if not can_measure(task_model, domain_features):
        return "a compiled encoder hides the states that both terms read"
    if all(_reference(name, terms) is None for name in lacking):
        return "the stage has no task term to compare with"
    return "nothing that both terms read is trained"


def can_measure(task_model: Any, domain_features: str) -> bool:
    """Whether the shared states can be seen: the compiled graph of an encoder shows its ends alone.

    Its last states and what a pooler makes of them are then two outputs of one function, so that a
    gradient by the first knows nothing of the second.
    """
    compiled = getattr(encoder_of(task_model), "_compiled_call_impl", None) is not None
    return domain_features == "classifier" or not compiled


def _adversaries(terms: Mapping[str, Tensor]) -> list[str]:
    """The terms of adversarial objectives: those that log the strength of their reversal."""
    names = [key.removesuffix(_STRENGTH) for key in terms if key.endswith(_STRENGTH)]
    return [name for name in names if name in terms]


def _reference(name: str, terms: Mapping[str, Tensor]) -> str | None:
    """The term that holds the encoder to the task: the task's, or the adversary's distillation."""
    return next((key for key in (TASK_TERM, f"{name}_distillation") if key in terms), None)


def _square(loss: Tensor, shared: list[Tensor]) -> Tensor:
    """Squared norm of the gradient of `loss` by all of `shared`, times a constant."""
    total = torch.zeros((), device=loss.device)
    if not loss.requires_grad:
        return total
    with torch.autocast(loss.device.type, enabled=False):
        gradients = torch.autograd.grad(loss * _SCALE, shared, retain_graph=True, allow_unused=True)
    for gradient in gradients:
        if gradient is not None:
            total = total + gradient.float().square().sum()
    return total
