"""The one forward: source and target through one task model, then every objective's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.modeling.passes import in_passes
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Objective, StepView
from nlp_adapt.training.frozen.feature_cache import CachedTrunk
from nlp_adapt.training.gradient_ratio import MeasuredView, can_measure, gradient_squares
from nlp_adapt.training.source_weights import SourceWeights


class AdaptationModel(nn.Module):
    """A task model and the objectives of a stage, as the single module that DDP wraps.

    Args:
        task_model: A plain `AutoModelFor*` classification model.
        reader: Reads units from its outputs.
        objectives: The stage's terms by name.
        frozen: Parts of the task model that do not train as a whole. They run without dropout.
        source_weights: How much each of several sources counts, where not all count the same.

    Attributes:
        cached: The frozen lower layers and rows with their output, where they need not be run.
    """

    def __init__(
        self,
        task_model: Any,
        reader: UnitReader,
        objectives: Mapping[str, Objective],
        frozen: Sequence[nn.Module] = (),
        source_weights: SourceWeights | None = None,
    ) -> None:
        super().__init__()
        self.task_model: Any = task_model
        self.objectives: Any = nn.ModuleDict(objectives)
        self.reader = reader
        self.source_weights = source_weights
        self._frozen = tuple(frozen)
        self.cached: CachedTrunk | None = None

    def forward(
        self, batch: dict[str, Any], progress: Progress, measure: bool = False
    ) -> dict[str, Tensor]:
        """Terms of one micro-batch, and `loss`, their weighted sum.

        Args:
            batch: A collated batch of `PairedBatches`, as tensors.
            progress: How far the stage has come.
            measure: Whether to measure gradients as well, see `gradient_ratio`.
        """
        for part in self._frozen:
            if part.training:  # an evaluation has put the model back into training mode
                part.eval()
        with in_passes(self.task_model, batch.get("passes", ())):
            return self._terms(self._view(batch, progress, measure))

    def _terms(self, view: StepView) -> dict[str, Tensor]:
        """The objectives' terms and their weighted sum."""
        total: Tensor | float = 0.0
        terms: dict[str, Tensor] = {}
        weighted: dict[str, Tensor] = {}
        for objective in self.objectives.values():
            for name, value in objective(view).items():
                weighted[name] = value
                if "/" not in name:
                    weighted[name] = objective.config.weight * value
                    total = total + weighted[name]
                terms[name] = value.detach()
        if isinstance(view, MeasuredView):
            terms.update(gradient_squares(weighted, view))
        if self.source_weights is not None:
            terms.update(self.source_weights.follow(view))
        terms["loss"] = torch.as_tensor(total)
        return terms

    def _view(self, batch: dict[str, Any], progress: Progress, measure: bool) -> StepView:
        features = self.reader.domain_features
        if measure and can_measure(self.task_model, features):
            return MeasuredView(
                batch, progress, self._read, self.task_model, features, skipping=self._skipping
            )
        return StepView(batch, progress, self._read, self.task_model, skipping=self._skipping)

    def _skipping(self, copy: nn.Module, inputs: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Inside, a copy of the task model does not run the layers below cached states either."""
        if self.cached is None:
            return nullcontext()
        return self.cached.used(inputs["trunk_states"], copy)

    def _read(self, inputs: dict[str, Any]) -> tuple[DomainOutput, DomainOutput]:
        """Units of both domains; the layers below cached states are not run."""
        if self.cached is None:
            source, target = self.reader.read(self.task_model, inputs)
        else:
            with self.cached.used(inputs["trunk_states"]):
                source, target = self.reader.read(self.task_model, inputs)
        if self.source_weights is not None:
            source = self.source_weights.applied(source)
        return source, target
