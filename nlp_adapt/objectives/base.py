"""The contract of an objective: one term of the loss.

It is an `nn.Module` that turns features, logits and labels of both domains into named scalars. It
never sees the encoder, the task or the data, so one file serves sentences and words. One that needs
its own view of the text (masked tokens, a teacher, perturbed embeddings) overrides `forward` and
asks the `StepView` for another pass.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.mixing import APART
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.options import check_options, coerce, option
from nlp_adapt.usual_names import nearest

SOURCE_SIDE = frozenset({"source"})
TARGET_SIDE = frozenset({"target"})
BOTH_SIDES = SOURCE_SIDE | TARGET_SIDE

# Share of a stage in which the encoder waits for an objective that begins anew.
HEADS_ALONE = 0.2

Encode = Callable[[dict[str, Any]], tuple[DomainOutput, DomainOutput]]


@dataclass(kw_only=True)
class ObjectiveConfig:
    """Options that every objective has, checked against their choices and bounds."""

    weight: float = option(1.0, "factor of this term in the total loss")

    def __post_init__(self) -> None:
        check_options(self)

    def following(self, recipe: Mapping[str, Any]) -> Any:
        """A copy whose unset options take the recipe's values, or else the recipe's defaults."""
        values = dict(vars(self))
        for item in dataclasses.fields(self):
            name = item.metadata["recipe"]
            if name is not None and values[item.name] is None:
                values[item.name] = recipe.get(name, getattr(AdaptationConfig, name))
        return type(self)(**values)


@dataclass(frozen=True)
class AuxiliarySpec:
    """What the objective `auxiliary` knows of one of its tasks.

    Attributes:
        weight: Factor of its loss beside those of other auxiliary tasks.
        words: Whether words carry its labels, not whole rows.
        share: Its rows in a batch, as a share of the source's.
    """

    name: str
    num_labels: int
    weight: float = 1.0
    words: bool = False
    share: float = 1.0

    @property
    def side(self) -> str:
        """What a batch calls its rows."""
        return f"{APART}{self.name}"


@dataclass(frozen=True)
class Setup:
    """What an objective knows when it is built.

    Attributes:
        features: Width of `DomainOutput.features`.
        num_labels: Number of task classes.
        label_counts: `[num_labels]` training label counts of all sources.
        source_label_counts: `[num_sources, num_labels]` those of each of several sources.
        task_model: The model under training, for teachers and tied embeddings.
        twin: Loads the run's finished source-only model, a plain one; None where there is none.
        tokenizer: Its tokenizer, for objectives that edit the text.
        defaults: The recipe's options, which options of objectives may follow (`lambda_max`).
        token_level: Whether units are words.
        outside: Index of the tag `O`, where units are words.
        tokens: Training rows of each side, without labels: token ids one after the other, and where
            each row begins.
        target_shares: `[num_labels]` class frequencies that the user knows the target to have.
    """

    features: int
    num_labels: int
    num_sources: int = 1
    num_targets: int = 1
    label_counts: Tensor = field(default_factory=lambda: torch.ones(0))
    source_label_counts: Tensor = field(default_factory=lambda: torch.ones(0, 0))
    task_model: Any = None
    twin: Callable[[], nn.Module] | None = None
    tokenizer: Any = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    token_level: bool = False
    outside: int | None = None
    tokens: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    auxiliary: tuple[AuxiliarySpec, ...] = ()
    target_shares: Tensor | None = None


@dataclass
class StepView:
    """One micro-batch as an objective sees it; the main forward pass runs on first use.

    Attributes:
        batch: The model inputs of both domains, source rows first (see `data.batches`).
        encode: Runs the task model on (possibly changed) inputs and splits the result by domain.
        skipping: Within `skipping(copy, batch)`, a copy of the task model does not run frozen
            layers whose output for the batch, or a side of it, is known.
        weighted: Gives the source units of the main pass their `importance` in the task loss.
    """

    batch: dict[str, Any]
    progress: Progress
    encode: Encode
    task_model: nn.Module
    skipping: Callable[[nn.Module, dict[str, Any]], AbstractContextManager[None]] = field(
        default=lambda copy, inputs: nullcontext(), kw_only=True
    )
    weighted: Callable[[DomainOutput], DomainOutput] = field(
        default=lambda source: source, kw_only=True
    )

    @cached_property
    def outputs(self) -> tuple[DomainOutput, DomainOutput]:
        """Source and target of the main forward pass."""
        source, target = self.encode(self.batch)
        return self.weighted(source), target

    @property
    def source(self) -> DomainOutput:
        """The source units."""
        return self.outputs[0]

    @property
    def target(self) -> DomainOutput:
        """The target units, without labels."""
        return self.outputs[1]


class Objective(nn.Module):
    """Base class of all terms.

    Attributes:
        config_class: Dataclass of the objective's options.
        reads: The sides of a batch that it reads, unless an option says otherwise (see `sides`).
        trains_task_head: Whether gradients reach the task head.
        perturbs_embeddings: Whether it hooks into the embeddings, which a compiled encoder ignores.
        copies_model: Whether it keeps a copy of the task model, such as a teacher.
        asks_teacher: Whether the run's `teacher` must answer the rows of its sides before training.
        made_anew: Submodules that each run makes itself, such as a teacher: only a checkpoint in
            the middle of a stage needs their state.
        begins_anew: Whether it owns a part that has learnt nothing yet and must learn to read the
            encoder before it may move it: the encoder then waits for a share of the stage.
        summary: One line for `nlp-adapt methods`.
        paper: Reference.
    """

    config_class: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    reads: ClassVar[frozenset[str]] = BOTH_SIDES
    trains_task_head: ClassVar[bool] = False
    perturbs_embeddings: ClassVar[bool] = False
    copies_model: ClassVar[bool] = False
    asks_teacher: ClassVar[bool] = False
    made_anew: ClassVar[tuple[str, ...]] = ()
    begins_anew: bool = False
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__()
        self.config = config.following(setup.defaults)

    @classmethod
    def sides(cls, config: ObjectiveConfig) -> frozenset[str]:
        """The sides that it reads; the option `domains` decides where there is one."""
        domains = getattr(config, "domains", None)
        if domains is None:
            return cls.reads
        return BOTH_SIDES if domains == "both" else frozenset({domains})

    @classmethod
    def check(cls, options: Any, config: AdaptationConfig) -> None:
        """Refuse, before anything is read, a run that it cannot serve with these `config_class` options."""

    @classmethod
    def read_options(cls, name: str, options: Mapping[str, object]) -> ObjectiveConfig:
        """Check `options` against the config class and make it."""
        schema = typing.get_type_hints(cls.config_class)
        known = [item.name for item in dataclasses.fields(cls.config_class)]
        for key in options:
            if key not in known:
                raise ConfigError(
                    f"objective '{name}' has no option '{key}'{nearest(key, known)} "
                    f"(it has {', '.join(known)})"
                )
        values = {
            key: coerce(f"{name}.{key}", value, schema[key]) for key, value in options.items()
        }
        try:
            return cls.config_class(**values)
        except ConfigError as error:
            raise ConfigError(f"{name}.{error}") from None

    @property
    def reads_rows_as_they_are(self) -> bool:
        """Whether it needs neither edited rows or embeddings nor frozen layers."""
        return type(self).forward is Objective.forward

    @property
    def other_reader(self) -> nn.Module | None:
        """A model of its own that reads a batch's rows beside the one under training."""
        return None

    def importance(self, source: DomainOutput) -> Tensor | None:
        """`[units]` factors of the source units in the task loss; None: all count the same."""
        return None

    def start(self, task_model: nn.Module) -> None:
        """Called when a stage begins, with the model as it is then (a teacher copies it)."""

    def forward(self, view: StepView) -> Terms:
        """Terms of one micro-batch; override only to take another view of the text."""
        return self.losses(view.source, view.target, view.progress)

    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """Named scalars: loss terms, and measurements under names that hold a `/`.

        A term such as `dann` is added to the total loss; a measurement such as `dann/accuracy` is
        logged and carries no gradient.
        """
        raise NotImplementedError

    def after_step(self, task_model: nn.Module, progress: Progress) -> None:
        """Called after each applied optimizer step, outside the graph (a teacher updates here)."""


def lambda_at(schedule: str, maximum: float, progress: Progress, warmup: float = 0.0) -> float:
    """Strength of the gradient reversal at `progress`.

    `sigmoid` is `maximum * (2 / (1 + exp(-10 p)) - 1)` (Ganin et al. 2016); `p` runs from 0 to 1
    over the stage, after a share `warmup` in which the strength is 0.
    """
    share = (progress.fraction - warmup) / (1.0 - warmup)
    if share < 0.0:
        return 0.0
    if schedule == "constant":
        return maximum
    if schedule == "linear":
        return maximum * share
    return maximum * (2.0 / (1.0 + math.exp(-10.0 * share)) - 1.0)
