"""Optimizers by the names of `transformers.TrainingArguments`, and those that a user's function makes."""

from collections.abc import Callable
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError

# A user's functions: an optimizer from parameter groups, and a schedule from it and `steps`.
Factories = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def factories(optimizers: Any, cls_and_kwargs: Any) -> Factories:
    """What `AdaptationTrainer` is given as `optimizers` and `optimizer_cls_and_kwargs`.

    Raises:
        ConfigError: If they are no functions, such as an optimizer that is made already.
    """
    pair = optimizers if isinstance(optimizers, (tuple, list)) else (optimizers, None)
    made = [one for one in pair if one is not None and not callable(one)]
    schedulers = [one for one in pair if isinstance(one, torch.optim.lr_scheduler.LRScheduler)]
    if made or schedulers or len(pair) != 2:
        kind = type((made or schedulers or [optimizers])[0]).__name__
        raise ConfigError(
            f"optimizers holds a {kind}, but each stage of both models needs its own: give two "
            "functions, (make_optimizer, make_scheduler), of which either may be None; the first is "
            "given parameter groups, the second the optimizer and steps=."
        )
    if cls_and_kwargs is None:
        return pair[0], pair[1]
    if pair[0] is not None:
        raise ConfigError("optimizers and optimizer_cls_and_kwargs exclude each other: give one.")
    kind, options = cls_and_kwargs
    return lambda groups: kind(groups, **options), pair[1]


def optimizer_kind(config: AdaptationConfig) -> tuple[Any, dict[str, Any]]:
    """The class of `optim`, and what it is told beside the learning rates and decay."""
    if config.optim.startswith("adamw"):
        betas = (config.adam_beta1, config.adam_beta2)
        fused = {"fused": True} if config.optim == "adamw_torch_fused" else {}
        return torch.optim.AdamW, {"betas": betas, "eps": config.adam_epsilon, **fused}
    if config.optim == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor, {"scale_parameter": False, "relative_step": False}
    kinds = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad"}
    return getattr(torch.optim, kinds[config.optim]), {}


def made_optimizer(
    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """What a user's function makes of the parameter groups.

    Raises:
        ConfigError: If it is no optimizer, or one of other parameters.
    """
    made = make(groups)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(
            f"optimizers: the function returned a {type(made).__name__}, but must return a "
            "torch.optim.Optimizer of the groups that it is given."
        )
    given = {id(one) for group in groups for one in group["params"]}
    if given != {id(one) for group in made.param_groups for one in group["params"]}:
        raise ConfigError(
            "optimizers: the function must make an optimizer of the very parameters that it is given."
        )
    return made
