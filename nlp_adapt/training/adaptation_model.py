"""The one forward: source and target through one task model, then every objective's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Objective, StepView


class AdaptationModel(nn.Module):
    """A task model and the objectives of a stage, as the single module that DDP wraps.

    Args:
        task_model: A plain `AutoModelFor*` classification model.
        reader: Reads units from its outputs.
        objectives: The stage's terms by name.
    """

    def __init__(
        self, task_model: Any, reader: UnitReader, objectives: Mapping[str, Objective]
    ) -> None:
        super().__init__()
        self.task_model: Any = task_model
        self.objectives: Any = nn.ModuleDict(objectives)
        self._reader = reader

    def forward(self, batch: dict[str, Any], progress: Progress) -> dict[str, Tensor]:
        """Terms of one micro-batch, and `loss`, their weighted sum.

        Args:
            batch: A collated batch of `PairedBatches`, as tensors.
            progress: How far the stage has come.
        """
        view = StepView(
            batch=batch,
            progress=progress,
            encode=lambda inputs: self._reader.read(self.task_model, inputs),
            task_model=self.task_model,
        )
        total: Tensor | float = 0.0
        terms: dict[str, Tensor] = {}
        for objective in self.objectives.values():
            for name, value in objective(view).items():
                if "/" not in name:
                    total = total + objective.config.weight * value
                terms[name] = value.detach()
        terms["loss"] = torch.as_tensor(total)
        return terms
