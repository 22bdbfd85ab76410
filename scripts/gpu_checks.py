"""What `scripts/gpu_checks.sh` runs, which says how and with which exit codes it ends."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from benchmark_runs import code_hash
from cost.losses import share
from cost.points import Point, save_encoder
from cost.rows import write_rows
from cost.running import MeasurementError, launched
from speed.timing import machine, table

FAILED, NO_GPU = 1, 3
REAL = Point(12, 768, 128, 32)
TINY = Point(2, 32, 16, 2)
TINY_CEILING = {"size": 64, "mib": 1, "seconds": 0.002}
FURTHEST_LOSS = 0.15  # from that of float32, in the mean over all steps
KINDS: Mapping[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "compile": {"precision": "bf16", "options": {"torch_compile": True}},
    "fsdp2": {"precision": "bf16", "fsdp": True},
}
RUN = "run"
TITLES = {
    "compile": "bf16, torch.compile", "fsdp2": "bf16, FSDP2 in one process",
    RUN: "`nlp-adapt train` and `predict`, bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: Its kind.
        passed: Whether it did what it should.
        said: What went wrong, or what else there is to say.
        found: Measurements of its steps, if it took any.
        seconds: That it took, from the start of Python.
    """

    name: str
    passed: bool
    said: str
    found: Mapping[str, Any]
    seconds: float


def main() -> int:
    """Run the checks, print and write their table."""
    args = parse_arguments()
    if not args.dry_run and not torch.cuda.is_available():
        print("gpu_checks: PyTorch sees no CUDA device here, so nothing was checked; --dry-run tries "
              "the commands on a CPU.", file=sys.stderr)  # fmt: skip
        return NO_GPU
    if args.dry_run:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # also where there is a GPU
    checks: list[Check] = []
    for name in args.only:
        checks.append(check(name, args, checks))
        print(f"{name}: {checks[-1].said}", file=sys.stderr)
    page = report(checks, args)
    print(page)
    if out := args.out or (None if args.dry_run else Path("docs/benchmarks/gpu.md")):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    return 0 if all(one.passed for one in checks) else FAILED


def check(name: str, args: argparse.Namespace, before: list[Check]) -> Check:
    """One kind of training, in a process of its own."""
    started = time.perf_counter()
    found: dict[str, Any] = {}
    try:
        if name == RUN:
            passed, said = whole_run(args)
        else:
            found = steps(name, args)
            passed, said = judged(found, before)
    except MeasurementError as error:
        passed, said = False, str(error)
        if name == "fp16" and args.dry_run and "needs a GPU" in said:
            passed, said = True, "refused on a CPU, as it should be"
    return Check(name, passed, said, found, time.perf_counter() - started)


def steps(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Time, memory and losses of some steps."""
    kind = dict(KINDS[name])
    sharded = kind.pop("fsdp", False)
    point = replace(TINY if args.dry_run else REAL, **kind)
    spec = {"point": asdict(point), "fsdp": sharded, "tokenizer": args.tokenizer, "seed": args.seed}
    spec |= {"warm_up": 2, "rounds": 2, "steps": 1} if args.dry_run else {
        "warm_up": 10, "rounds": 5, "steps": 10, "profile": 3}  # fmt: skip
    if args.dry_run:
        spec["ceiling"] = TINY_CEILING
    return {"point": asdict(point), **launched(spec, 1, 1)}


def judged(found: Mapping[str, Any], before: list[Check]) -> tuple[bool, str]:
    """Whether the losses are numbers, and near those of float32 where it came first."""
    losses = found["losses"]
    if not all(map(math.isfinite, losses)):
        return False, f"losses that are no numbers: {losses}"
    exact = next((one.found["losses"] for one in before if one.name == "fp32" and one.found), None)
    if exact is None:
        return True, "passed"
    apart = abs(statistics.fmean(losses) - statistics.fmean(exact))
    said = f"loss {apart:.3f} from that of fp32"
    return (True, f"passed, {said}") if apart <= FURTHEST_LOSS else (False, said)


def whole_run(args: argparse.Namespace) -> tuple[bool, str]:
    """A run of few steps from files to a saved model, which then labels a file."""
    from nlp_adapt.modeling.tokenizers import load_tokenizer

    rows = 48 if args.dry_run else 2000
    with tempfile.TemporaryDirectory() as name:
        folder, tokenizer = Path(name), load_tokenizer(args.tokenizer)
        point = TINY if args.dry_run else REAL
        encoder = save_encoder(point, tokenizer, folder / "encoder", args.seed)
        source, target = (
            write_rows(folder, side, rows, tokenizer, args.seed) for side in ("source", "target")
        )
        run, labelled = folder / "run", folder / "labelled.jsonl"
        precision = "fp32" if args.dry_run else "bf16"
        for words in (
            ["train", "--model", encoder, "--source", source, "--target", target, "--output_dir", run,
             "--max_steps", 4, "--precision", precision, "--max_length", 32, "--data_doctor", "off",
             "--disable_tqdm"],
            ["predict", run, target, "--out", labelled],
        ):  # fmt: skip
            command = [sys.executable, "-m", "nlp_adapt", *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["it said nothing"]
                return False, f"nlp-adapt {words[0]} ended with {done.returncode}: {said[-1]}"
        count = len(labelled.read_text(encoding="utf-8").splitlines())
    return count == rows, f"{count:,} of {rows:,} rows labelled"


def report(checks: list[Check], args: argparse.Namespace) -> str:
    """The page."""
    heads = ["check", "result", "ms a step", "tokens / s", "share of the ceiling", "peak, MiB",
             "seconds in all"]  # fmt: skip
    rows = []
    for one in checks:
        numbers = [""] * 4
        if one.found:
            seconds, tokens = one.found["seconds"], one.found["tokens"]
            numbers = [f"{1000 * seconds:,.1f}", f"{tokens / seconds:,.0f}",
                       f"{share(one.found):.0%}", f"{one.found['peak_mib']:,.0f}"]  # fmt: skip
        result = one.said if one.passed else f"**failed:** {one.said}"
        rows.append([TITLES.get(one.name, one.name), result, *numbers, f"{one.seconds:.0f}"])
    point = TINY if args.dry_run else REAL
    where = "a dry run: what it measures says nothing" if args.dry_run else "one GPU"
    device = torch.device("cpu" if args.dry_run else "cuda")
    return (
        f"# Checks on a GPU\n\n{table(heads, rows)}\nMade by `bash scripts/gpu_checks.sh"
        f"{' --dry-run' if args.dry_run else ''}` on {machine(device)}, {where}. Steps of `dann` on a random "
        f"encoder of {point.layers} layers {point.hidden} wide, {2 * point.rows} rows of {point.length} tokens; "
        "the ceiling is a product of two matrices in the same format, measured between the steps. One process "
        "leaves a model whole, even with the option `fsdp`: that check shards it all the same. Seed "
        f"{args.seed}, code `{code_hash()}`, torch {torch.__version__}, {date.today():%Y-%m-%d}.\n"
    )


def parse_arguments() -> argparse.Namespace:
    """The options."""
    names = [*KINDS, RUN]
    parser = argparse.ArgumentParser(prog="gpu_checks", description="Checks training on a GPU.")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, on a CPU")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="CHECK",
                        help=f"of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--tokenizer", default="builtin:minilm-l6")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the page; default: docs/benchmarks/gpu.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
