"""The beginning that both models of a run have in common, trained once.

Many methods begin on the source alone, as their twin does: with the same weights and seeds, over the
same rows in the same order. The twin leaves a copy of what it is at the end of the last such stage, and
the adapted model goes on from there, bit for bit as if it had trained so far by itself. A run that was
interrupted meanwhile has no copy left, and trains that part again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nlp_adapt.files import flattened
from nlp_adapt.reporting.results import read_log
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.saving.checkpoint import load_random, random_tensors
from nlp_adapt.training.schedule import ADAPTED, SOURCE_ONLY, Schedule
from nlp_adapt.training.sharding import requested_sharding


@dataclass(frozen=True)
class SharedStart:
    """What a model is after its first `stages`, and what these took.

    Attributes:
        random: The state of the generators, from which dropout goes on.
    """

    stages: int
    weights: dict[str, Tensor]
    objectives: dict[str, Tensor]
    random: dict[str, Any]
    ledger: str
    seconds: float

    @classmethod
    def of(cls, training: Any, stages: int) -> "SharedStart":
        """Copied from a `StagedTraining`."""
        states = {name: one.state_dict() for name, one in training.objectives.items()}
        return cls(
            stages,
            _copied(training.task_model.state_dict()),
            _copied(flattened(states)),
            random_tensors(),
            training.ledger.value,
            training.seconds,
        )

    def begin(self, training: Any, lengths: Sequence[int]) -> tuple[int, dict[str, Tensor]]:
        """Put another `StagedTraining`, whose stages have these lengths, where the copy was taken.

        Returns:
            The stage to begin with, and the state of the objectives before it.
        """
        training.task_model.load_state_dict(self.weights)
        self.weights.clear()  # as large as the model
        load_random(self.random)
        training.ledger.value, training.seconds_before = self.ledger, self.seconds
        training.log.total_steps += sum(lengths[: self.stages])
        if training.context.main:
            self._repeat_log(training.log, training.context, lengths)
        return self.stages, self.objectives

    def _repeat_log(self, log: RunLog, context: RunContext, lengths: Sequence[int]) -> None:
        """Write the lines of these stages as the adapted model's own, for its curves and trackers."""
        for line in read_log(context.folder.path, SOURCE_ONLY):
            if line["stage"] <= self.stages:
                values = {
                    key: value for key, value in line.items() if key not in ("model", "stage")
                }
                before = sum(lengths[: line["stage"] - 1])
                log.write_for(before, model=ADAPTED, stage=line["stage"], **values)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}


def shared_stages(context: RunContext, schedule: Schedule) -> int:
    """How many stages both models begin with alike; 0 where anything else could tell them apart.

    At least one stage is left to the adapted model.
    """
    models, config, data = schedule.models, context.config, context.data
    twin, adapted = models.get(SOURCE_ONLY, []), models[ADAPTED]
    other_rows = data.copies is not None or "few_shot" in data.train
    if other_rows or config.load_best_model_at_end or requested_sharding(config) is not None:
        return 0
    alike = 0
    for one, other in zip(twin[:-1], adapted[:-1], strict=False):
        if one != other or one.fit is not None:
            break
        alike += 1
    return alike
