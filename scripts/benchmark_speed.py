"""Measure the speed and memory of training and of prediction, as ratios taken in one run.

    python scripts/benchmark_speed.py --out docs/benchmarks/speed.md
    python scripts/benchmark_speed.py --only memory

`--only` measures some parts alone. Each part is written as soon as it is done, and takes the place
of what was measured under its name before: an interrupted benchmark goes on with `--only` and the
parts that are missing. All of it takes about a quarter of an hour on two cores; nothing else should
run there.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from speed import memory, serving, training
from speed.bench import Bench
from speed.page import Section, store
from speed.timing import load, machine

from nlp_adapt.cli.console import quiet_libraries

PARTS: dict[str, Callable[[Bench], Section]] = {
    "training": training.steps,
    "frozen": training.frozen,
    "frozen_run": training.frozen_run,
    "adapters": training.adapters,
    "memory": memory.growth,
    "prediction": serving.prediction,
    "onnx": serving.onnx,
}


def main() -> None:
    """Measure part by part, and write the page after each."""
    args = parse_arguments()
    for name in args.only:
        before, started = load(), time.perf_counter()
        with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
            bench = Bench(args, folder)
            section = PARTS[name](bench)
        minutes = (time.perf_counter() - started) / 60
        conditions = f"{section.conditions} {described(bench, before, minutes)}"
        section = replace(section, conditions=conditions)
        store(section, name, args.out, list(PARTS))
        print(f"## {section.title}\n\n{section.text}\n{section.conditions}\n", flush=True)
        gc.collect()
    print(args.out)


def described(bench: Bench, load_before: float, minutes: float) -> str:
    """Where a part was measured, and with what."""
    args = bench.args
    return (
        f"`{args.model}`, {args.source} to {args.target}, batches of {args.batch_size} rows a domain, "
        f"at most {args.max_length} tokens, seed {args.seed}, {bench.precision} (`--precision "
        f"{args.precision}`), on {machine(bench.device)}, torch {torch.__version__}. Load of the "
        f"machine {load_before:.1f} before and {load():.1f} after these {minutes:.1f} minutes."
    )


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="builtin:minilm-l6")
    parser.add_argument("--source", default="builtin:snippets/movie")
    parser.add_argument("--target", default="builtin:snippets/tweets")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"parts to measure: {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--batch_size", type=int, default=32, help="rows per domain")
    parser.add_argument("--max_length", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--rows", type=int, help="training rows of each domain; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps of each in a round")
    # Each new shape is slow once on a CPU; a run has thousands of steps for each.
    parser.add_argument("--warm_up", type=int, default=20, help="steps of each beforehand")
    parser.add_argument("--peak_steps", type=int, default=15, help="adapters: steps for the peak")
    parser.add_argument("--memory_steps", type=int, default=2000)
    parser.add_argument("--memory_models", nargs="+", choices=memory.MODELS,
                        default=list(memory.MODELS))  # fmt: skip
    parser.add_argument("--texts", type=int, default=10_000, help="prediction: texts in a round")
    parser.add_argument("--onnx_texts", type=int, default=2000, help="onnx: texts in a round")
    parser.add_argument("--serving_rounds", type=int, default=2, help="prediction: rounds")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/speed.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
