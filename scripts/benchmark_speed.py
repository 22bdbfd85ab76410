"""Measure the speed of training steps and of prediction, as ratios taken in one run.

    python scripts/benchmark_speed.py --out docs/benchmarks/speed.md

What is compared runs in turns, a few steps of each a round, so that a machine that is busy now and
then slows all of them alike. Tables give the median over the rounds and the range. Every number is
in real tokens: padding is never counted as work done.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from nlp_adapt import AdaptationConfig, AdaptationTrainer, load_domain
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.preprocessing import collate
from nlp_adapt.inference import Predictor
from nlp_adapt.methods import stages_for
from nlp_adapt.modeling.discriminator import DomainDiscriminator, reverse_gradient
from nlp_adapt.modeling.layers import encoder_layers, encoder_of
from nlp_adapt.training.accelerator import make_accelerator, precision_of
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.stages import StagedTraining

WARM_UP = 3


class Meter(RunLog):
    """Takes the place of a run's log: keeps the last step's token counts."""

    def __init__(self, accelerator: Any) -> None:
        super().__init__(None, accelerator, 10**9, show_bar=False)
        self.tokens = self.padded = 0.0

    def step(self, step: int, terms: dict[str, Any], **numbers: float) -> None:
        """Keep the counts."""
        self.tokens, self.padded = numbers["tokens"], numbers["padded"]


@dataclass
class Course:
    """Steps that can be timed one after the other.

    Attributes:
        step: Runs one step and returns its real and its padded tokens.
        speeds: Real tokens a second, one number a round.
        seconds: Seconds a step, one number a round.
        real: Real tokens so far.
        padded: Tokens with padding so far.
    """

    step: Callable[[], tuple[float, float]]
    speeds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    real: float = 0.0
    padded: float = 0.0

    def round(self, steps: int) -> None:
        """Time a few steps."""
        started, tokens = time.perf_counter(), 0.0
        for _ in range(steps):
            real, padded = self.step()
            tokens += real
            self.real += real
            self.padded += padded
        elapsed = time.perf_counter() - started
        self.speeds.append(tokens / elapsed)
        self.seconds.append(elapsed / steps)

    @property
    def padding(self) -> float:
        """Share of padding."""
        return 1 - self.real / self.padded if self.padded else 0.0


def main() -> None:
    args = parse_arguments()
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        sections = [
            bench.adversary_and_padding(),
            bench.frozen_layers(),
            bench.adapters(),
            bench.memory(),
            bench.prediction(),
        ]
    threads = f"{torch.get_num_threads()} threads" if bench.device.type == "cpu" else "a GPU"
    head = (
        f"# Speed\n\n`{args.model}`, {args.source} to {args.target}, batches of {args.batch_size} "
        f"rows a domain, at most {args.max_length} tokens, {bench.precision}, on "
        f"{platform.machine()} with {threads}; torch {torch.__version__}. Medians of "
        f"{args.rounds} rounds of {args.steps} steps, taken in turns, with their range; made by "
        "`scripts/benchmark_speed.py`.\n"
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join([head, *sections]), encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))


class Bench:
    """The data and settings that all measurements share."""

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        self.args = args
        self.folder = folder
        self.source = load_domain(args.source)
        self.target = load_domain(args.target)
        self.trainer = self._trainer()
        self.accelerator = make_accelerator(self.trainer.args)
        self.precision = precision_of(self.accelerator)
        self.device = self.accelerator.device

    def _trainer(self, **options: Any) -> AdaptationTrainer:
        config = AdaptationConfig(
            **{
                "output_dir": self.folder,
                "precision": self.args.precision,
                "max_length": self.args.max_length,
                "max_source_rows": self.args.rows,
                "max_target_rows": self.args.rows,
                "per_device_train_batch_size": self.args.batch_size,
                "max_steps": 10**5,
                "data_doctor": "off",
                "disable_tqdm": True,
                **options,
            }
        )
        return AdaptationTrainer(self.args.model, config, self.source, self.target)

    def course(self, **options: Any) -> Course:
        """Steps of a method, as a run takes them."""
        return Course(self.stepper(**options))

    def stepper(self, **options: Any) -> Callable[[], tuple[float, float]]:
        """The step function of a method's first stage."""
        trainer = self._trainer(**options)
        trainer._data = self.trainer.data
        meter = Meter(self.accelerator)
        training = StagedTraining(
            name="adapted", title="", accelerator=self.accelerator, config=trainer.args,
            task_model=trainer.fresh_model().to(self.device),
            tokenizer=trainer.processing_class, rows=trainer.data.train, outside=None, log=meter,
            checkpoints=None,
        )  # fmt: skip
        stage = stages_for(trainer.args)[0]
        model = training.build_stage(stage)
        batches = training.paired_batches(model, 10**5, 1)
        loop = StageLoop(self.accelerator, model, batches, trainer.args, 5e-5, meter)
        model.cached = training.cached_trunk(model, stage)
        if model.cached is not None:
            loop.batches = training.paired_batches(model, 10**5, 1)
        loop.wrapped.train()

        def step() -> tuple[float, float]:
            loop._run_step()
            return meter.tokens, meter.padded

        for _ in range(WARM_UP):
            step()
        step.trainable = sum(  # type: ignore[attr-defined]
            one.numel() for one in model.task_model.parameters() if one.requires_grad
        )
        return step

    def adversary_and_padding(self) -> str:
        """DANN against source-only at the same token batch, and against a plain loop."""
        courses = {
            "source_only": self.course(
                method="source_only", per_device_train_batch_size=2 * self.args.batch_size
            ),
            "dann": self.course(method="dann"),
            "plain two-pass DANN, float32, padded to the longest row": Course(self.plain_dann()),
        }
        self._in_turns(courses)
        first = next(iter(courses.values()))
        rows = [
            [name, spread(one.speeds, 0), f"{one.padding:.1%}", ratio(one.speeds, first.speeds)]
            for name, one in courses.items()
        ]
        plain = list(courses.values())[-1]
        dann = courses["dann"]
        text = table(["steps of", "real tokens / s", "padding", "against source_only"], rows)
        return (
            f"## Training steps\n\n{text}\nThe same number of rows a step in each: source_only "
            f"reads {2 * self.args.batch_size} source rows. DANN against the plain loop: "
            f"{ratio(dann.speeds, plain.speeds)} times its real tokens a second.\n"
        )

    def plain_dann(self) -> Callable[[], tuple[float, float]]:
        """What a first implementation does: no mixed precision, no lengths, one pass a domain."""
        model = self.trainer.fresh_model().to(self.device).train()
        discriminator = DomainDiscriminator(int(model.config.hidden_size)).to(self.device)
        optimizer = torch.optim.AdamW(
            [*model.parameters(), *discriminator.parameters()], lr=5e-5, fused=False
        )
        sides = self.trainer.data.train
        longest = max(int(rows.lengths.max()) for rows in sides.values())
        generator = np.random.default_rng(0)
        pad_id = self.trainer.processing_class.pad_token_id or 0

        def half(name: str) -> tuple[Any, Any, Any, float, float]:
            chosen = generator.choice(len(sides[name]), self.args.batch_size, replace=False)
            raw = collate([(sides[name], chosen)], width=longest, pad_id=pad_id)
            batch = {key: torch.from_numpy(value).to(self.device) for key, value in raw.items()}
            hidden = encoder_of(model)(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            )
            pooled = hidden[1] if len(hidden) > 1 else hidden[0][:, 0]
            real, padded = float(raw["attention_mask"].sum()), float(raw["attention_mask"].size)
            return pooled, model.classifier, batch["labels"], real, padded

        def step() -> tuple[float, float]:
            source, classifier, labels, real_source, padded_source = half("source")
            target, _, _, real_target, padded_target = half("target")
            domains = torch.cat(
                [torch.zeros(len(source)), torch.ones(len(target))]
            ).long().to(self.device)  # fmt: skip
            reversed_features = reverse_gradient(torch.cat([source, target]), 0.5)
            loss = F.cross_entropy(classifier(source), labels)
            loss = loss + F.cross_entropy(discriminator(reversed_features), domains)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return real_source + real_target, padded_source + padded_target

        step()
        return step

    def frozen_layers(self) -> str:
        """Steps with nothing, half and all of the encoder frozen, with and without the cache."""
        depth = len(encoder_layers(self.trainer.fresh_model()))
        courses = {"freeze: none": self.course()}
        for what in (depth // 2, "all"):
            courses[f"freeze: {what}, run at each step"] = self.course(
                freeze=what, cache_features=False
            )
            courses[f"freeze: {what}, cached"] = self.course(freeze=what)
        self._in_turns(courses)
        first = next(iter(courses.values()))
        rows = [
            [name, milliseconds(one.seconds), ratio(first.seconds, one.seconds)]
            for name, one in courses.items()
        ]
        return f"## Frozen layers (of {depth})\n\n{table(['dann with', 'ms a step', 'speed-up'], rows)}"

    def adapters(self) -> str:
        """LoRA against training every weight."""
        courses = {
            name: self.course(**options)
            for name, options in (
                ("every weight", {}),
                ("lora, all linear maps", {"lora": True}),
                ("lora, attention", {"lora": True, "lora_targets": "attention"}),
                ("ia3", {"lora": True, "lora_type": "ia3"}),
            )
        }
        self._in_turns(courses)
        first = next(iter(courses.values()))
        rows = []
        for name, one in courses.items():
            count = one.step.trainable  # type: ignore[attr-defined]
            # A gradient and AdamW's two moments, four bytes each.
            rows.append(
                [name, f"{count:,}", f"{12 * count / 2**20:.1f}", milliseconds(one.seconds),
                 ratio(one.seconds, first.seconds)]
            )  # fmt: skip
        heads = ["training", "trained numbers", "MiB of gradients and moments", "ms a step",
                 "time against every weight"]  # fmt: skip
        return f"## Adapters\n\n{table(heads, rows)}"

    def memory(self) -> str:
        """Growth of the process's memory over many steps."""
        total, first = self.args.memory_steps, max(1, self.args.memory_steps // 10)
        step = self.stepper()
        marks = {}
        for number in range(1, total + 1):
            step()
            if number in (first, total):
                gc.collect()
                marks[number] = resident_mib()
        growth = marks[total] - marks[first]
        return (
            f"## Memory\n\nResident memory after {first:,} steps of dann: {marks[first]:,.0f} MiB; "
            f"after {total:,}: {marks[total]:,.0f} MiB ({growth:+,.0f} MiB).\n"
        )

    def prediction(self) -> str:
        """Labels for many texts, against `transformers.pipeline` as it comes."""
        from transformers import pipeline

        pool = [*self.source.splits["train"]["text"], *self.target.without_labels()["text"]]
        texts = [pool[index % len(pool)] for index in range(self.args.texts)]
        model = self.trainer.fresh_model().eval()
        tokenizer = self.trainer.processing_class
        ours = Predictor(
            copy.deepcopy(model).to(self.device), tokenizer, self.trainer.task,
            precision=self.precision, max_length=self.args.max_length,
        )  # fmt: skip
        theirs = pipeline("text-classification", model=model, tokenizer=tokenizer,
                          device=self.device)  # fmt: skip
        runs: dict[str, tuple[Callable[[Sequence[str]], Any], list[float]]] = {
            "pipeline(...)": (lambda part: theirs(part, truncation=True), []),
            "nlp_adapt": (ours.predict, []),
        }
        for part in np.array_split(np.array(texts, dtype=object), self.args.rounds):
            for call, speeds in runs.values():
                started = time.perf_counter()
                call(list(part))
                speeds.append(len(part) / (time.perf_counter() - started))
        baseline = runs["pipeline(...)"][1]
        rows = [[name, spread(one, 0), ratio(one, baseline)] for name, (_, one) in runs.items()]
        heads = ["prediction", "texts / s", "against pipeline"]
        return f"## Prediction of {len(texts):,} texts\n\n{table(heads, rows)}"

    def _in_turns(self, courses: dict[str, Course]) -> None:
        for _ in range(self.args.rounds):
            for course in courses.values():
                course.round(self.args.steps)


def spread(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def milliseconds(seconds: Sequence[float]) -> str:
    return spread([1000 * value for value in seconds], 1)


def ratio(values: Sequence[float], baseline: Sequence[float]) -> str:
    """Median and range of the ratio within each round."""
    return spread([one / other for one, other in zip(values, baseline, strict=True)], 2)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def resident_mib() -> float:
    """Memory of this process, in MiB."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:  # no procfs: the most it ever was
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="builtin:minilm-l6")
    parser.add_argument("--source", default="builtin:snippets/movie")
    parser.add_argument("--target", default="builtin:snippets/tweets")
    parser.add_argument("--batch_size", type=int, default=32, help="rows per domain")
    parser.add_argument("--max_length", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rows", type=int, help="training rows of each domain; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps of each in a round")
    parser.add_argument("--memory_steps", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/speed.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
