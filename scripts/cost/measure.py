"""One point, in a process of its own: python -m cost.measure SPEC OUT, with scripts/ on the path.

SPEC is a JSON file of the point and of how often to measure. Under torchrun every process takes its
part, and the first one writes what all found together.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers
from speed.bench import MANY_STEPS
from speed.memory import forget_peak, memory_mib, peak_mib
from speed.steps import Meter, Stepper

from cost.ceiling import Ceiling, Clock
from cost.points import Point, rows_of_point, save_encoder
from cost.profiled import profile
from nlp_adapt import AdaptationConfig, AdaptationTrainer
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.launch import is_main_process
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.training.accelerator import make_accelerator, precision_of


class LossMeter(Meter):
    """Keeps the last loss too."""

    loss = float("nan")

    def step(self, step: int, terms: dict[str, Any], **numbers: float) -> None:
        """Keep the counts and the loss."""
        super().step(step, terms, **numbers)
        self.loss = float(terms["loss"].detach())


def main() -> None:
    """Measure the point of the first argument into the file of the second."""
    found = measured_here(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    if is_main_process():
        Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
    if dist.is_initialized():
        dist.barrier()


def measured_here(spec: dict[str, Any]) -> dict[str, Any]:
    """What `measure` finds of the point of a spec in this process."""
    point = Point.of(spec["point"])
    torch.set_num_threads(point.threads)
    transformers.utils.logging.disable_progress_bar()
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        return measure(point, spec, Path(spec.get("folder", folder)))


def measure(point: Point, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Seconds a step beside the ceilings of the same moments, memory, and the profile.

    Args:
        point: What to measure.
        spec: `tokenizer`, `seed`, `warm_up`, `rounds`, `steps`, `profile` (steps, or 0), `fsdp`
            (shard in one process), sizes of the `ceiling`, and the `folder` that processes share.
        folder: For the encoder.
    """
    tokenizer = load_tokenizer(spec["tokenizer"])
    config = AdaptationConfig(
        method="dann", output_dir=str(folder / "run"), precision=point.precision,
        max_length=point.length, per_device_train_batch_size=point.rows, max_steps=MANY_STEPS,
        data_doctor="off", disable_tqdm=True, seed=spec["seed"], **point.options,
    )  # fmt: skip
    accelerator = make_accelerator(config)
    device, precision = accelerator.device, precision_of(accelerator)
    ceiling = Ceiling(device, precision, **spec.get("ceiling", {}))
    model = str(folder / "encoder")
    if is_main_process():
        save_encoder(point, tokenizer, folder / "encoder", spec["seed"])
    if dist.is_initialized():
        dist.barrier()
    source, target = rows_of_point(point, tokenizer, spec["seed"])
    gc.collect()
    before = memory_mib(device)
    forget_peak(device)
    trainer = AdaptationTrainer(model, config, source, target)
    with sharded(spec.get("fsdp", False), device):
        stepper = Stepper(trainer, accelerator)
    meter = stepper.loop.log = LossMeter(accelerator)
    stepper.meter = meter
    losses = []
    for _ in range(spec["warm_up"]):
        stepper()
        losses.append(meter.loss)
    rounds = timed(stepper, ceiling, spec)
    losses.append(meter.loss)
    peak = peak_mib(device)
    found = profile(stepper, spec["profile"], device) if spec.get("profile") else None
    return {
        "device": device.type, "precision": precision, **together(rounds),
        "parameters": sum(one.numel() for one in trainer.fresh_model().parameters()),
        "peak_mib": round(peak, 1), "before_mib": round(before, 1), "profile": found,
        "losses": [round(loss, 6) for loss in losses],
    }  # fmt: skip


def timed(stepper: Stepper, ceiling: Ceiling, spec: dict[str, Any]) -> list[dict[str, float]]:
    """Rounds of steps, each between two measurements of the ceilings."""
    rounds, before = [], at_once(ceiling)
    for _ in range(spec["rounds"]):
        clock, tokens, steps = Clock(ceiling.device), 0.0, spec["steps"]
        for _ in range(steps):
            tokens += stepper()[0]
        own, wall = clock.seconds() / steps, clock.wall() / steps
        after = at_once(ceiling)
        best = {name: (before[name] + after[name]) / 2 for name in before}
        rounds.append({"seconds": own, "wall": wall, "tokens": tokens / steps, **best})
        before = after
    return rounds


def at_once(ceiling: Ceiling) -> dict[str, float]:
    """The ceilings while every other process measures them too."""
    if dist.is_initialized():
        dist.barrier()
    return ceiling.measure()


def together(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds of this process, and the tokens of all."""
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    tokens = middle["tokens"]
    if dist.is_initialized():
        every: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(every, tokens)
        tokens = sum(every)
    return {
        "seconds": middle["seconds"],
        "wall": middle["wall"],
        "every_second": [round(one["seconds"], 5) for one in rounds],
        "tokens": tokens,
        "ceiling_flops": middle["flops"],
        "ceiling_bytes": middle["bytes"],
    }


class sharded:  # noqa: N801 - reads as a phrase
    """Inside, a run's model is sharded even in one process, which the package leaves whole."""

    def __init__(self, wanted: bool, device: torch.device) -> None:
        self.wanted, self.device = wanted, device

    def __enter__(self) -> None:
        if not self.wanted:
            return
        from nlp_adapt.training import loop
        from nlp_adapt.training.sharding import Sharding

        backend = "nccl" if self.device.type == "cuda" else "gloo"
        store = dist.HashStore()
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
        self.real, loop.requested_sharding = loop.requested_sharding, lambda _: Sharding()

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            from nlp_adapt.training import loop

            loop.requested_sharding = self.real


if __name__ == "__main__":
    main()
