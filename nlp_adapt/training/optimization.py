"""How a stage is optimized: learning rates, schedule, gradual unfreezing, averaged weights."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import (
    after_layers,
    encoder_of,
    is_adapter_parameter,
    layer_distances,
    separate_layers,
)
from nlp_adapt.objectives.base import HEADS_ALONE
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.trainer_api.optimizers import made_optimizer, optimizer_kind

NORMS = (nn.LayerNorm, nn.RMSNorm)


def parameter_groups(
    model: AdaptationModel, config: AdaptationConfig, learning_rate: float
) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate and weight decay.

    The encoder trains at `learning_rate`, times `layer_decay` for each layer further from the top;
    adapters at `lora_learning_rate`; the task head at `head_learning_rate`; what objectives own
    (discriminators, auxiliary heads) at `discriminator_learning_rate`. Biases and norms do not
    decay.
    """
    faster = max(learning_rate, min(10 * learning_rate, 1e-3))
    head_rate = _first_set(config.head_learning_rate, faster)
    rates = {
        "encoder": learning_rate,
        "adapters": _first_set(config.lora_learning_rate, faster),
        "head": head_rate,
        "objectives": _first_set(config.discriminator_learning_rate, head_rate),
    }
    undecayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, NORMS)
        for parameter in module.parameters(recurse=False)
    }
    encoder = {id(parameter) for parameter in encoder_of(model.task_model).parameters()}
    task = {id(parameter) for parameter in model.task_model.parameters()}
    distances = layer_distances(model.task_model) if config.layer_decay != 1.0 else {}
    groups: dict[tuple[str, bool, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        key = id(parameter)
        part = "encoder" if key in encoder else "head" if key in task else "objectives"
        if is_adapter_parameter(name):
            part = "adapters"
        decays = key not in undecayed and not name.endswith("bias")
        groups.setdefault((part, decays, distances.get(key, 0)), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rates[part] * config.layer_decay**distance,
            "weight_decay": config.weight_decay if decays else 0.0,
            "name": part,
        }
        for (part, decays, distance), parameters in groups.items()
    ]


def _first_set(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def build_optimizer(
    model: AdaptationModel,
    config: AdaptationConfig,
    learning_rate: float,
    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of a stage: that of `optim`, or what `make` builds from the groups.

    AdamW is fused by default: one kernel for all parameters instead of a dozen each.

    Raises:
        ConfigError: If nothing trains, or the optimizer does not take its arguments.
    """
    groups = parameter_groups(model, config, learning_rate)
    if not groups:
        raise ConfigError(
            f"nothing trains in a stage with {', '.join(model.objectives)} alone where the encoder "
            "is frozen: freeze less, or add the objective task."
        )
    if make is not None:
        return made_optimizer(make, groups)
    kind, options = optimizer_kind(config)
    try:
        return kind(groups, **{"lr": learning_rate, **options, **config.optim_args})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optim_args: {config.optim} answers: {error}.") from error


def build_scheduler(optimizer: torch.optim.Optimizer, config: AdaptationConfig, steps: int) -> Any:
    """A schedule of `transformers.get_scheduler` over the stage's applied steps.

    What it lacks or cannot use, `checks.check_rates` has refused before.
    """
    from transformers import get_scheduler

    return get_scheduler(
        config.lr_scheduler_type,
        optimizer,
        num_warmup_steps=in_steps(config.warmup_steps, steps),
        num_training_steps=steps,
        scheduler_specific_kwargs={**config.lr_scheduler_kwargs, **phases(config, steps)},
    )


def phases(config: AdaptationConfig, steps: int) -> dict[str, int]:
    """The arguments of the schedule that count steps, in steps of a stage."""
    given = config.lr_scheduler_kwargs
    return {name: in_steps(given[name], steps) for name in given if name.endswith("_steps")}


def in_steps(number: float, steps: int) -> int:
    """A number of steps, or a share of them below 1, in steps."""
    return int(number if number >= 1 else number * steps)


class WeightAverage:
    """An exponential moving average of the weights of a task model that train in a stage.

    It is scored and kept in their place. Polyak & Juditsky 1992, "Acceleration of Stochastic
    Approximation by Averaging", SIAM Journal on Control and Optimization 30(4); with the
    exponential weights of Tarvainen & Valpola 2017, NeurIPS.

    Frozen weights, such as everything but adapters and head under LoRA, are what they are and need
    no average; what objectives own (discriminators) is no part of the result and has none. The
    average is float32 and lies on the weights' device.

    A stage starts a new average and ends with it as the model's weights: each stage hands over the
    model that a run of this stage alone would have saved. The next one has its own optimizer, whose
    moments begin at zero, so that no state refers to the weights that are given up; and it may
    train other parts, for which an average over both stages would mix unlike histories.

    Args:
        task_model: The model, with what does not train frozen already, on its device.
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


class GradualUnfreezing:
    """Decides at each step which layers train: the heads first, then layers from the top down.

    Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", ACL. It is a
    function of the step alone, so that runs resume.

    A stage is divided evenly: in its first part the heads train alone, and each further part adds
    one layer, the embeddings last. What does not train yet has no gradient, so that it counts in no
    norm and the optimizer neither moves it nor keeps state for it.

    Args:
        task_model: The model, with what never trains frozen already.
        distributed: Whether DDP wraps the model. It then expects a gradient for every parameter it
            was built with, so that those of waiting layers are computed, and dropped; otherwise
            they are not computed.
    """

    def __init__(self, task_model: Any, total_steps: int, *, distributed: bool = False) -> None:
        self.total_steps = total_steps
        self.distributed = distributed
        self.parts = self._parts_of(task_model)
        self._waiting: list[nn.Parameter] = []

    def _parts_of(self, task_model: Any) -> list[list[nn.Parameter]]:
        """Trainable encoder parameters: top layer first, what lies below the layers last.

        What follows the layers (a pooler, a final norm) always trains and is left out.
        """
        layers = separate_layers(task_model, "gradual_unfreezing")
        parts = [_trainable(layer) for layer in reversed(layers)]
        listed = {id(one) for part in parts for one in part}
        listed |= {id(one) for module in after_layers(task_model) for one in module.parameters()}
        rest = [one for one in _trainable(encoder_of(task_model)) if id(one) not in listed]
        return [part for part in (*parts, rest) if part]

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


class HeadsFirst(GradualUnfreezing):
    """Lets heads train alone for a share of a stage, and then everything: a new head is among them.

    The arguments are those of `GradualUnfreezing`; adapters wait as the encoder does.
    """

    def _parts_of(self, task_model: Any) -> list[list[nn.Parameter]]:
        return [part for part in [_trainable(encoder_of(task_model))] if part]

    def training_parts(self, step: int) -> int:
        """None of the encoder, or all of it."""
        return 0 if step < math.ceil(HEADS_ALONE * self.total_steps) else len(self.parts)


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
