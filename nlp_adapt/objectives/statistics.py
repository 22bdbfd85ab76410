"""Statistics over units that several objectives share, in float32 and safe on empty sides."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress

Losses = Callable[[Any, DomainOutput, DomainOutput, Progress], dict[str, Tensor]]


def full_precision(losses: Losses) -> Losses:
    """Decorates `Objective.losses`: float32 features and logits, and no autocast inside.

    Differences of moments and probabilities near 0 or 1 do not survive bf16.
    """

    @functools.wraps(losses)
    def in_float32(
        self: Any, source: DomainOutput, target: DomainOutput, progress: Progress
    ) -> dict[str, Tensor]:
        with torch.autocast(source.features.device.type, enabled=False):
            return losses(self, _as_float32(source), _as_float32(target), progress)

    return in_float32


def _as_float32(output: DomainOutput) -> DomainOutput:
    return replace(output, features=output.features.float(), logits=output.logits.float())


def zero(*outputs: DomainOutput) -> Tensor:
    """A zero that is still part of the graph, for a statistic that has no units."""
    total = sum(o.features.float().sum() + o.logits.float().sum() for o in outputs)
    return torch.as_tensor(total) * 0.0


def shares(output: DomainOutput) -> Tensor:
    """`[units]` float32 weights of the units, with sum 1 (equal where the output has none)."""
    weights = output.weights if output.balance is None else output.factors
    if weights is None:
        weights = torch.ones(len(output), device=output.features.device)
    weights = weights.float()
    return weights / weights.sum().clamp_min(1e-12)


def entropy(logits: Tensor) -> Tensor:
    """`[units]` entropy in nats of the softmax of `logits` `[units, classes]`."""
    log_probabilities = logits.float().log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def negative_log_complement(logits: Tensor, classes: Tensor) -> Tensor:
    """`[units]` values of `-log(1 - softmax(logits)[class])`, exact where the probability nears 1."""
    others = logits.masked_fill(F.one_hot(classes, logits.shape[1]).bool(), float("-inf"))
    return logits.logsumexp(-1) - others.logsumexp(-1)


def select(output: DomainOutput, chosen: Tensor) -> DomainOutput:
    """The units with the indices `chosen`."""
    weights = output.weights
    return replace(
        output,
        features=output.features[chosen],
        logits=output.logits[chosen],
        labels=output.labels[chosen],
        rows=output.rows[chosen],
        domains=output.domains[chosen],
        count=float(len(chosen)),
        weights=None if weights is None else weights[chosen],
        balance=None if output.balance is None else output.balance[chosen],
    )


def counted(output: DomainOutput) -> DomainOutput:
    """The units that have a weight above 0, for statistics whose weights sum to 1 (`shares`)."""
    if output.weights is None:
        return output
    return select(output, (output.weights > 0).nonzero().squeeze(1))


def in_domain(output: DomainOutput, domain: int) -> DomainOutput:
    """The units of one domain, as a side of its own."""
    chosen = select(output, (output.domains == domain).nonzero().squeeze(1))
    return replace(chosen, balance=None)


def subsample(output: DomainOutput, most: int) -> DomainOutput:
    """At most `most` units, drawn at random: pairwise statistics grow with the square of them."""
    if len(output) <= most:
        return output
    chosen = torch.randperm(len(output), device=output.features.device)[:most]
    return select(output, chosen)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum over all processes of a distributed run; `values` itself in a single one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values
