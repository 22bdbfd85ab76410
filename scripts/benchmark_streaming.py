"""Memory and speed of a streamed target: a generated corpus, read and trained on.

    python scripts/benchmark_streaming.py --out docs/benchmarks/streaming.md

Two measurements, each in a process of its own:

1. every row of the corpus goes through the batches of a run once (read, shuffled, tokenised,
   padded), while resident memory is watched;
2. training steps with the target streamed and with the target in memory, in turns.

Writes a page where `--out` names one; the exit code is 1 where memory is not flat within 10 %, or
streaming is more than 5 % slower. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmark_page import Row, table, write_page
from speed.steps import Stepper
from speed.timing import Course, in_turns, ratios, spread

FLAT = 0.10
SLOWER = 0.05
SHARDS = 8
BATCH = 32
WARM_UP = 3
WORDS = ("the", "film", "phone", "was", "not", "very", "good", "bad", "plot", "screen", "so")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the target")
    parser.add_argument("--steps", type=int, default=10, help="steps of each kind in a round")
    parser.add_argument("--rounds", type=int, default=10, help="rounds, after three to warm up")
    parser.add_argument("--model", default="builtin:minilm-l6", help="encoder")
    parser.add_argument("--out", type=Path, help="Markdown page to write")
    parser.add_argument("--work", help="folder for the corpus and runs (default: a temporary one)")
    parser.add_argument("--only", choices=("read", "train"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        worker = {"read": read_all, "train": train_in_turns}[args.only]
        print(json.dumps(worker(args)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        args.work = args.work or temporary
        write_corpus(Path(args.work), args.rows)
        read, trained = measure(args, "read"), measure(args, "train")
    return report(args, read, trained)


def write_corpus(folder: Path, rows: int) -> None:
    """A labelled source, and target shards of unequal length, half of them gzip'd."""
    generator = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)

    def text() -> str:
        return " ".join(generator.choices(WORDS, k=generator.randint(5, 30)))

    with (folder / "source.csv").open("w") as file:
        file.write("text,label\n")
        file.writelines(f"{text()},{'good' if i % 2 else 'bad'}\n" for i in range(4000))
    target = folder / "target"
    target.mkdir(exist_ok=True)
    weights = [1 + number for number in range(SHARDS)]
    left = rows
    for number, weight in enumerate(weights):
        count = left if number == SHARDS - 1 else rows * weight // sum(weights)
        left -= count
        path = target / f"{number}.jsonl{'.gz' if number % 2 else ''}"
        with gzip.open(path, "wt", compresslevel=1) if number % 2 else path.open("w") as file:
            file.writelines(json.dumps({"text": text()}) + "\n" for _ in range(count))


