"""What can be read off a trainer at any time."""

from __future__ import annotations

from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.tasks import Task
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.inputs.data import RunData
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.trainer_api.shown import RunResults
from nlp_adapt.training.trainer_api.state import trainer_state


class TrainerView:
    """The parts of a run by their names, as properties."""

    args: AdaptationConfig
    context: RunContext
    results: RunResults
    _accelerator: Any = None

    @property
    def inputs(self) -> Inputs:
        """Domains and stream."""
        return self.context.inputs

    @property
    def source(self) -> Domain:
        """The source; the first of several."""
        return self.inputs.sources[0]

    @property
    def target(self) -> Domain | None:
        """The target, or None; the first of several."""
        return next(iter(self.inputs.targets), None)

    @property
    def task(self) -> Task:
        """What the labels mean."""
        return self.context.task

    @property
    def processing_class(self) -> Any:
        """The tokenizer."""
        return self.context.tokenizer

    @property
    def model_name(self) -> str:
        """What the starting model is called."""
        return self.context.start.name

    @property
    def method_name(self) -> str:
        """The method, or `custom` where the recipe spells out its own stages."""
        return self.context.method

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.context.folder

    @property
    def data(self) -> RunData:
        """The run's tokenised rows, made on first use."""
        return self.context.data

    @property
    def accelerator(self) -> Any:
        """The `accelerate.Accelerator` of the run; made on first use."""
        if self._accelerator is None:
            self._accelerator = make_accelerator(self.args)
        return self._accelerator

    @property
    def state(self) -> Any:
        """Where the run stands, as a `transformers.TrainerState`; `log_history` is log.jsonl."""
        return trainer_state(self.folder, self.results)

    @property
    def scorer(self) -> Scorer:
        """Scores models on the run's labelled rows."""
        return self.context.scorer
