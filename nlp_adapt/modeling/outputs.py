"""What an objective sees of a batch: units, one row of each tensor per labelled thing.

A unit is a sentence in sequence classification and a word in token classification. Padding,
special tokens and continuation pieces are gone before an objective is asked, so one objective
serves both tasks.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nlp_adapt.names import IGNORED_LABEL

Terms = dict[str, Tensor]
"""Named scalars of an objective: losses, and measurements under names that hold a `/`."""


@dataclass(frozen=True)
class Progress:
    """How far a stage has come, in applied optimizer steps."""

    step: int
    total_steps: int

    @property
    def fraction(self) -> float:
        """Share of the stage that is done, from 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))


@dataclass(frozen=True)
class DomainOutput:
    """The units of one side in one micro-batch: of a source or target, or of several of them.

    Attributes:
        features: `[units, features]`, what discriminators and discrepancies read.
        logits: `[units, classes]`, the task model's own.
        labels: `[units]` class indices, -100 where unknown; all -100 for the target, but for rows
            that the user released for training.
        rows: `[units]` index of the batch row that each unit comes from.
        domains: `[units]` domain index: 0 .. k-1 for k sources, then the targets.
        count: How many units of this side one micro-batch holds on average over the whole
            optimizer step (all processes and micro-batches): the denominator that makes a mean
            independent of how rows were dealt.
        labelled: The same for labelled units.
        weights: `[units]` relative weight of each unit in alignment terms, or None for equal ones.
        teacher: `[units, classes]` logits of a teacher model, where the run distils one.
        balance: `[units]` factor of each unit that gives every domain of the side its share of a
            mean; over the whole step they sum to the number of units. None for a single domain.
        importance: `[units]` factor of each labelled unit in the task loss, or None.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    rows: Tensor
    domains: Tensor
    count: float
    labelled: float
    weights: Tensor | None = None
    teacher: Tensor | None = None
    balance: Tensor | None = None
    importance: Tensor | None = None

    def __len__(self) -> int:
        return self.features.shape[0]

    @property
    def probabilities(self) -> Tensor:
        """`[units, classes]` softmax of the logits in float32."""
        return self.logits.float().softmax(-1)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over units of `values` `[units]`; zero, with a gradient, for an empty batch.

        Where the side has several domains, it is the mean over each, and then over them.
        """
        factors = self.factors
        if factors is not None:
            values = values * factors
        return values.sum() / max(self.count, 1e-12)

    @property
    def factors(self) -> Tensor | None:
        """`[units]` how much each unit counts in a mean, 1 on average; None for equal ones.

        Weights are relative to those of the same domain: what they mean differs between domains,
        such as how certain the model is, changes no domain's share.
        """
        if self.balance is None:
            if self.weights is None:
                return None
            return self.weights / self.weights.mean().clamp_min(1e-12)
        if self.weights is None:
            return self.balance
        domains = int(self.domains.max()) + 1 if len(self) else 0
        sums = self.weights.new_zeros(domains).index_add(0, self.domains, self.weights)
        means = sums / torch.bincount(self.domains, minlength=domains).clamp_min(1)
        return self.balance * self.weights / means.clamp_min(1e-12)[self.domains]

    def by_row(self) -> "DomainOutput":
        """Units averaged within their batch row: words become their sentence.

        Logits become log mean probabilities, so that a softmax gives the mean back.
        """
        rows, inverse = torch.unique(self.rows, return_inverse=True)
        if len(rows) == len(self):
            return self
        counts = torch.bincount(inverse, minlength=len(rows)).unsqueeze(1)

        def pooled(values: Tensor) -> Tensor:
            sums = values.new_zeros(len(rows), values.shape[1]).index_add(0, inverse, values)
            return sums / counts.to(values.dtype)

        first = torch.full_like(rows, len(self)).scatter_reduce(
            0, inverse, torch.arange(len(self), device=rows.device), "amin"
        )
        return replace(
            self,
            features=pooled(self.features),
            logits=pooled(self.probabilities).clamp_min(1e-12).log(),
            labels=torch.full_like(rows, IGNORED_LABEL),
            rows=rows,
            domains=self.domains[first],
            count=float(len(rows)),
            labelled=0.0,
            weights=None,
            teacher=None,
            importance=None,
            balance=None if self.balance is None else self._row_balance(self.domains[first]),
        )

    def _row_balance(self, domains: Tensor) -> Tensor:
        """`[rows]` factors that give each domain the share that its units have here.

        Args:
            domains: `[rows]` domain of each row.
        """
        assert self.balance is not None
        size = int(self.domains.max()) + 1
        masses = self.balance.new_zeros(size).index_add(0, self.domains, self.balance)
        counts = torch.bincount(domains, minlength=size).clamp_min(1)
        return (masses / counts)[domains] * (len(domains) / masses.sum().clamp_min(1e-12))
