"""From one forward pass to the units of each domain, and to the features that are read of them."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.errors import DataError
from nlp_adapt.modeling.architectures import (
    architecture_of,
    averages_logits,
    encoder_of,
    output_layer,
    plain_model,
)
from nlp_adapt.modeling.outputs import DomainOutput


def unit_logits(task_model: Any, batch: Mapping[str, Any]) -> Tensor:
    """Logits `[units, classes]` of a collated batch, as the model gives them."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
    with _ends_found(task_model, batch):
        return by_unit(task_model(**inputs).logits, batch)


@contextmanager
def _ends_found(task_model: Any, batch: Mapping[str, Any]) -> Iterator[None]:
    """Inside, a head that reads the last place of a row gets the last token, padded or not.

    Positions are relative where this is so: the logits are those of rows padded on the left. Heads
    of encoder-decoders look for the end token, and want as many of them in each row.
    """
    model = plain_model(task_model)
    if model.config.is_encoder_decoder:
        counts = (batch["input_ids"] == model.config.eos_token_id).sum(1)
        if (counts != counts[0]).any():
            raise DataError(
                f"a text holds the end token of {type(model).__name__}, such as </s>, in its own "
                "words, and the model would read it as the end: take it out of the texts."
            )
    head = getattr(model, architecture_of(model.config).reads_end or "_", None)
    if head is None or getattr(model.config, "summary_type", "last") != "last":
        yield
        return

    def ends(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        states, *others = arguments
        last = batch["attention_mask"].sum(1) - 1
        return states[torch.arange(len(states), device=last.device), last].unsqueeze(1), *others

    handle = head.register_forward_pre_hook(ends)
    try:
        yield
    finally:
        handle.remove()


def by_unit(values: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """`[units, size]` of what a batch has for each row, or for each token where words are units."""
    if "unit_positions" not in batch:
        return values
    return values.flatten(0, 1).index_select(0, batch["unit_positions"])


class FeatureTap:
    """Records the input of the last linear layer, the one that produces the logits.

    For BERT this is the pooled output, for RoBERTa the hidden layer of its classification head,
    for token classification each token's last hidden state: always what the classifier reads. Heads
    of decoders map every token and keep the logits of the last, and so does the tap.

    """

    def __init__(self, model: nn.Module) -> None:
        self.layer = output_layer(model)
        self.config = plain_model(model).config
        self._seen: Tensor | None = None
        self._hook = self.layer.register_forward_pre_hook(self._record)

    def _record(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._seen = arguments[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> "FeatureTap":
        """The tap of a copied model, without what was seen: that is part of a graph."""
        copied = FeatureTap.__new__(FeatureTap)
        memo[id(self)] = copied
        copied.layer, copied._seen = copy.deepcopy(self.layer, memo), None
        copied.config = self.config
        copied._hook = self._hook
        return copied

    def remove(self) -> None:
        """Stop recording."""
        self._hook.remove()

    @property
    def sees_tokens(self) -> bool:
        """Whether the layer mapped every token in the last forward pass."""
        return self._seen is not None and self._seen.dim() == 3

    def take(self, batch: Mapping[str, Any]) -> Tensor:
        """The features `[units, size]` of the last forward pass, which read `batch`, once."""
        if self._seen is None:
            raise RuntimeError("no forward pass since the features were last taken")
        seen, self._seen = self._seen, None
        if "unit_positions" in batch or seen.dim() == 2:
            return by_unit(seen, batch)
        if averages_logits(self.config):
            return pool_tokens(seen, batch["attention_mask"], "mean")
        ids = batch["input_ids"]  # the last token is found as transformers' heads find it
        places = torch.arange(ids.shape[1], device=ids.device)
        last = (places * (ids != self.config.pad_token_id)).argmax(-1)
        return seen[torch.arange(len(seen), device=ids.device), last]


@contextmanager
def encoder_outputs(model: Any) -> Iterator[list[Tensor]]:
    """Inside, the list that is given collects the last hidden states of each forward pass."""
    seen: list[Tensor] = []
    handle = encoder_of(model).register_forward_hook(
        lambda module, arguments, outputs: seen.append(outputs[0])
    )
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, and each module's own mode again afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class UnitReader:
    """Runs a task model and reads features and logits of each unit, split by domain.

    Args:
        task_model: An `AutoModelFor*` classification model.
        domain_features: `classifier` (what the classifier reads) or, for sentences, the `first`
            token, `mean` or `max` of the last hidden state.
        domain_words: How much each word counts in alignment terms, in token classification: see
            `word_weights`.
    """

    def __init__(
        self,
        task_model: nn.Module,
        domain_features: str = "classifier",
        outside: int | None = None,
        domain_words: str = "all",
    ) -> None:
        self.domain_features = domain_features
        self.outside = outside
        self.domain_words = domain_words
        self._tap = FeatureTap(task_model) if domain_features == "classifier" else None

    def remove(self) -> None:
        """Stop recording what the classifier reads."""
        if self._tap is not None:
            self._tap.remove()

    def width(self, task_model: Any) -> int:
        """Width of the features."""
        return self._tap.layer.in_features if self._tap else int(task_model.config.hidden_size)

    def read(
        self, task_model: nn.Module, batch: dict[str, Any]
    ) -> tuple[DomainOutput, DomainOutput]:
        """One forward pass over `batch`; units of the source, then units of the target."""
        if self._tap is not None:
            logits = unit_logits(task_model, batch)
            features = self._tap.take(batch)
        else:
            with encoder_outputs(task_model) as seen:
                logits = unit_logits(task_model, batch)
            features = pool_tokens(seen[-1], batch["attention_mask"], self.domain_features)
            features = by_unit(features, batch)
        split = batch["source_units"]
        weights = None
        if self.outside is not None:
            weights = word_weights(logits.detach(), self.outside, self.domain_words)
        return (
            self._side(batch, features, logits, weights, slice(0, split), "source"),
            self._side(batch, features, logits, weights, slice(split, None), "target"),
        )

    def _side(
        self,
        batch: dict[str, Any],
        features: Tensor,
        logits: Tensor,
        weights: Tensor | None,
        part: slice,
        name: str,
    ) -> DomainOutput:
        balance = batch.get(f"{name}_balance")
        return DomainOutput(
            features=features[part],
            logits=logits[part],
            labels=batch["labels"][part],
            rows=batch["unit_rows"][part],
            domains=batch["domains"][part],
            count=batch[f"{name}_count"],
            labelled=batch[f"{name}_labelled"],
            weights=None if weights is None else weights[part],
            teacher=batch["teacher_logits"][part] if "teacher_logits" in batch else None,
            balance=None if balance is None else balance[batch["domains"][part]],
        )


def pool_tokens(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """Pool token states `[rows, tokens, size]` to `[rows, size]` by `first`, `mean` or `max`.

    Padding (mask 0) never contributes.
    """
    if how == "first":
        return hidden[:, 0]
    keep = mask.unsqueeze(-1).to(torch.bool)
    if how == "max":
        return hidden.masked_fill(~keep, torch.finfo(hidden.dtype).min).amax(1)
    return (hidden * keep).sum(1) / keep.sum(1).clamp_min(1)


def word_weights(logits: Tensor, outside: int, how: str) -> Tensor | None:
    """How much each word of a batch counts in alignment terms.

    `all` counts every word alike. `balanced` counts the words outside of entities down by one
    factor, the same in both domains, so that over the batch they weigh as much as the entities.
    `subsampled` draws as many of them as that, in expectation, and leaves out the rest: the same
    balance, with more noise.
    `entities` counts a word by its probability of being in one. What is an entity is the model's own
    prediction in both domains, so that the weighting cannot tell them apart.

    Args:
        logits: `[units, classes]` of both domains, detached.
        how: `all`, `balanced`, `subsampled` or `entities`.

    Returns:
        Weights `[units]` with mean 1, or None for equal ones.
    """
    if how == "all" or logits.shape[0] == 0:
        return None
    entity = 1.0 - logits.float().softmax(-1)[:, outside]
    other = 1.0 - entity
    factor = entity.sum() / other.sum().clamp_min(1e-6)
    if how == "entities":
        weights = entity
    elif how == "balanced":
        weights = entity + factor * other
    else:
        outside_words = entity < 0.5
        kept = torch.rand_like(entity) < factor
        weights = (~outside_words | kept).float()
    return weights / weights.mean().clamp_min(1e-12)
