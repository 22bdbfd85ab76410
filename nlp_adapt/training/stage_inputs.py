"""What a stage reads: the rows of its sides, in batches, from a cache with a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.cpu import wants_passes
from nlp_adapt.prediction.likeness import domain_samples
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.frozen.feature_cache import CachedTrunk, cached_trunk
from nlp_adapt.training.inputs.stream import TargetStream
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.sharding import requested_sharding


@dataclass(frozen=True)
class StageInputs:
    """The training rows of a model, as its stages read them.

    Args:
        stream: The target as a stream; `rows` then hold a sample of it.
    """

    context: RunContext
    rows: Mapping[str, EncodedRows]
    stream: TargetStream | None = None

    def of(self, model: AdaptationModel) -> dict[str, EncodedRows]:
        """Training rows of the sides that the stage's objectives read."""
        wanted = {
            side
            for objective in model.objectives.values()
            for side in objective.sides(objective.config)
        }
        # Rows of auxiliary tasks are called `auxiliary/NAME`.
        return {side: rows for side, rows in self.rows.items() if side.split("/")[0] in wanted}

    def cached_trunk(self, model: AdaptationModel, stage: Stage) -> CachedTrunk | None:
        """Rows with a frozen encoder's states; asked for once the stage's weights are in place."""
        context, config = self.context, self.context.config
        frozen = config.freeze if stage.freeze is None else stage.freeze
        if frozen != "all" or not config.cache_features or config.torch_compile or self.stream:
            return None
        if requested_sharding(config) is not None:  # one process alone cannot run a sharded trunk
            return None
        samples = domain_samples(context.data.train, config.seed)
        with context.accelerator.main_process_first():
            return cached_trunk(
                model.task_model,
                self.of(model),
                model.reader,
                model.objectives,
                pad_id=context.pad_id,
                precision=precision_of(context.accelerator),
                scored=[*context.data.scored_rows, *samples.values()],
            )

    def paired_batches(self, model: AdaptationModel, steps: int, seed: int) -> PairedBatches:
        """Paired batches of the rows that the stage reads."""
        config, accelerator = self.context.config, self.context.accelerator
        sides = dict(self.of(model) if model.cached is None else model.cached.rows)
        kind: type[PairedBatches] = PairedBatches
        extra: dict[str, Any] = {}
        if self.stream is not None and "target" in sides:
            kind, extra = StreamedBatches, self.stream.options(seed)
        return kind(
            sides,
            **extra,
            total_steps=steps,
            batch_size=config.per_device_train_batch_size,
            pad_id=self.context.pad_id,
            seed=seed,
            micro_batches=config.gradient_accumulation_steps,
            processes=accelerator.num_processes,
            process=accelerator.process_index,
            portions=portions(self.context),
            # Processes gather the shards of a layer together: each must pass through it as often.
            divide=wants_passes(config, accelerator.device) and requested_sharding(config) is None,
        )


def portions(context: RunContext) -> dict[str, float]:
    """Rows of a side in a batch, as a share of the source's, where it is not 1."""
    own = {task.side: task.share for task in context.inputs.auxiliary_specs}
    return {"few_shot": context.config.few_shot_share, **own}
