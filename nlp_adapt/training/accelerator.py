"""The `accelerate.Accelerator` of a run, and what its processes tell each other."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.launch import from_main_process, process_count
from nlp_adapt.modeling.cpu import choose_precision
from nlp_adapt.training.sharding import REQUESTED, requested_sharding
from nlp_adapt.usual_names import nearest

UNSUPPORTED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


def make_accelerator(config: AdaptationConfig) -> Any:
    """An Accelerator with the run's precision and trackers, the same in every process.

    Gradient accumulation, batches and sharding are the loop's own, so Accelerate is told of none.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs, PartialState
    from accelerate.state import AcceleratorState

    sharding = requested_sharding(config)
    # Without an accelerator Accelerate must be told so: it would otherwise start each process of a
    # launcher on its own, all of them training the same model into one folder.
    cpu = config.use_cpu or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    timeout = timedelta(seconds=config.ddp_timeout)
    launched = process_count() > 1
    if launched and not PartialState._shared_state:
        atexit.register(_part)
    state = PartialState(cpu=cpu, **({"timeout": timeout} if launched else {}))
    # `auto` may time the processor, on which processes could disagree.
    precision = from_main_process(choose_precision(config.resolved_precision, state.device))
    if sharding is not None and precision == "fp16":
        raise ConfigError("precision fp16 does not go with FSDP: use bf16 or fp32.")
    mixed = "no" if precision == "fp32" else precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed:
        # The state is one per process; a second run in it may ask for another precision.
        AcceleratorState._reset_state()
    with _sharding_unseen():
        accelerator = Accelerator(
            cpu=cpu,
            mixed_precision=mixed,
            log_with=_trackers(config.report_to) or None,
            project_dir=config.output_dir,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timeout)],
        )
    kind = str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type))
    if kind in UNSUPPORTED:
        raise ConfigError(
            f"launched under {kind}, which is not supported: use DDP, or FSDP2 by the "
            "option fsdp; recipes/accelerate has a launch file for each."
        )
    _set_switches(config)
    return accelerator


def _set_switches(config: AdaptationConfig) -> None:
    """What torch is told once a process; it stays so after the run."""
    if config.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
    if config.full_determinism:
        from transformers import enable_full_determinism

        enable_full_determinism(config.seed)


@contextmanager
def _sharding_unseen() -> Iterator[None]:
    """Inside, Accelerate does not see that the launcher asked for FSDP, which the loop applies.

    Accelerate shards on GPUs alone; on CPUs it would train without a word under DDP. Nor does the
    launcher's loading of weights in the first process alone: each loads them.
    """
    asked = os.environ.pop(REQUESTED, None)
    if asked is None:
        yield
        return
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    try:
        yield
    finally:
        os.environ[REQUESTED] = asked


def _part() -> None:
    """Leave the group of processes when the program ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _trackers(names: list[str]) -> list[Any]:
    """The names, if Accelerate knows them and their libraries are here; it drops others silently."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(LOGGER_TYPE_TO_CLASS)
    available = {getattr(name, "value", name) for name in get_available_trackers()}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"report_to: '{name}' is no tracker{nearest(name, known)} (there are "
                f"{', '.join(known)})"
            )
        if name not in available:
            raise ConfigError(f"report_to: {name} is not installed; install it with pip.")
    return list(names)


def precision_of(accelerator: Any) -> str:
    """`fp32`, `bf16` or `fp16`: what the forward pass runs in."""
    return "fp32" if accelerator.mixed_precision == "no" else str(accelerator.mixed_precision)


def any_process(accelerator: Any, *flags: bool) -> tuple[bool, ...]:
    """For each flag, whether it is set on any process: the same answer everywhere."""
    if accelerator.num_processes == 1:
        return flags
    mine = torch.tensor(flags, dtype=torch.int64, device=accelerator.device)
    total = accelerator.reduce(mine, reduction="sum")
    return tuple(bool(count) for count in total.tolist())


def from_every_process(accelerator: Any, value: Any) -> list[Any]:
    """`value` of each process, in the order of the processes."""
    if accelerator.num_processes == 1:
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def summed(accelerator: Any, values: Any) -> Any:
    """A float32 array summed over processes."""
    if accelerator is None or accelerator.num_processes == 1:
        return values
    tensor = torch.from_numpy(values).to(accelerator.device)
    return accelerator.reduce(tensor, reduction="sum").cpu().numpy()


def mean_of_logs(parts: list[dict[str, float]]) -> dict[str, float]:
    """Means by name over the processes that have measured it."""
    names = sorted({name for part in parts for name in part})
    means = {}
    for name in names:
        values = [part[name] for part in parts if name in part]
        means[name] = sum(values) / len(values)
    return means
