"""What checkpoints cost: the share of training time that saving takes.

    python scripts/benchmark_checkpoints.py --out docs/benchmarks/checkpoints.md

Trains one model with the default interval between checkpoints, times each save inside the run, and
relates the time of all saves to that of the steps. Writes a page where `--out` names one; the exit
code is 1 where the share is over 3 %. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmark_page import Row, table, write_page

LIMIT = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="builtin:minilm-l6", help="encoder")
    parser.add_argument("--source", default="builtin:snippets/movie", help="labelled domain")
    parser.add_argument("--target", default="builtin:snippets/tweets", help="target domain")
    parser.add_argument("--steps", type=int, default=1050, help="training steps")
    parser.add_argument("--save_steps", type=int, help="steps between checkpoints (the default's)")
    parser.add_argument("--batch", type=int, default=32, help="rows per domain and step")
    parser.add_argument("--out", type=Path, help="Markdown page to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return report(args, *run(args, folder))


def run(args: argparse.Namespace, folder: str) -> tuple[list[float], list[float], int]:
    """Seconds of each step and of each save, and bytes of a checkpoint."""
    from nlp_adapt.recipe import Recipe
    from nlp_adapt.training import loop, stages
    from nlp_adapt.training.trainer import AdaptationTrainer

    saves: list[float] = []
    steps: list[float] = []
    sizes: list[int] = []
    save, applied = stages.StagedTraining._save, loop.StageLoop._apply
    since = time.perf_counter()

    def timed_save(training: Any, *rest: Any) -> None:
        nonlocal since
        started = time.perf_counter()
        save(training, *rest)
        saves.append(time.perf_counter() - started)
        since = time.perf_counter()
        newest = training.checkpoints.paths()[-1]
        sizes.append(sum(file.stat().st_size for file in newest.iterdir()))

    def timed_step(self: Any) -> bool:
        nonlocal since
        done = applied(self)
        steps.append(time.perf_counter() - since)
        since = time.perf_counter()
        return done

    stages.StagedTraining._save = timed_save
    loop.StageLoop._apply = timed_step
    recipe = Recipe(
        model=args.model,
        source=args.source,
        target=args.target,
        output_dir=folder,
        max_steps=args.steps,
        per_device_train_batch_size=args.batch,
        compare_source_only=False,
        eval_strategy="no",
        data_doctor="off",
        disable_tqdm=True,
    )
    if args.save_steps:
        recipe.save_steps = args.save_steps
    args.save_steps = recipe.save_steps
    AdaptationTrainer.from_recipe(recipe).train()
    return steps, saves, sizes[-1] if sizes else 0


def report(args: argparse.Namespace, steps: list[float], saves: list[float], size: int) -> int:
    """Print the table; 1 where saving takes more than the limit."""
    if not saves:
        raise SystemExit(f"no checkpoint in {args.steps} steps: raise --steps.")
    # Steps between checkpoints over their time and a save's, so that the last odd steps do not count.
    step, save = statistics.mean(steps), statistics.mean(saves)
    share = save / (args.save_steps * step + save)
    rows: list[Row] = [
        ("a step", f"{step * 1e3:.1f} ms"),
        ("a checkpoint", f"{save * 1e3:.0f} ms, {size / 1e6:.0f} MB ({len(saves)} measured)"),
        ("steps between checkpoints", str(args.save_steps)),
        ("share of training time", f"{share:.2%}"),
    ]
    print(table(rows))
    verdict = f"The share is {'below' if share <= LIMIT else 'ABOVE'} the limit of {LIMIT:.0%}."
    print(verdict)
    if args.out:
        description = (
            f"`{args.model}` trains for {len(steps)} steps of {args.batch} rows of each domain "
            f"({args.source} to {args.target}), and each checkpoint is timed from its first byte "
            "to the last sync, verification and rotation included. The share is that of a "
            "checkpoint in the time of the steps between two of them and its own."
        )
        write_page(args.out, "What checkpoints cost", description, rows, verdict)
    return int(share > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
