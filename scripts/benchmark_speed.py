"""Measure the speed of training steps and of prediction, as ratios taken in one run.

    python scripts/benchmark_speed.py --out docs/benchmarks/speed.md

What is compared runs in turns, a few steps of each a round, so that a machine that is busy now and
then slows all of them alike; ratios are taken within each round. Tables give the median over the
rounds and, in brackets, its quartiles. Every number is in real tokens: padding is never counted as
work done. `--only training prediction` measures some sections alone.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timed_steps import MANY_STEPS, PlainDann, Stepper
from timing import (
    Course,
    in_turns,
    load,
    machine,
    milliseconds,
    quarters,
    ratio,
    ratios,
    resident_mib,
    spread,
    table,
)

from nlp_adapt import AdaptationConfig, AdaptationTrainer, load_domain
from nlp_adapt.cli import main as nlp_adapt_command
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.inference import Predictor
from nlp_adapt.modeling.layers import encoder_layers
from nlp_adapt.training.accelerator import make_accelerator, precision_of

# Each new shape is slow once on a CPU; a run has thousands of steps for each.
WARM_UP = 20


class Bench:
    """The data and settings that all measurements share."""

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        self.args = args
        self.folder = Path(folder)
        self.source = load_domain(args.source)
        self.target = load_domain(args.target)
        self.trainer = self.trainer_with()
        self.accelerator = make_accelerator(self.trainer.args)
        self.precision = precision_of(self.accelerator)
        self.device = self.accelerator.device

    def trainer_with(self, **options: Any) -> AdaptationTrainer:
        """A trainer with the benchmark's settings and these options."""
        config = AdaptationConfig(
            **{
                "output_dir": str(self.folder),
                "precision": self.args.precision,
                "max_length": self.args.max_length,
                "max_source_rows": self.args.rows,
                "max_target_rows": self.args.rows,
                "per_device_train_batch_size": self.args.batch_size,
                "max_steps": MANY_STEPS,
                "logging_steps": MANY_STEPS,
                "data_doctor": "off",
                "disable_tqdm": True,
                **options,
            }
        )
        return AdaptationTrainer(self.args.model, config, self.source, self.target)

    def training(self) -> str:
        """DANN against the task loss alone at the same token batch, and against a plain loop."""
        both = 2 * self.args.batch_size
        courses = {
            "the task loss alone, on DANN's batches": Course(
                Stepper(self, both_sides=True, method="source_only")
            ),
            f"source_only, {both} source rows": Course(
                Stepper(self, method="source_only", per_device_train_batch_size=both)
            ),
            "dann": Course(Stepper(self, method="dann")),
            "plain two-pass DANN, float32, padded to the longest row": Course(PlainDann(self)),
        }
        self._time(courses)
        dann, plain = list(courses.values())[2:]
        rows = [
            [name, spread(one.speeds, 0), f"{one.padding:.1%}", ratio(dann.speeds, one.speeds)]
            for name, one in courses.items()
        ]
        text = table(["steps of", "real tokens / s", "padding", "dann's speed against it"], rows)
        return (
            f"## Training steps\n\n{text}\nEvery step reads {both} rows. `dann` and the task loss "
            "alone read the same rows in the same order, so that their ratio is what the adversary "
            f"costs. Padding of dann: {dann.padding:.1%}; against the plain loop: "
            f"{quarters(ratios(dann.speeds, plain.speeds))[1]:.2f} times its real tokens a second.\n"
        )

    def frozen(self) -> str:
        """Steps with nothing, half and all of the encoder frozen, with and without the cache."""
        depth = len(encoder_layers(self.trainer.fresh_model()))
        courses = {"freeze: none": Course(Stepper(self))}
        for what in (depth // 2, "all"):
            courses[f"freeze: {what}, run at each step"] = Course(
                Stepper(self, freeze=what, cache_features=False)
            )
            courses[f"freeze: {what}, cached"] = Course(Stepper(self, freeze=what))
        self._time(courses)
        first = next(iter(courses.values()))
        rows = [
            [name, milliseconds(one.seconds), ratio(first.seconds, one.seconds)]
            for name, one in courses.items()
        ]
        text = table(["dann with", "ms a step", "speed-up"], rows)
        return f"## Frozen layers (of {depth})\n\n{text}"

    def adapters(self) -> str:
        """LoRA against training every weight."""
        steppers = {
            name: Stepper(self, **options)
            for name, options in (
                ("every weight", {}),
                ("lora, all linear maps", {"lora": True}),
                ("lora, attention", {"lora": True, "lora_targets": "attention"}),
                ("ia3", {"lora": True, "lora_type": "ia3"}),
            )
        }
        courses = {name: Course(stepper) for name, stepper in steppers.items()}
        self._time(courses)
        first = next(iter(courses.values()))
        rows = []
        for name, one in courses.items():
            count = steppers[name].trainable
            # A gradient and AdamW's two moments, four bytes each.
            rows.append(
                [name, f"{count:,}", f"{12 * count / 2**20:.1f}", milliseconds(one.seconds),
                 ratio(one.seconds, first.seconds)]
            )  # fmt: skip
        heads = ["training", "trained numbers", "MiB of gradients and moments", "ms a step",
                 "time against every weight"]  # fmt: skip
        return f"## Adapters\n\n{table(heads, rows)}"

    def memory(self) -> str:
        """Growth of the process's memory over many steps, in small batches of every width."""
        total = self.args.memory_steps
        marks = sorted({max(1, total * part // 20) for part in (2, 5, 10, 20)})
        stepper = Stepper(self, per_device_train_batch_size=self.args.memory_batch_size)
        found = {}
        for number in range(1, total + 1):
            stepper()
            if number in marks:
                gc.collect()
                found[number] = resident_mib()
        rows = [[f"{number:,}", f"{found[number]:,.0f}"] for number in marks]
        growth = found[marks[-1]] - found[marks[0]]
        return (
            f"## Memory\n\n{table(['steps of dann', 'resident memory, MiB'], rows)}\n"
            f"Growth after step {marks[0]:,}: {growth:+,.1f} MiB. Batches of "
            f"{self.args.memory_batch_size} rows a domain: what leaks leaks with every step and "
            "shape, however many rows it has.\n"
        )

    def prediction(self) -> str:
        """Labels for many texts, against `transformers.pipeline` as it comes."""
        from transformers import pipeline

        model, tokenizer = self.trainer.fresh_model().eval(), self.trainer.processing_class
        folder = self.folder / "saved"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        options: dict[str, Any] = {"precision": self.precision, "max_length": self.args.max_length}
        ours = Predictor(
            copy.deepcopy(model).to(self.device), tokenizer, self.trainer.task, **options
        )
        theirs = pipeline(
            "text-classification", model=model, tokenizer=tokenizer, device=self.device
        )
        calls: dict[str, Callable[[list[str]], Any]] = {
            "`pipeline(...)`": lambda part: theirs(part, truncation=True),
            f"`Predictor.predict`, {self.precision}": ours.predict,
            "`nlp-adapt predict`, from file to file": lambda part: self._command(folder, part),
        }
        texts = self._texts()
        parts = [list(part) for part in np.array_split(texts, self.args.rounds)]
        speeds: dict[str, list[float]] = {name: [] for name in calls}

        def label(name: str, number: int) -> None:
            started = time.perf_counter()
            calls[name](parts[number])
            speeds[name].append(len(parts[number]) / (time.perf_counter() - started))

        for call in calls.values():
            call(parts[0][:100])
        in_turns({name: name for name in calls}, self.args.rounds, label)
        baseline = next(iter(speeds.values()))
        rows = [[name, spread(one, 0), ratio(one, baseline)] for name, one in speeds.items()]
        heads = ["prediction", "texts / s", "against pipeline"]
        return (
            f"## Prediction of {len(texts):,} texts\n\n{table(heads, rows)}\nThe command's time "
            "includes opening the model, reading and writing, but not starting Python; that of "
            "`pipeline` is the calls alone.\n"
        )

    def _texts(self) -> np.ndarray:
        """Texts of both domains, shuffled; repeated where there are too few."""
        pool = [*self.source.splits["train"]["text"], *self.target.without_labels()["text"]]
        order = np.random.default_rng(0).permutation(len(pool))
        return np.array(pool, dtype=object)[np.resize(order, self.args.texts)]

    def _command(self, model: Path, texts: Sequence[str]) -> None:
        source, out = self.folder / "texts.jsonl", self.folder / "labelled.jsonl"
        lines = [json.dumps({"text": text}) for text in texts]
        source.write_text("\n".join(lines), encoding="utf-8")
        out.unlink(missing_ok=True)
        words = [
            "predict",
            str(model),
            str(source),
            "--out",
            str(out),
            "--device",
            str(self.device),
        ]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = nlp_adapt_command(words)
        if code or len(out.read_text(encoding="utf-8").splitlines()) != len(texts):
            raise RuntimeError(f"nlp-adapt predict ended with {code}")

    def _time(self, courses: dict[str, Course]) -> None:
        for course in courses.values():
            for _ in range(self.args.warm_up):
                course.step()
        in_turns(courses, self.args.rounds, lambda course, _: course.round(self.args.steps))


SECTIONS: dict[str, Callable[[Bench], str]] = {
    "training": Bench.training,
    "frozen": Bench.frozen,
    "adapters": Bench.adapters,
    "memory": Bench.memory,
    "prediction": Bench.prediction,
}


def main() -> None:
    """Measure and write the page."""
    args = parse_arguments()
    before, started = load(), time.perf_counter()
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        sections = []
        for name in args.only:
            sections.append(SECTIONS[name](bench))
            print(sections[-1], flush=True)
            gc.collect()
    minutes = (time.perf_counter() - started) / 60
    head = (
        f"# Speed\n\n`{args.model}`, {args.source} to {args.target}, batches of {args.batch_size} "
        f"rows a domain, at most {args.max_length} tokens, {bench.precision}, on "
        f"{machine(bench.device)}; torch {torch.__version__}. The load of the machine was "
        f"{before:.1f} before and {load():.1f} at the end of these {minutes:.0f} minutes. Medians "
        f"of {args.rounds} rounds of {args.steps} steps, taken in turns, with quartiles; ratios "
        "are taken within each round. Made by `scripts/benchmark_speed.py`.\n"
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join([head, *sections]), encoding="utf-8")
    print(args.out)


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="builtin:minilm-l6")
    parser.add_argument("--source", default="builtin:snippets/movie")
    parser.add_argument("--target", default="builtin:snippets/tweets")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--batch_size", type=int, default=32, help="rows per domain")
    parser.add_argument("--max_length", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rows", type=int, help="training rows of each domain; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8, help="steps of each in a round")
    parser.add_argument("--warm_up", type=int, default=WARM_UP, help="steps of each beforehand")
    parser.add_argument("--memory_steps", type=int, default=2000)
    parser.add_argument("--memory_batch_size", type=int, default=4, help="rows per domain")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/speed.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
