"""Making the `accelerate.Accelerator` of a run."""

from __future__ import annotations

from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.training.precision import choose_precision


def make_accelerator(config: AdaptationConfig) -> Any:
    """An Accelerator with the run's precision and trackers.

    Gradient accumulation and batches are the loop's own, so Accelerate is told of neither.
    """
    import torch
    from accelerate import Accelerator, PartialState
    from accelerate.state import AcceleratorState

    # Without an accelerator Accelerate must be told so: it would otherwise start each process of a
    # launcher on its own, all of them training the same model into one folder.
    cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    precision = choose_precision(config.resolved_precision, PartialState(cpu=cpu).device)
    mixed = "no" if precision == "fp32" else precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed:
        # The state is one per process; a second run in it may ask for another precision.
        AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=mixed,
        log_with=config.report_to or None,
        project_dir=config.output_dir,
    )
    if config.report_to:
        accelerator.init_trackers("nlp_adapt", config=_flat(config.to_dict()))
    return accelerator


def precision_of(accelerator: Any) -> str:
    """`fp32`, `bf16` or `fp16`: what the forward pass runs in."""
    return "fp32" if accelerator.mixed_precision == "no" else str(accelerator.mixed_precision)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """What trackers accept as hyperparameters."""
    return {
        name: value if isinstance(value, (int, float, str, bool)) else str(value)
        for name, value in values.items()
    }
