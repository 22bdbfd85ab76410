"""Fully sharded training (FSDP2): each process keeps a share of the weights under training.

Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB.

A sharded copy of a stage's model trains, while the plain model waits in host memory: it receives
the weights whenever something outside of the training step reads them, to score or to save. Nothing
but the training step then takes part in the exchange of shards, and what is written is whole.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import encoder_layers
from nlp_adapt.objectives import Objective
from nlp_adapt.objectives.teacher import EmaTeacher
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.sharding import Sharding
from nlp_adapt.training.shards import from_first_process


def sharded_copy(
    model: AdaptationModel, sharding: Sharding, device: torch.device
) -> AdaptationModel:
    """A copy of a stage's model of which each process holds a share.

    All processes begin with the weights of the first one, as under DDP.

    Args:
        model: The stage's model, whole on every process.
        sharding: How to shard it.
        device: Where it trains.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    for module in model.objectives.modules():
        # A teacher sets itself to its student in the stage's first forward pass; under sharding it
        # would write into gathered weights there, which are thrown away.
        if isinstance(module, EmaTeacher):
            module.restart(model.task_model)
    from_first_process(model.state_dict().values())
    copied = copy.deepcopy(model)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    if sharding.by_layer and passes_once(model):
        for layer in _layers_below_the_top(copied.task_model):
            fully_shard(layer, mesh=mesh, reshard_after_forward=sharding.reshard_after_forward)
    fully_shard(copied, mesh=mesh)
    return copied


def _layers_below_the_top(task_model: Any) -> list[nn.Module]:
    """The encoder's layers but for the last, which is gathered with the rest; none without a list."""
    try:
        return list(encoder_layers(task_model))[:-1]
    except ConfigError:
        return []


def passes_once(model: AdaptationModel) -> bool:
    """Whether every objective reads the main forward pass and takes none of its own.

    Layers that are gathered one at a time are so in each pass, by all processes at once. Passes of
    an objective's own may depend on the rows of a process, or have a backward pass inside.
    """
    return all(type(one).forward is Objective.forward for one in model.objectives.values())


def persistent_buffers(module: nn.Module) -> list[Tensor]:
    """The buffers that are part of a module's state."""
    saved = module.state_dict().keys()
    return [buffer for name, buffer in module.named_buffers() if name in saved]
