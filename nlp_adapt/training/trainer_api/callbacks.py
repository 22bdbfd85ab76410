"""transformers' own callbacks in a run that trains two models."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.reporting.trackers import plain_options
from nlp_adapt.training.accelerator import any_process
from nlp_adapt.training.schedule import Due


class Callbacks:
    """Calls a user's callbacks while a run trains, and gathers what they ask for.

    To them each model of the run is a training of its own: `on_train_begin` to `on_train_end`
    happen for the source-only twin and again for the adapted model. `state.trial_name` says which
    it is, and `state.global_step` counts its steps over all stages. A stop ends the stage.

    Args:
        given: Instances or classes of `transformers.TrainerCallback`.

    Attributes:
        stops: The stages of the current model that were stopped: `stage`, `step` and `of`.

    Raises:
        ConfigError: If `given` holds anything else.
    """

    def __init__(
        self, given: Any = None, args: AdaptationConfig | None = None, processing_class: Any = None
    ) -> None:
        self.given = _instances(given)
        self.stops: list[dict[str, int]] = []
        self.state: Any = None
        self.control: Any = None
        self._args = None if args is None else CallbackArguments(args)
        self._always = {"processing_class": processing_class, "model": None}
        self._first = [_exported(one) for one in self.given]
        self._ended = False
        if self.given:
            from transformers import TrainerControl, TrainerState

            self.state, self.control = TrainerState(), TrainerControl()
            self._call("on_init_end")

    def begin(self, training: Any, saved: Mapping[str, Any] | None = None) -> None:
        """Begin a model, or go on from what `saved()` gave."""
        saved = saved or {}
        self.stops, self._ended = list(saved.get("stops", ())), bool(saved.get("ended"))
        if not self.given:
            return
        from transformers import TrainerControl, TrainerState

        for callback, state in zip(self.given, saved.get("exported") or self._first, strict=True):
            _restore(callback, state)
        schedule, run, history = training.schedule, training.accelerator, self.state.log_history
        steps = sum(schedule.steps(training.name))
        self.control = TrainerControl()
        self.state = TrainerState(
            trial_name=training.name,
            max_steps=steps,
            num_train_epochs=math.ceil(steps / schedule.epoch_steps),
            train_batch_size=training.config.per_device_train_batch_size,
            log_history=history,
            is_local_process_zero=run.is_local_main_process,
            is_world_process_zero=run.is_main_process,
            **saved.get("state", {}),
        )
        self._epoch_steps = schedule.epoch_steps
        self._always.update(model=training.task_model, optimizer=None, lr_scheduler=None)
        training.log.listener = self._logged
        self._call("on_train_begin")

    def begin_stage(self, loop: Any, *, resumed: bool) -> bool:
        """Begin a stage; returns whether it is over, as one that was stopped and then resumed is."""
        if not resumed:
            self._ended = False
            if self.given and loop.number:
                self.control.should_training_stop = False
                for callback, state in zip(self.given, self._first, strict=True):
                    _restore(callback, state)
        self._always.update(
            model=loop.trained.task_model,
            optimizer=loop.plain_optimizer,
            lr_scheduler=loop.scheduler,
        )
        return self._ended

    def before_step(self, loop: Any) -> None:
        """Call before each step, and once more after the last."""
        if self.given and not loop.is_over:
            if loop.step % self._epoch_steps == 0:
                self._call("on_epoch_begin")
            self._call("on_step_begin")

    def after_step(self, loop: Any, due: Due) -> Due:
        """What is to be done after a step: what is `due`, unless a callback says otherwise."""
        if not self.given:
            return due
        self.state.global_step = loop.before + loop.step
        self.state.epoch = self.state.global_step / self._epoch_steps
        self.control.should_evaluate, self.control.should_save = due.evaluate, due.save
        self.control.should_log = False
        self._call("on_step_end")
        if loop.step % self._epoch_steps == 0 or loop.step == loop.total_steps:
            self._call("on_epoch_end")
        wanted = self.control
        assert self._args is not None  # where callbacks are given
        stops = wanted.should_training_stop and self._args.eval_strategy != "no"
        evaluate = wanted.should_evaluate or stops
        flags = (evaluate, wanted.should_save, wanted.should_log)
        return Due(*any_process(loop.accelerator, *flags))

    def evaluated(self, scores: Mapping[str, float]) -> None:
        """Tell them of scores, which hold none of the target's labels."""
        if not self.given:
            return
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self._call("on_evaluate", metrics=metrics)
        assert self._args is not None  # where callbacks are given
        score = scores.get(self._args.metric_for_best_model)
        best = self.state.best_metric
        if score is not None and (best is None or score > best):
            self.state.best_metric, self.state.best_global_step = score, self.state.global_step

    def stop(self, loop: Any) -> bool:
        """Whether the stage ends after this step because a callback asks for it."""
        if not self.given:
            return False
        early = loop.step < loop.total_steps and self.control.should_training_stop
        (self._ended,) = any_process(loop.accelerator, early)
        if self._ended:
            self.stops.append({"stage": loop.number + 1, "step": loop.step, "of": loop.total_steps})
        return self._ended

    def after_save(self) -> None:
        """Tell them that a checkpoint was saved."""
        self._call("on_save")

    def end(self) -> None:
        """End a model."""
        self._call("on_train_end")

    def remarks(self) -> list[str]:
        """What the results say of stages that were stopped."""
        return [
            f"a callback stopped stage {one['stage']} of its training after step {one['step']} of "
            f"{one['of']}."
            for one in self.stops
        ]

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run calls them as if it had never stopped."""
        kept: dict[str, Any] = {"stops": self.stops, "ended": self._ended}
        if self.given:
            names = ("epoch", "global_step", "best_metric", "best_global_step")
            kept["state"] = {name: getattr(self.state, name) for name in names}
            kept["exported"] = [_exported(one) for one in self.given]
        return kept

    def _logged(self, line: Mapping[str, Any]) -> None:
        self.state.log_history.append(dict(line))
        self._call("on_log", logs=dict(line))

    def _call(self, event: str, **more: Any) -> None:
        for callback in self.given:
            try:
                answer = getattr(callback, event)(
                    self._args, self.state, self.control, **self._always, **more
                )
            except AssertionError as error:  # how transformers' own say that an option is missing
                raise ConfigError(f"{type(callback).__name__}: {error}.") from error
            self.control = self.control if answer is None else answer


class CallbackArguments:
    """An `AdaptationConfig` with what else callbacks look for in `TrainingArguments`."""

    greater_is_better = True
    eval_delay = 0

    def __init__(self, config: AdaptationConfig) -> None:
        self.config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self.config, name)

    def to_sanitized_dict(self) -> dict[str, Any]:
        """The options, those that trackers cannot take as text."""
        return plain_options(self.config.to_dict())

    def to_json_string(self) -> str:
        """The options as JSON."""
        return json.dumps(self.config.to_dict(), indent=2)


def _instances(given: Any) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ConfigError(
            f"callbacks is a {type(given).__name__}, but must be a list of TrainerCallback."
        )
    made = [one() if isinstance(one, type) else one for one in given]
    if made:
        from transformers import TrainerCallback

        for one in made:
            if not isinstance(one, TrainerCallback):
                raise ConfigError(
                    f"callbacks holds a {type(one).__name__}: derive it from "
                    "transformers.TrainerCallback."
                )
    return made


def _exported(callback: Any) -> Any:
    from transformers.trainer_callback import ExportableState

    return callback.state() if isinstance(callback, ExportableState) else None


def _restore(callback: Any, state: Mapping[str, Any] | None) -> None:
    for name, value in (state or {}).get("attributes", {}).items():
        setattr(callback, name, value)
