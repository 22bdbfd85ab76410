"""Steps of DANN beside those of the task alone, of a plain loop, of frozen layers and of adapters."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from nlp_adapt.modeling.architectures import encoder_layers
from speed.bench import Bench, in_fresh_process
from speed.memory import peak_of_steps
from speed.page import Goal, Section
from speed.steps import PlainDann, Stepper
from speed.timing import Course, milliseconds, quarters, ratio, ratios, spread, table

FROZEN_RUNS = 3
LORA = {
    "every weight": {},
    "lora": {"lora": True},
    "dora": {"lora": True, "lora_type": "dora"},
    "ia3": {"lora": True, "lora_type": "ia3"},
}


def steps(bench: Bench) -> Section:
    """DANN against the task loss alone at the same token batch, and against a plain loop."""
    both = 2 * bench.args.batch_size
    steppers = {
        "the task loss alone, on DANN's batches": Stepper.of(
            bench, both_sides=True, method="source_only"
        ),
        f"source_only, {both} source rows": Stepper.of(
            bench, method="source_only", per_device_train_batch_size=both
        ),
        "dann": Stepper.of(bench, method="dann"),
    }
    courses = {name: Course(stepper) for name, stepper in steppers.items()}
    plain = "plain two-pass DANN, float32, padded to the longest row"
    courses[plain] = Course(PlainDann(bench), share=0.3)
    bench.time(courses)
    dann = courses["dann"]
    shares = {name: stepper.padding() for name, stepper in steppers.items()}
    rows = [
        [
            name,
            spread(one.speeds, 0),
            milliseconds(one.seconds),
            f"{shares.get(name, one.padding):.1%}",
            ratio(dann.speeds, one.speeds),
        ]
        for name, one in courses.items()
    ]
    heads = ["steps of", "real tokens / s", "ms a step", "padding", "dann's speed against it"]
    alone, against_plain = (
        quarters(ratios(dann.speeds, courses[name].speeds))[1]
        for name in (next(iter(courses)), plain)
    )
    return Section(
        "Training steps",
        f"{table(heads, rows)}\nEvery step reads {both} rows. `dann` and the task loss alone read "
        "the same rows in the same order: their ratio is what the adversary costs. Padding is that "
        "of the first 512 steps. The plain loop stands in the same process, so that it too profits from freed memory "
        "being kept.\n",
        [
            Goal(
                "DANN's real tokens a second, against the task loss alone",
                "97 %",
                f"{alone:.1%}",
                alone >= 0.97,
            ),
            Goal("padding of DANN", "< 8 %", f"{shares['dann']:.1%}", shares["dann"] < 0.08),
            Goal("DANN against a plain loop", ">= 3", f"{against_plain:.2f}", against_plain >= 3.0),
        ],
        f"{bench.turns}; {0.3:.0%} of the steps for the plain loop.",
    )


def frozen(bench: Bench) -> Section:
    """Steps with nothing, half and all of the encoder frozen, with and without the cache."""
    depth = len(encoder_layers(bench.trainer.fresh_model()))
    courses = {"freeze: none": Course(Stepper.of(bench))}
    for what in (depth // 2, "all"):
        courses[f"freeze: {what}, run at each step"] = Course(
            Stepper.of(bench, freeze=what, cache_features=False)
        )
    courses["freeze: all, cached"] = Course(Stepper.of(bench, freeze="all"))
    bench.time(courses)
    first = next(iter(courses.values()))
    rows = [
        [name, milliseconds(one.seconds), ratio(first.seconds, one.seconds)]
        for name, one in courses.items()
    ]
    return Section(
        f"Frozen layers (of {depth})",
        f"{table(['dann with', 'ms a step', 'speed-up'], rows)}\nThe states are computed once, "
        "before the first step, and are no part of these times.\n",
        [],
        f"{bench.turns}.",
    )


def frozen_run(bench: Bench) -> Section:
    """A whole `nlp-adapt train` with the encoder frozen: once to fill the cache, once from it."""
    options = {
        "model": bench.model,
        "source": bench.args.source,
        "target": bench.args.target,
        "method": "dann",
        "freeze": "all",
        "max_length": bench.args.max_length,
        "seed": bench.args.seed,
    }
    if bench.args.rows:
        options |= {"max_source_rows": bench.args.rows, "max_target_rows": bench.args.rows}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    kinds = {
        "without the cache": ["--cache_features", "false"],
        "the cache not yet filled, or kept from an earlier benchmark": [],
        "from the cache": [],
        "from the cache, without the source-only twin": ["--compare_source_only", "false"],
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    cached = list(kinds)[2:]
    for kind in [*kinds, *cached * (FROZEN_RUNS - 1)]:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "nlp_adapt", "train", *words, *kinds[kind]]
            command += ["--disable_tqdm", "--output_dir", f"{folder}/run"]
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            found[kind].append(time.perf_counter() - started)
    rows = [
        [kind, f"{one[0]:.1f}" if len(one) < 2 else spread(one, 1)] for kind, one in found.items()
    ]
    seconds = statistics.median(found["from the cache"])
    return Section(
        "A run with the whole encoder frozen",
        f"{table(['`nlp-adapt train --method dann --freeze all`', 'seconds'], rows)}\nFrom the "
        "start of Python to its end: both models trained for three epochs, the data looked through, "
        "validation, test scores of both domains, and the report.\n",
        [Goal("dann with `freeze: all`, features cached", "< 20 s", f"{seconds:.1f} s", seconds < 20)],
        f"{FROZEN_RUNS} runs of each kind from the cache, in turns, and one of the others.",
    )  # fmt: skip


def adapters(bench: Bench) -> Section:
    """LoRA, DoRA and (IA)3 against training every weight: time and memory."""
    steppers = {name: Stepper.of(bench, **options) for name, options in LORA.items()}
    courses = {name: Course(stepper) for name, stepper in steppers.items()}
    bench.time(courses)
    every = courses["every weight"]
    memory = {
        name: in_fresh_process(peak_of_steps, bench.args, options) for name, options in LORA.items()
    }
    rows: list[list[Any]] = []
    for name, one in courses.items():
        count = steppers[name].trainable
        peak, more = memory[name]
        rows.append(
            [name, f"{count:,}", milliseconds(one.seconds), ratio(one.seconds, every.seconds),
             f"{peak:,.0f}", f"{more:,.0f}", f"{12 * count / 2**20:.1f}"]
        )  # fmt: skip
    heads = ["training", "trained numbers", "ms a step", "time against every weight", "peak, MiB",
             "of which steps, MiB", "of which gradients and moments, MiB"]  # fmt: skip
    return Section(
        "Adapters",
        f"{table(heads, rows)}\nAdapters on all linear maps, rank 8. Peak memory is that of a "
        f"process of its own over {bench.args.peak_steps} steps of dann, the longest rows among "
        "them; `of which steps` leaves out what the program, the data and the model take before "
        "the first step: it holds activations, gradients and AdamW's moments. The last column is "
        "twelve bytes for each trained number.\n",
        [],
        f"{bench.turns}; memory in one run each.",
    )
