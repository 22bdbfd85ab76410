"""Parameter groups, the optimizer and its schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import encoder_of, layer_distances
from nlp_adapt.modeling.lora import is_adapter_parameter
from nlp_adapt.training.model import AdaptationModel

NORMS = (nn.LayerNorm, nn.RMSNorm)


def parameter_groups(
    model: AdaptationModel, config: AdaptationConfig, learning_rate: float
) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate and weight decay.

    The encoder trains at `learning_rate`, times `layer_decay` for each layer further from the top;
    adapters at `lora_learning_rate`; the task head at `head_learning_rate`; what objectives own
    (discriminators, auxiliary heads) at `discriminator_learning_rate`. Biases and norms do not
    decay.

    Raises:
        ConfigError: If `layer_decay` is set for layers that share their weights.
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
    model: AdaptationModel, config: AdaptationConfig, learning_rate: float
) -> torch.optim.Optimizer:
    """AdamW, fused: one kernel for all parameters instead of a dozen each."""
    groups = parameter_groups(model, config, learning_rate)
    if not groups:
        raise ConfigError(
            f"nothing trains in a stage with {', '.join(model.objectives)} alone where the encoder "
            "is frozen: freeze less, or add the objective task."
        )
    return torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )


def build_scheduler(optimizer: torch.optim.Optimizer, config: AdaptationConfig, steps: int) -> Any:
    """A schedule of `transformers.get_scheduler` over the stage's applied steps."""
    from transformers import get_scheduler

    warmup = config.warmup_steps
    try:
        scheduler = get_scheduler(
            config.lr_scheduler_type,
            optimizer,
            num_warmup_steps=int(warmup if warmup >= 1 else warmup * steps),
            num_training_steps=steps,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"lr_scheduler_type '{config.lr_scheduler_type}': {error}") from error
    if not isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
        raise ConfigError(
            f"lr_scheduler_type '{config.lr_scheduler_type}' follows a score of each step, which a "
            "run without target labels has not: use a schedule over steps, such as linear or cosine."
        )
    return scheduler
