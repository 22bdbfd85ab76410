"""From one forward pass to the units of each domain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.modeling.features import FeatureTap, pool_tokens
from nlp_adapt.modeling.outputs import DomainOutput

MODEL_INPUTS = ("input_ids", "attention_mask", "inputs_embeds", "position_ids")


class UnitReader:
    """Runs a task model and reads features and logits of each unit, split by domain.

    Args:
        task_model: An `AutoModelFor*` classification model.
        domain_features: `classifier` (what the classifier reads) or, for sentences, the `first`
            token, `mean` or `max` of the last hidden state.
        outside: Index of the label `O` in token classification. Alignment terms then give the
            words that look like entities and the others equal mass in each domain, since most
            words are `O` and would drown what matters.
    """

    def __init__(
        self,
        task_model: nn.Module,
        domain_features: str = "classifier",
        outside: int | None = None,
    ) -> None:
        self.domain_features = domain_features
        self.outside = outside
        self._tap = FeatureTap(task_model) if domain_features == "classifier" else None

    def width(self, task_model: Any) -> int:
        """Width of the features."""
        return self._tap.layer.in_features if self._tap else int(task_model.config.hidden_size)

    def read(
        self, task_model: nn.Module, batch: dict[str, Any]
    ) -> tuple[DomainOutput, DomainOutput]:
        """One forward pass over `batch`; units of the source, then units of the target."""
        inputs = {name: batch[name] for name in MODEL_INPUTS if name in batch}
        outputs = task_model(**inputs, output_hidden_states=self._tap is None)
        logits = outputs.logits
        if self._tap is not None:
            features = self._tap.take()
        else:
            mask = batch["attention_mask"]
            features = pool_tokens(outputs.hidden_states[-1], mask, self.domain_features)
        if "unit_positions" in batch:
            chosen = batch["unit_positions"]
            logits = logits.flatten(0, 1).index_select(0, chosen)
            features = features.flatten(0, 1).index_select(0, chosen)
        split = batch["source_units"]
        return (
            self._side(batch, features, logits, slice(0, split), "source"),
            self._side(batch, features, logits, slice(split, None), "target"),
        )

    def _side(
        self, batch: dict[str, Any], features: Tensor, logits: Tensor, part: slice, name: str
    ) -> DomainOutput:
        weights = None
        if self.outside is not None:
            weights = entity_balance(logits[part].detach(), self.outside)
        return DomainOutput(
            features=features[part],
            logits=logits[part],
            labels=batch["labels"][part],
            rows=batch["unit_rows"][part],
            domains=batch["domains"][part],
            count=batch[f"{name}_count"],
            labelled=batch[f"{name}_labelled"],
            weights=weights,
        )


def entity_balance(logits: Tensor, outside: int) -> Tensor:
    """Weights `[units]`, mean 1, that give likely entities and other words half the mass each.

    Both domains use the model's own predictions, so that the weighting itself cannot tell the
    domains apart.
    """
    if logits.shape[0] == 0:
        return logits.new_zeros(0, dtype=torch.float32)
    entity = 1.0 - logits.float().softmax(-1)[:, outside]
    other = 1.0 - entity
    share = entity / entity.sum().clamp_min(1e-6) + other / other.sum().clamp_min(1e-6)
    return share * (len(share) / share.sum())
