"""Memory of a process that trains: its peak, and whether it grows."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_adapt.cli.console import quiet_libraries
from speed.bench import Bench, in_fresh_process
from speed.page import Goal, Section
from speed.steps import Stepper
from speed.timing import table

SAMPLE_EVERY = 10
SETTLED = 0.1  # share of the steps after which nothing should grow: 200 of 2,000
TOLERANCE = 0.01
MODELS = ("small", "same", "few_rows")
FEW_ROWS = 8


def growth(bench: Bench) -> Section:
    """Memory of a process over many steps of all shapes: up to the first tenth, and after it."""
    rows, goals = [], []
    for kind in bench.args.memory_models:
        found = in_fresh_process(samples_of_steps, bench.args, kind)
        values, total = found["mib"], bench.args.memory_steps
        early = values[: max(1, round(len(values) * SETTLED))]
        grown = max(values) - max(early)
        slope = 0.0
        if len(values) > len(early) + 1:
            rest = values[len(early) :]
            slope = float(np.polyfit(np.arange(len(rest)), rest, 1)[0]) * 1000 / SAMPLE_EVERY
        rows.append(
            [found["name"], f"{found['rows']}", f"{found['shapes']}", f"{early[-1]:,.1f}",
             f"{max(early):,.1f}", f"{max(values):,.1f}", f"{values[-1]:,.1f}", f"{slope:+.1f}",
             f"{found['tensors'][0]:,} / {found['tensors'][1]:,}"]
        )  # fmt: skip
        goals.append(
            Goal(
                f"memory after the first {round(total * SETTLED):,} of {total:,} steps, "
                f"{found['name']}, {found['rows']} rows",
                "no growth (within 1 %)",
                f"{grown:+,.1f} MiB ({grown / max(early):+.1%})",
                grown <= TOLERANCE * max(early),
            )
        )
    settled = round(bench.args.memory_steps * SETTLED)
    heads = ["model", "rows a domain", "shapes", f"at step {settled:,}", f"most until {settled:,}",
             "most of all", "at the end", "MiB per 1,000 steps after it",
             "live tensors then / at the end"]  # fmt: skip
    return Section(
        "Memory over many steps",
        f"{table(heads, rows)}\nResident memory in MiB of a process of its own, read inside it after "
        f"every {SAMPLE_EVERY} of {bench.args.memory_steps:,} steps of dann, with nothing collected "
        "by hand. Batches have every width of the data, the widest first. `small` is a random "
        "encoder of two layers, 128 wide; the others are the model of this page. What leaks, leaks "
        "with every step and shape. The widest batch comes first, and again in the middle of the first "
        "window of at most 128 steps; by chance alone batches of few rows would meet it again only "
        "after hundreds.\n",
        goals,
        "One run each.",
    )


def samples_of_steps(args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Resident memory over the steps of a process that does nothing else."""
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        name = small_encoder(args.model, Path(folder) / "small") if kind == "small" else args.model
        size = FEW_ROWS if kind == "few_rows" else args.batch_size
        bench = Bench(args, folder, name)
        stepper = Stepper.of(bench, per_device_train_batch_size=size)
        found, tensors = [], []
        settled = round(args.memory_steps * SETTLED)
        for number in range(1, args.memory_steps + 1):
            stepper()
            if number % SAMPLE_EVERY == 0:
                found.append(memory_mib(bench.device))
            if number in (settled, args.memory_steps):
                tensors.append(live_tensors())
        shapes = stepper.shapes(args.memory_steps)
    label = kind if kind == "small" else f"`{args.model}`"
    return {"name": label, "rows": size, "mib": found, "shapes": shapes, "tensors": tensors}


def peak_of_steps(args: argparse.Namespace, options: dict[str, Any]) -> tuple[float, float]:
    """Highest memory of some steps in MiB, and how much of it they added.

    Args:
        args: The benchmark's options.
        options: Options of the run.
    """
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        stepper = Stepper.of(bench, **options)
        gc.collect()
        before = memory_mib(bench.device)
        forget_peak(bench.device)
        for _ in range(args.peak_steps):
            stepper()
        peak = peak_mib(bench.device)
    return peak, peak - before


def small_encoder(model: str, folder: Path) -> str:
    """A random two-layer encoder with the tokenizer of `model`, written to `folder`."""
    from transformers import BertConfig, BertModel

    from nlp_adapt.modeling.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(model)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def live_tensors() -> int:
    """Tensors that Python still holds."""
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def memory_mib(device: torch.device) -> float:
    """What the process holds now: of a GPU's memory its tensors, otherwise what is resident."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 2**20
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:  # no procfs: the most it ever was
        return _most_ever_mib()


def forget_peak(device: torch.device) -> None:
    """Start the peak anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mib(device: torch.device) -> float:
    """The most memory since `forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return _most_ever_mib()
    # Not getrusage: a program inherits the peak of the one that started it.
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _most_ever_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
