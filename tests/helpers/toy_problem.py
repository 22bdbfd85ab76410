"""Random outputs for loss tests, and a small shifted problem that adaptation can really solve.

Three Gaussian classes; the target is the source rotated and translated. A source-only model gets
about two thirds of the target right, one whose features are aligned nearly all.
"""

from __future__ import annotations

import copy
import math
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.training.model import AdaptationModel

CLASSES = 3
WORDS = 4
CENTRES = ((2.0, 0.5), (-0.3, 1.8), (-1.7, -2.0))
MOVE = (0.8, 0.8)


def make_outputs(
    seed: int = 0,
    source_units: int = 7,
    target_units: int = 5,
    features: int = 6,
    classes: int = 3,
    weighted: bool = False,
    ignored: int = 0,
    units_per_row: int = 1,
    dtype: torch.dtype = torch.float32,
) -> tuple[DomainOutput, DomainOutput]:
    """Random source and target, leaves that need gradients, with unequal numbers of units.

    Args:
        seed: Seed of the numbers.
        source_units: Units of the source; 0 makes it empty.
        target_units: Units of the target.
        features: Width of the features.
        classes: Number of classes.
        weighted: Whether units carry weights (mean 1).
        ignored: How many of the first source units have label -100.
        units_per_row: Words per sentence.
        dtype: Number format of features and logits.
    """
    generator = torch.Generator().manual_seed(seed)

    def side(units: int, domain: int, shift: float) -> DomainOutput:
        values = torch.randn(units, features, generator=generator) + shift
        logits = 2.0 * torch.randn(units, classes, generator=generator)
        labels = torch.randint(classes, (units,), generator=generator)
        weights = 0.2 + torch.rand(units, generator=generator)
        labels[: ignored if domain == 0 else units] = -100
        return DomainOutput(
            features=values.to(dtype).requires_grad_(),
            logits=logits.to(dtype).requires_grad_(),
            labels=labels,
            rows=torch.arange(units) // units_per_row,
            domains=torch.full((units,), domain),
            count=float(units),
            labelled=float((labels >= 0).sum()),
            weights=weights / weights.mean() if weighted and units else None,
        )

    return side(source_units, 0, 0.0), side(target_units, 1, 0.5)


class ToyModel(nn.Module):
    """An MLP in the shape of a task model: points are the embeddings of their index.

    Inputs are `input_ids` `[rows, words]` (or `inputs_embeds`); logits are `[rows, classes]`, or
    `[rows, words, classes]` at token level.
    """

    def __init__(self, points: Tensor, token_level: bool, classes: int = CLASSES, hidden: int = 16):
        super().__init__()
        self.config = PreTrainedConfig(num_labels=classes, hidden_size=hidden)
        self.token_level = token_level
        self.base_model = nn.ModuleDict(
            {
                "embeddings": nn.Embedding.from_pretrained(points, freeze=True),
                "encoder": nn.Sequential(
                    nn.Linear(points.shape[1], 32), nn.ReLU(), nn.Linear(32, hidden), nn.Tanh()
                ),
            }
        )
        self.classifier = nn.Linear(hidden, classes)

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model["embeddings"]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> Any:
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        hidden = self.base_model["encoder"](inputs_embeds)
        logits = self.classifier(hidden if self.token_level else hidden[:, 0])
        return SimpleNamespace(logits=logits, hidden_states=(inputs_embeds, hidden))


