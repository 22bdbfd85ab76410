"""Statistics over units that several objectives share, in float32 and safe on empty sides."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.names import IGNORED_LABEL

Losses = Callable[[Any, DomainOutput, DomainOutput, Progress], Terms]


def full_precision(losses: Losses) -> Losses:
    """Decorates `Objective.losses`: float32 features and logits, and no autocast inside.

    Differences of moments and probabilities near 0 or 1 do not survive bf16.
    """

    @functools.wraps(losses)
    def wrapped(self: Any, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        with torch.autocast(source.features.device.type, enabled=False):
            return losses(self, _as_float32(source), _as_float32(target), progress)

    return wrapped


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


def negative_log_complement(logits: Tensor, excluded: Tensor) -> Tensor:
    """`[units]` values of `-log` of the probability that the `excluded` classes leave to the others.

    Exact where little is left. `excluded` is boolean, `[units, classes]` or `[classes]`.
    """
    others = logits.masked_fill(excluded, float("-inf"))
    return logits.logsumexp(-1) - others.logsumexp(-1)


def select(output: DomainOutput, chosen: Tensor) -> DomainOutput:
    """The units with the indices `chosen`."""
    values = {name: value for name, value in vars(output).items() if isinstance(value, Tensor)}
    chosen_values: dict[str, Any] = {name: value[chosen] for name, value in values.items()}
    return replace(output, **chosen_values, count=float(len(chosen)))


def counted(output: DomainOutput) -> DomainOutput:
    """The units that have a weight above 0, for statistics whose weights sum to 1 (`shares`)."""
    if output.weights is None:
        return output
    return select(output, (output.weights > 0).nonzero().squeeze(1))


def labelled(output: DomainOutput) -> DomainOutput:
    """The units that have a label."""
    return select(output, (output.labels != IGNORED_LABEL).nonzero().squeeze(1))


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


def average_in(kept: Tensor, value: Tensor, units: int, momentum: float, seen: Tensor) -> None:
    """Move the running average `kept`, in place, towards the mean over the units of all processes.

    What `kept` began with counts as much as one batch, and the first batches as much as a plain mean
    gives them: the bias correction of Kingma & Ba 2015, "Adam", ICLR. Later a share `momentum` of
    `kept` stays.

    Args:
        value: The mean over the `units` of this process.
        seen: How many batches `kept` has seen; a single number, counted up in place.
    """
    sums = torch.cat([value.flatten() * units, value.new_tensor([float(units)])])
    sums = sum_over_processes(sums)
    if sums[-1] > 0 and sums.isfinite().all():  # a step that will be skipped leaves no trace
        seen += 1
        gain = (1.0 - momentum) / (1.0 - momentum ** (int(seen) + 1))
        kept.lerp_((sums[:-1] / sums[-1]).view_as(kept), gain)


def class_frequencies(counts: Tensor, num_labels: int) -> Tensor:
    """`[classes]` float32 shares of the label counts; equal ones where there are no counts."""
    counts = counts.float()
    if len(counts) != num_labels or counts.sum() <= 0:
        counts = torch.ones(num_labels)
    return counts / counts.sum()
