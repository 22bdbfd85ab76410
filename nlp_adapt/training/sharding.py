"""Fully sharded training (FSDP2): each process keeps a share of the weights under training.

Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB.
"""

import copy
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.launch import process_count
from nlp_adapt.modeling.architectures import encoder_layers
from nlp_adapt.objectives import Objective
from nlp_adapt.training.model import AdaptationModel

REQUESTED = "ACCELERATE_USE_FSDP"
POLICIES = ("TRANSFORMER_BASED_WRAP", "NO_WRAP")
# What a launcher may ask for and a run cannot do, with what to set.
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "set fsdp_offload_params: false",
    "FSDP_ACTIVATION_CHECKPOINTING": "set fsdp_activation_checkpointing: false, and "
    "gradient_checkpointing in the recipe instead",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "take parallelism_config out",
}


class Sharding(NamedTuple):
    """How a run is sharded."""

    by_layer: bool = True  # gather layers one at a time where objectives allow it, not all at once
    reshard_after_forward: bool = True  # let a layer go between its forward and backward pass


def requested_sharding(config: AdaptationConfig) -> Sharding | None:
    """What the option `fsdp` or the launcher asks for; None without either, or with one process."""
    launched = _is_set(REQUESTED)
    if not (launched or config.fsdp) or process_count() < 2:
        return None
    if config.torch_compile:
        raise ConfigError("torch_compile does not go with FSDP: turn one of them off.")
    if not launched:
        return Sharding()
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(
            "launched under FSDP version 1, which is not supported: set fsdp_version: 2, as in "
            "recipes/accelerate/fsdp2.yaml."
        )
    for name, remedy in _REFUSED.items():
        if _is_set(name):
            raise ConfigError(f"launched with {name}, which is not supported: {remedy}.")
    if os.environ.get("FSDP_IGNORED_MODULES"):
        raise ConfigError("launched with fsdp_ignored_modules, which is not supported: unset it.")
    policy = os.environ.get("FSDP_AUTO_WRAP_POLICY", "NO_WRAP")
    if policy.upper() not in POLICIES:
        raise ConfigError(
            f"fsdp_auto_wrap_policy is {policy}, but must be one of {', '.join(POLICIES)}."
        )
    return Sharding(
        by_layer=policy.upper() == "TRANSFORMER_BASED_WRAP",
        reshard_after_forward=_is_set("FSDP_RESHARD_AFTER_FORWARD", "true"),
    )


def _is_set(name: str, default: str = "false") -> bool:
    return os.environ.get(name, default).lower() in ("true", "1", "yes", "on")


class WholeModel:
    """A stage's model of which each process holds all, under DDP where there are several."""

    def __init__(self, model: AdaptationModel, accelerator: Any) -> None:
        self.trained: Any = model  # what the training steps change
        self.accelerator = accelerator

    def wrapped(self) -> Any:
        """The module that every forward pass goes through."""
        from accelerate import DistributedDataParallelKwargs

        # A stage without a task term may leave parts of the model idle, such as BERT's pooler.
        idle = not any(o.trains_task_head for o in self.trained.objectives.values())
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=idle)
        return self.accelerator.prepare(self.trained)

    def before_step(self) -> None:
        """Give every process the buffers of the first one, which DDP does by itself."""

    def scored(self) -> AbstractContextManager[None]:
        """Inside, the plain task model has the weights under training."""
        return nullcontext()

    def finish(self) -> None:
        """Give the plain model the weights under training."""


class ShardedModel(WholeModel):
    """A copy of a stage's model of which each process holds a share.

    The copy trains, while the plain model waits in host memory: it receives the weights whenever
    something outside of the training step reads them, to score or to save. Nothing but the training
    step then takes part in the exchange of shards, and what is written is whole.
    """

    def __init__(self, model: AdaptationModel, accelerator: Any, sharding: Sharding) -> None:
        from torch.distributed.fsdp import fully_shard

        _from_first_process(model.state_dict().values())  # as under DDP
        super().__init__(copy.deepcopy(model), accelerator)
        self._plain = model.to("cpu")
        for layer in _gathered_alone(self.trained) if sharding.by_layer else ():
            fully_shard(layer, reshard_after_forward=sharding.reshard_after_forward)
        fully_shard(self.trained)
        self.trained.forward = accelerator.autocast()(self.trained.forward)
        saved = self.trained.state_dict().keys()
        self._buffers = [own for name, own in self.trained.named_buffers() if name in saved]

    def wrapped(self) -> Any:
        """The sharded copy itself."""
        return self.trained

    def before_step(self) -> None:
        """Give every process the buffers of the first one."""
        _from_first_process(self._buffers)

    @contextmanager
    def scored(self) -> Iterator[None]:
        """Inside, the plain task model has the weights under training; every process must call it."""
        _gather(self.trained.task_model, self._plain.task_model)
        self._plain.task_model.to(self.accelerator.device)
        yield
        self._plain.task_model.to("cpu")

    def finish(self) -> None:
        """Give the plain model the weights under training; every process must call it."""
        _gather(self.trained, self._plain.to(self.accelerator.device))


def _gathered_alone(model: AdaptationModel) -> list[nn.Module]:
    """The encoder's layers but for the last; none where an objective has passes of its own.

    A layer is gathered in each pass, by all processes at once, while such passes may depend on the
    rows of a process, or have a backward pass inside.
    """
    if any(type(one).forward is not Objective.forward for one in model.objectives.values()):
        return []
    try:
        return list(encoder_layers(model.task_model))[:-1]
    except ConfigError:  # there is no list of layers
        return []


@torch.no_grad()
def _from_first_process(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        values = tensor.detach().contiguous()
        torch.distributed.broadcast(values, src=0)
        tensor.copy_(values)


@torch.no_grad()
def _gather(sharded: nn.Module, plain: nn.Module) -> None:
    own = plain.state_dict()
    for name, value in sharded.state_dict().items():
        own[name].copy_(whole_tensor(value))


def whole_tensor(value: Any) -> Tensor:
    """A tensor put together from its shards; every process must call it."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def shard_like(value: Tensor, like: Any) -> Tensor:
    """This process's share of a whole tensor if `like` is sharded, and otherwise all of it."""
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    value = value.to(like.device)
    # Every process has the whole tensor: nothing is sent.
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
