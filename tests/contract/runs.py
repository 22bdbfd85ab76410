"""Three short runs that are the same to the bit on one machine, and what they leave on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from nlp_adapt.cli import main

PEOPLE = ("anna", "rex", "leo")
PLACES = ("rome", "oslo", "lima")
STEPS = 10
STOP_AFTER = 8
# A large epsilon keeps gradients that are zero but for rounding from being scaled up to steps.
SHARED = (
    *("--model", "bert", "--max-steps", STEPS, "--per-device-train-batch-size", 8),
    *("--learning-rate", "3e-3", "--adam-epsilon", "1e-4", "--precision", "fp32"),
    *("--max-length", 16, "--discriminator-hidden-size", 16, "--save-steps", 4, "--disable-tqdm"),
)
TEXTS = ("--source", "reviews.csv", "--target", "tweets.jsonl")
WORDS = (
    *("--task", "token-classification", "--source", "news.conll"),
    *("--target", "posts.conll", "--target-test", "gold.conll"),
)
RUNS = {
    "dann": ("--method", "dann", *TEXTS, "--lambda-max", "1.0"),
    "auto": ("--method", "auto", *TEXTS),
    "tagger": ("--method", "dann", *WORDS, "--lambda-max", "0.1"),
}


def write_words(path: Path, filler: tuple[str, ...], *, tagged: bool = True) -> None:
    """40 sentences of a person, two other words and a place of two words."""
    rng = random.Random(path.name)
    lines = []
    for _ in range(40):
        words = [(rng.choice(PEOPLE), "B-PER"), *((word, "O") for word in rng.sample(filler, 2))]
        words += [(rng.choice(PLACES), "B-LOC"), ("x", "I-LOC")]
        lines += [f"{word}\t{tag}" if tagged else word for word, tag in words]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Relative paths, so that nothing of this machine is in what is written; one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield
    torch.set_num_threads(threads)


def train(*words: object) -> int:
    """Run `nlp-adapt train` with the options that all runs share."""
    return main([str(word) for word in ("train", *SHARED, *words)])


@contextlib.contextmanager
def signal_after(steps: int, number: int) -> Iterator[None]:
    """Send this process a signal when an optimizer has made so many steps."""
    done = []

    def count(optimizer: Any, *_: Any) -> None:
        done.append(optimizer)
        if len(done) == steps:
            os.kill(os.getpid(), number)

    hook = register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        hook.remove()


def make_runs() -> dict[str, int]:
    """Train into the current folder: each run whole, and each one stopped; the exit codes."""
    codes = {name: train(*words, "--output-dir", name) for name, words in RUNS.items()}
    for name, words in RUNS.items():
        out = ("--output-dir", f"stopped_{name}", "--no-compare-source-only")
        with signal_after(STOP_AFTER, signal.SIGTERM):
            codes[f"stopped_{name}"] = train(*words, *out)
    words = ["ensemble", "dann", "auto", "--output_dir", "ensemble"]
    return {**codes, "ensemble": main(words)}


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def key_paths(value: Any, prefix: str = "") -> set[str]:
    """Nested keys as dotted paths; all items of a list count as one."""
    if isinstance(value, dict) and value:
        parts = [
            key_paths(part, f"{prefix}.{key}" if prefix else key) for key, part in value.items()
        ]
    elif isinstance(value, list) and value:
        parts = [key_paths(part, f"{prefix}[]") for part in value]
    else:
        return {prefix}
    return set().union(*parts)


def json_keys(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    return sorted(set().union(*(key_paths(json.loads(line)) for line in lines)))


def shapes(folder: Path) -> dict[str, dict[str, str]]:
    """The tensors of every file under a folder, with type and shape."""
    return {
        name: {
            key: f"{tensor.dtype} {list(tensor.shape)}".removeprefix("torch.")
            for key, tensor in sorted(load_file(folder / name).items())
        }
        for name in files(folder)
        if name.endswith(".safetensors")
    }


def layout(folder: Path) -> dict[str, Any]:
    """Names of files, keys and tensors of a whole run, or of one that was stopped or joined."""
    names = files(folder)
    return {
        "files": names,
        "keys": {
            name: json_keys(folder / name)
            for name in names
            if name.endswith((".json", ".jsonl")) and "model/" not in name
        },
        "tensors": shapes(folder),
    }


def weights(folder: Path) -> dict[str, Any]:
    """The ledgers of a run, and its weights as sums by tensor and as one hash."""
    digest = hashlib.sha256()
    sums: dict[str, dict[str, list[float]]] = {}
    for name in files(folder):
        if name.endswith(".safetensors"):
            sums[name] = {}
            for key, tensor in sorted(load_file(folder / name).items()):
                digest.update(f"{name} {key}".encode() + tensor.numpy().tobytes())
                sums[name][key] = [tensor.double().sum().item(), tensor.double().abs().sum().item()]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    ledgers = {model: results[model]["ledger"] for model in ("source_only", "adapted")}
    return {"ledgers": ledgers, "sha256": digest.hexdigest(), "sums": sums}


def machine() -> dict[str, str]:
    """What decides how sums are rounded."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {
        "cpu": model,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }
