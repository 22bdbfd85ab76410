"""The data, settings and timing that all parts of the benchmark share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nlp_adapt import AdaptationConfig, AdaptationTrainer, load_domain
from nlp_adapt.training.accelerator import make_accelerator, precision_of
from speed.timing import Course, in_turns

MANY_STEPS = 10**5


class Bench:
    """Trainers with the benchmark's settings.

    Args:
        args: The benchmark's options.
        folder: An empty folder for what is written on the way.
        model: The encoder, if not that of `args`.
    """

    def __init__(self, args: argparse.Namespace, folder: str | Path, model: str = "") -> None:
        self.args = args
        self.folder = Path(folder)
        self.model = model or args.model
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
                "output_dir": str(self.folder / "run"),
                "precision": self.args.precision,
                "max_length": self.args.max_length,
                "max_source_rows": self.args.rows,
                "max_target_rows": self.args.rows,
                "per_device_train_batch_size": self.args.batch_size,
                "max_steps": MANY_STEPS,
                "data_doctor": "off",
                "disable_tqdm": True,
                "seed": self.args.seed,
                **options,
            }
        )
        return AdaptationTrainer(self.model, config, self.source, self.target)

    def time(self, courses: Mapping[str, Course]) -> None:
        """Run the courses in turns, after each has seen some shapes."""
        for course in courses.values():
            for _ in range(max(1, round(self.args.warm_up * course.share))):
                course.step()
        in_turns(courses, self.args.rounds, lambda course, _: course.round(self.args.steps))

    @property
    def turns(self) -> str:
        """How often courses are timed, in words."""
        return f"{self.args.rounds} rounds of {self.args.steps} steps"


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process, whose memory holds nothing of this one's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
