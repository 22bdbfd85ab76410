"""The module that trains: one forward of source and target, then every objective's terms."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.cpu import prepare_training
from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.modeling.perturbation import refuse_unperturbable
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Objective, StepView, objective_class
from nlp_adapt.training.frozen.feature_cache import CachedTrunk


class AdaptationModel(nn.Module):
    """A task model and the objectives of a stage, as the single module that DDP wraps.

    Args:
        task_model: A plain `AutoModelFor*` classification model.
        frozen: Parts of the task model that do not train as a whole. They run without dropout.

    Attributes:
        cached: The frozen encoder and rows with its last states, where it need not be run.
    """

    def __init__(
        self,
        task_model: Any,
        reader: UnitReader,
        objectives: Mapping[str, Objective],
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.task_model: Any = task_model
        self.objectives: Any = nn.ModuleDict(objectives)
        self.reader = reader
        self._frozen = tuple(frozen)
        self.cached: CachedTrunk | None = None

    def forward(self, batch: dict[str, Any], progress: Progress) -> dict[str, Tensor]:
        """Terms of one micro-batch, and `loss`, their weighted sum.

        Args:
            batch: A collated batch of `PairedBatches`, as tensors.
        """
        for part in self._frozen:
            if part.training:  # an evaluation has put the model back into training mode
                part.eval()
        view = StepView(
            batch,
            progress,
            self._read,
            self.task_model,
            skipping=self._skipping,
            weighted=self._weighted,
        )
        return self._terms(view)

    def _terms(self, view: StepView) -> dict[str, Tensor]:
        """The objectives' terms and their weighted sum."""
        total: Tensor | float = 0.0
        terms: dict[str, Tensor] = {}
        for objective in self.objectives.values():
            for name, value in objective(view).items():
                if "/" not in name:
                    total = total + objective.config.weight * value
                terms[name] = value.detach()
        terms["loss"] = torch.as_tensor(total)
        return terms

    def _skipping(self, copy: nn.Module, inputs: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Inside, a copy of the task model starts from cached states as well."""
        if self.cached is None:
            return nullcontext()
        return self.cached.used(inputs["trunk_states"], copy)

    def _read(self, inputs: dict[str, Any]) -> tuple[DomainOutput, DomainOutput]:
        """Units of both domains, from cached states where there are some."""
        if self.cached is None:
            return self.reader.read(self.task_model, inputs)
        with self.cached.used(inputs["trunk_states"]):
            return self.reader.read(self.task_model, inputs)

    def _weighted(self, source: DomainOutput) -> DomainOutput:
        """The source with the factors that an objective gives its units in the task loss."""
        for objective in self.objectives.values():
            factors = objective.importance(source)
            if factors is not None:
                source = replace(source, importance=factors)
        return source


def prepare_encoder(
    task_model: Any, config: AdaptationConfig, objectives: Collection[str], device: torch.device
) -> None:
    """Turn on activation checkpointing and compilation where options ask for them, and CPU modes.

    Raises:
        ModelError: If the model cannot recompute its activations.
        ConfigError: If an objective does not work with a compiled encoder.
    """
    prepare_training(task_model, config, device)
    if config.gradient_checkpointing:
        if not getattr(task_model, "supports_gradient_checkpointing", False):
            name = type(task_model).__name__
            raise ModelError(f"{name} does not support gradient_checkpointing; turn it off.")
        # The older name is deprecated, the newer one not in every version.
        newer = getattr(task_model, "activation_checkpointing_enable", None)
        given = config.gradient_checkpointing_kwargs
        (newer or task_model.gradient_checkpointing_enable)(*([given] if given else []))
    clash = sorted(name for name in objectives if objective_class(name).perturbs_embeddings)
    if clash:
        refuse_unperturbable(task_model, ", ".join(clash))
    if not config.torch_compile:
        return
    if clash:
        raise ConfigError(
            f"torch_compile does not go with {', '.join(clash)}, which perturb the embeddings: "
            "turn it off, or choose another method."
        )
    encoder = task_model.base_model
    if encoder._compiled_call_impl is None:
        # The head stays as it is: its input is where the features are read.
        backend = config.torch_compile_backend or "inductor"
        encoder.compile(dynamic=True, backend=backend, mode=config.torch_compile_mode)