class ToyDomains:
    """Points and labels of both domains, and batches of them as `data.collate` makes them."""

    def __init__(
        self,
        seed: int,
        token_level: bool = False,
        target_priors: tuple[float, ...] | None = None,
        angle: float = 45.0,
        units: int = 960,
    ) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        uniform = torch.full((CLASSES,), 1.0 / CLASSES)
        priors = uniform if target_priors is None else torch.tensor(target_priors)
        self.units, self.words = units, WORDS if token_level else 1
        self.generator = generator
        labels = [
            torch.multinomial(prior, units, replacement=True, generator=generator)
            for prior in (uniform, priors)
        ]
        self.labels = torch.cat(labels)
        self.points = torch.cat([self._points(labels[0]), shifted(self._points(labels[1]), angle)])

    def _points(self, labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), 2, generator=self.generator)
        return torch.tensor(CENTRES)[labels] + 0.45 * noise

    def batch(self, rows: int) -> dict[str, Any]:
        """`rows` random source rows, then `rows` target rows, whose labels are hidden."""
        size = rows * self.words
        source = torch.randint(self.units, (size,), generator=self.generator)
        target = torch.randint(self.units, (size,), generator=self.generator) + self.units
        return self._collate(torch.cat([source, target]), size)

    def target(self) -> tuple[dict[str, Any], Tensor]:
        """All of the target, and its labels."""
        chosen = torch.arange(self.units, 2 * self.units)
        return self._collate(chosen, 0), self.labels[chosen]

    def _collate(self, chosen: Tensor, source_units: int) -> dict[str, Any]:
        ids = chosen.view(-1, self.words)
        known = torch.arange(len(chosen)) < source_units
        batch = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": torch.where(known, self.labels[chosen], -100),
            "unit_rows": torch.arange(len(chosen)) // self.words,
            "domains": (~known).long(),
            "source_units": source_units,
            "source_count": float(source_units),
            "source_labelled": float(source_units),
            "target_count": float(len(chosen) - source_units),
            "target_labelled": 0.0,
        }
        if self.words > 1:
            batch["unit_positions"] = torch.arange(len(chosen))
        return batch


def shifted(points: Tensor, angle: float) -> Tensor:
    """`points`, rotated by `angle` degrees and moved."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return points @ torch.tensor([[cosine, sine], [-sine, cosine]]) + torch.tensor(MOVE)


def train_on_toy(
    objectives: dict[str, dict[str, Any]],
    seed: int = 0,
    token_level: bool = False,
    steps: int = 150,
    source_steps: int = 0,
    target_priors: tuple[float, ...] | None = None,
    angle: float = 45.0,
) -> float:
    """Accuracy on the target after training with `objectives`, such as `{"task": {}, "dann": {}}`.

    Args:
        objectives: Options of each objective by name.
        seed: Seed of data, weights and batches.
        token_level: Whether units are words, four to a row.
        steps: Optimizer steps.
        source_steps: Steps on the source alone before the objectives are built, as a first stage.
        target_priors: Class priors of the target; default: uniform, as in the source.
        angle: Degrees by which the target is rotated; fewer are easier.
    """
    begun = _trained_on_source(seed, token_level, source_steps, target_priors, angle)
    model, domains, random_state = copy.deepcopy(begun)
    torch.set_rng_state(random_state)
    _train(model, domains, objectives, steps)
    model.eval()
    batch, labels = domains.target()
    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
    return (logits.flatten(0, -2).argmax(-1) == labels).float().mean().item()


@cache
def _trained_on_source(
    seed: int,
    token_level: bool,
    steps: int,
    target_priors: tuple[float, ...] | None,
    angle: float,
) -> tuple[ToyModel, ToyDomains, Tensor]:
    """Where all objectives begin, and the random state then."""
    torch.manual_seed(seed)
    domains = ToyDomains(seed, token_level, target_priors, angle)
    model = ToyModel(domains.points, token_level)
    if steps:
        _train(model, domains, {"task": {}}, steps)
    return model, domains, torch.get_rng_state()


def _train(
    model: ToyModel, domains: ToyDomains, objectives: dict[str, dict[str, Any]], steps: int
) -> None:
    setup = Setup(
        features=model.config.hidden_size,
        num_labels=CLASSES,
        label_counts=torch.bincount(domains.labels[: domains.units], minlength=CLASSES).float(),
        task_model=model,
        token_level=model.token_level,
    )
    built = {name: build_objective(name, own, setup) for name, own in objectives.items()}
    adapted = AdaptationModel(model, UnitReader(model), built).train()
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=5e-3, betas=(0.9, 0.99), fused=True)
    for step in range(steps):
        progress = Progress(step, steps)
        optimizer.zero_grad()
        adapted(domains.batch(48 // domains.words), progress)["loss"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        for objective in built.values():
            objective.after_step(model, progress)
