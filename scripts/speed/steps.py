"""Training steps to be timed: those of a run, and those of a first implementation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from nlp_adapt import AdaptationTrainer
from nlp_adapt.data.batches.encoded import collate
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.modeling.architectures import encoder_of
from nlp_adapt.modeling.discriminator import DomainDiscriminator, reverse_gradient
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.model import prepare_encoder
from nlp_adapt.training.schedule import Schedule
from nlp_adapt.training.stages import StagedTraining
from speed.bench import MANY_STEPS, Bench


class Meter(RunLog):
    """Takes the place of a run's log: keeps the last step's token counts and all waits."""

    def __init__(self, accelerator: Any) -> None:
        super().__init__(None, accelerator, 10**9, show_bar=False)
        self.tokens = self.padded = 0.0
        self.waited: list[float] = []

    def step(self, step: int, terms: dict[str, Any], **numbers: float) -> None:
        """Keep the counts, and the seconds that the batch took."""
        self.tokens, self.padded = numbers["tokens"], numbers["padded"]
        self.waited.append(numbers["data_seconds"])


class Stepper:
    """Runs the steps of a method's first stage, one a call, as a run takes them.

    Args:
        trainer: The data and settings.
        accelerator: That of its runs.
        both_sides: Whether to read the target's rows too, though no objective does.
    """

    def __init__(
        self, trainer: AdaptationTrainer, accelerator: Any, both_sides: bool = False
    ) -> None:
        self.meter, device = Meter(accelerator), accelerator.device
        context = dataclasses.replace(trainer.context, accelerator=accelerator)
        training = StagedTraining(context, Schedule.of(context), "adapted", self.meter)
        stage = context.stages[0]
        model = training.build_stage(stage)
        prepare_encoder(model.task_model, trainer.args, stage.objectives, device)
        batches = training.inputs.paired_batches(model, MANY_STEPS, 1)
        if both_sides:
            batches = PairedBatches(
                dict(training.rows), total_steps=MANY_STEPS, batch_size=batches.batch_size,
                pad_id=batches.pad_id, seed=1, divide=batches.divide,
            )  # fmt: skip
        self.loop = StageLoop(accelerator, model, batches, trainer.args, 5e-5, self.meter)
        model.cached = training.inputs.cached_trunk(model, stage)
        if model.cached is not None:
            self.loop.batches = training.inputs.paired_batches(model, MANY_STEPS, 1)
        self.steps = self.loop.steps()
        parameters = model.task_model.parameters()
        self.trainable = sum(one.numel() for one in parameters if one.requires_grad)

    @classmethod
    def of(cls, bench: Bench, both_sides: bool = False, **options: Any) -> Stepper:
        """Steps with the data and settings of a benchmark, and these options of the run."""
        trainer = bench.trainer_with(**options)
        trainer.context = dataclasses.replace(trainer.context, prepared=bench.trainer.data)
        return cls(trainer, bench.accelerator, both_sides)

    def __call__(self) -> tuple[float, float]:
        """One step; its real and its padded tokens."""
        next(self.steps)
        return self.meter.tokens, self.meter.padded

    def padding(self, steps: int = 512) -> float:
        """Share of padding in the run's first steps, which need not be taken for it."""
        real = padded = 0
        for number in range(steps):
            for batch in self.loop.batches.step(number):
                real += int(batch["attention_mask"].sum())
                padded += sum(rows * width for rows, width in batch["passes"])
        return 1 - real / padded

    def shapes(self, steps: int) -> int:
        """How many different batch shapes the first steps have."""
        batches = (batch for number in range(steps) for batch in self.loop.batches.step(number))
        return len({shape for batch in batches for shape in batch["passes"]})


class PlainDann:
    """What a first implementation does: no mixed precision, no lengths, one pass a domain.

    Args:
        bench: The data and settings.
    """

    def __init__(self, bench: Bench) -> None:
        self.device, self.batch_size = bench.device, bench.args.batch_size
        self.sides = bench.trainer.data.train
        self.longest = max(int(rows.lengths.max()) for rows in self.sides.values())
        self.pad_id = bench.trainer.processing_class.pad_token_id or 0
        self.generator = np.random.default_rng(0)
        self.model = bench.trainer.fresh_model().to(self.device).train()
        size = int(self.model.config.hidden_size)
        self.discriminator = DomainDiscriminator(size).to(self.device)
        self.optimizer = torch.optim.AdamW(
            [*self.model.parameters(), *self.discriminator.parameters()], lr=5e-5, fused=False
        )

    def __call__(self) -> tuple[float, float]:
        """One step; its real and its padded tokens."""
        source, labels, real_source, padded_source = self._read("source")
        target, _, real_target, padded_target = self._read("target")
        domains = torch.cat([torch.zeros(len(source)), torch.ones(len(target))])
        reversed_features = reverse_gradient(torch.cat([source, target]), 0.5)
        loss = F.cross_entropy(self.model.classifier(source), labels)
        loss = loss + F.cross_entropy(
            self.discriminator(reversed_features), domains.long().to(self.device)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return real_source + real_target, padded_source + padded_target

    def _read(self, side: str) -> tuple[Any, Any, float, float]:
        """Features and labels of some rows of a side, and their real and padded tokens."""
        rows = self.sides[side]
        chosen = self.generator.choice(len(rows), self.batch_size, replace=False)
        raw = collate([(rows, chosen)], width=self.longest, pad_id=self.pad_id)
        batch = {name: torch.from_numpy(value).to(self.device) for name, value in raw.items()}
        outputs = encoder_of(self.model)(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        )
        features = outputs[1] if len(outputs) > 1 else outputs[0][:, 0]
        mask = raw["attention_mask"]
        return features, batch["labels"], float(mask.sum()), float(mask.size)