def measure(args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    options = ["--rows", args.rows, "--steps", args.steps, "--rounds", args.rounds]
    options += ["--model", args.model]
    command = [sys.executable, __file__, "--only", kind, "--work", args.work, *options]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def resident() -> float:
    """Resident memory of this process in MB."""
    import os

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def read_all(args: argparse.Namespace) -> dict[str, float]:
    """Every target row once through the batches, without a model."""
    from nlp_adapt.data.batches.streamed import StreamedBatches
    from nlp_adapt.data.reading.shards import find_shards
    from nlp_adapt.data.streaming import TextStream
    from nlp_adapt.modeling.tokenizers import load_tokenizer
    from nlp_adapt.tasks import TASKS
    from nlp_adapt.training.inputs.stream import encode_with

    kind = "sequence-classification"
    task = TASKS[kind](("bad", "good"))
    encode = encode_with(task, load_tokenizer(args.model), 64)
    stream = TextStream(find_shards(Path(args.work) / "target", kind), task=kind)
    sample = encode(stream.with_seed(1).take(1000))
    steps = args.rows // BATCH
    batches = StreamedBatches(
        {"target": sample},
        stream=stream,
        encode=encode,
        max_length=64,
        total_steps=steps,
        batch_size=BATCH,
        pad_id=0,
        seed=0,
    )
    seen, started = [], time.perf_counter()
    for step in range(steps):
        batches.step(step)
        if step % max(1, steps // 200) == 0:
            seen.append(resident())
    seconds = time.perf_counter() - started
    tenth = len(seen) // 10
    # Python and the tokenizer take their working memory in the first tenth.
    return {
        "start": statistics.mean(seen[tenth : 2 * tenth]),
        "end": statistics.mean(seen[-tenth:]),
        "most": max(seen[tenth:]),
        "rows_per_second": steps * BATCH / seconds,
    }


def train_in_turns(args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of steps with the target streamed and in memory, in one process.

    A machine that slows down then slows both, and what a process does once for each new shape of
    a batch is done for both.
    """
    from nlp_adapt.training.accelerator import make_accelerator

    first = trainer(args, streaming=True)
    accelerator = make_accelerator(first.args)
    stepper = Stepper(first, accelerator)
    streamed = Course(stepper)
    streamed.round(args.steps)
    alone = resident()
    memory = Course(Stepper(trainer(args, streaming=False), accelerator))
    courses = {"streamed": streamed, "memory": memory}
    in_turns(courses, WARM_UP + args.rounds, lambda course, _: course.round(args.steps))
    return {
        "streamed": streamed.speeds[-args.rounds :],
        "memory": memory.speeds[-args.rounds :],
        "data_seconds": statistics.mean(stepper.meter.waited[-args.rounds * args.steps :]),
        "resident_streamed": alone,
        "resident_both": resident(),
    }


def trainer(args: argparse.Namespace, streaming: bool) -> Any:
    """A trainer on the generated corpus."""
    from nlp_adapt.recipe import Recipe
    from nlp_adapt.training.trainer import AdaptationTrainer

    work = Path(args.work)
    recipe = Recipe(
        model=args.model,
        source=str(work / "source.csv"),
        target=str(work / "target"),
        output_dir=str(work / "run"),
        streaming=streaming,
        max_steps=10**5,
        per_device_train_batch_size=BATCH,
        max_length=64,
        data_doctor="off",
        disable_tqdm=True,
    )
    return AdaptationTrainer.from_recipe(recipe)


def report(args: argparse.Namespace, read: dict[str, Any], trained: dict[str, Any]) -> int:
    """Print the table, and write the page if there is to be one; 1 where a limit is passed."""
    growth = read["end"] / read["start"] - 1
    compared = ratios(trained["streamed"], trained["memory"])
    rows: list[Row] = [
        ("resident memory after a tenth of the rows", f"{read['start']:.0f} MB"),
        ("resident memory at the end", f"{read['end']:.0f} MB ({growth:+.1%})"),
        ("most", f"{read['most']:.0f} MB"),
        ("rows read, tokenised and padded a second", f"{read['rows_per_second']:,.0f}"),
        ("training, streamed", f"{spread(trained['streamed'], 0)} tokens/s"),
        ("training, in memory", f"{spread(trained['memory'], 0)} tokens/s"),
        ("streamed / in memory", spread(compared, 3)),
        ("waiting for data, streamed", f"{trained['data_seconds'] * 1e3:.2f} ms a step"),
        ("resident memory, training on the stream", f"{trained['resident_streamed']:.0f} MB"),
        ("resident memory, with the corpus beside it", f"{trained['resident_both']:.0f} MB"),
    ]
    print(table(rows))
    flat, quick = growth <= FLAT, statistics.median(compared) >= 1 - SLOWER
    verdict = (
        f"Memory is {'flat' if flat else 'NOT flat'} within {FLAT:.0%}; streaming is "
        f"{'no more' if quick else 'MORE'} than {SLOWER:.0%} slower than training in memory."
    )
    print(verdict)
    if args.out:
        description = (
            f"A generated target of {args.rows:,} rows in {SHARDS} shards of unequal length, half "
            "of them compressed. First every row goes once through the batches of a run, without a "
            f"model; then `{args.model}` takes training steps of {BATCH} rows of each domain with "
            f"the target streamed and in memory, in turns within one process: {args.rounds} rounds "
            f"of {args.steps} steps each after {WARM_UP} that are not counted. Numbers are medians, "
            "with quartiles in brackets; ratios are taken within each round."
        )
        write_page(args.out, "Streamed targets", description, rows, verdict)
    return int(not flat or not quick)


if __name__ == "__main__":
    sys.exit(main())
