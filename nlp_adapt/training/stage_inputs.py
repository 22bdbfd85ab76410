"""What a stage reads: the rows of its sides, in batches, through a cache where layers are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.methods import Stage
from nlp_adapt.modeling.freezing import frozen_depth
from nlp_adapt.objectives import AuxiliarySpec
from nlp_adapt.training.accelerator import precision_of
from nlp_adapt.training.frozen.feature_cache import CachedTrunk, cached_trunk
from nlp_adapt.training.inputs.stream import TargetStream
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.sharding import requested_sharding


@dataclass(frozen=True)
class StageInputs:
    """The training rows of a run, as its stages read them.

    Args:
        accelerator: The `accelerate.Accelerator` of the run.
        config: The run's options.
        pad_id: Token id of padding.
        rows: Training rows by side.
        stream: The target as a stream; `rows` then hold a sample of it.
        auxiliary: The auxiliary tasks of the run.
        scored_rows: Rows that are scored during training.
    """

    accelerator: Any
    config: AdaptationConfig
    pad_id: int
    rows: Mapping[str, EncodedRows]
    stream: TargetStream | None
    auxiliary: Sequence[AuxiliarySpec]
    scored_rows: Sequence[EncodedRows]

    def of(self, model: AdaptationModel) -> dict[str, EncodedRows]:
        """Training rows of the sides that the stage's objectives read."""
        wanted = {
            side
            for objective in model.objectives.values()
            for side in objective.sides(objective.config)
        }
        # Rows of auxiliary tasks are called `auxiliary/NAME`.
        return {side: rows for side, rows in self.rows.items() if side.split("/")[0] in wanted}

    @property
    def portions(self) -> dict[str, float]:
        """Rows of a side in a batch, as a share of the source's, where it is not 1."""
        own = {task.side: task.share for task in self.auxiliary if task.side != "source"}
        return {"few_shot": self.config.few_shot_share, **own}

    def cached_trunk(self, model: AdaptationModel, stage: Stage) -> CachedTrunk | None:
        """Rows with the output of frozen layers; asked for once the stage's weights are in place."""
        what = self.config.freeze if stage.freeze is None else stage.freeze
        depth = frozen_depth(model.task_model, what)
        if not depth or not self.config.cache_features or self.config.torch_compile or self.stream:
            return None
        with self.accelerator.main_process_first():
            return cached_trunk(
                model.task_model,
                depth,
                self.of(model),
                model.reader,
                model.objectives,
                pad_id=self.pad_id,
                precision=precision_of(self.accelerator),
                scored=self.scored_rows,
            )

    def paired_batches(self, model: AdaptationModel, steps: int, seed: int) -> PairedBatches:
        """Paired batches of the rows that the stage reads.

        Args:
            model: The stage's model.
            steps: Its length.
            seed: Seed of the row order.
        """
        sides = dict(self.of(model) if model.cached is None else model.cached.rows)
        kind: type[PairedBatches] = PairedBatches
        extra: dict[str, Any] = {}
        if self.stream is not None and "target" in sides:
            kind, extra = StreamedBatches, self.stream.options(seed)
        return kind(
            sides,
            **extra,
            total_steps=steps,
            batch_size=self.config.per_device_train_batch_size,
            pad_id=self.pad_id,
            seed=seed,
            micro_batches=self.config.gradient_accumulation_steps,
            processes=self.accelerator.num_processes,
            process=self.accelerator.process_index,
            portions=self.portions,
            # A GPU is rather waited for than filled: one pass is quicker there.
            # Processes gather the shards of a layer together: each must pass through it as often.
            divide=self.accelerator.device.type == "cpu"
            and not self.config.torch_compile
            and requested_sharding(self.config) is None,
        )
