"""transformers' callbacks hear of both models, and what they ask for is done."""

import json

import pytest
from transformers import EarlyStoppingCallback, ProgressCallback, TrainerCallback
from transformers.trainer_callback import ExportableState

from nlp_adapt.errors import ConfigError, RunStopped
from tests.helpers.trainers import trainer_for

EVENTS = [name for name in vars(TrainerCallback) if name.startswith("on_")]


class Recorder(TrainerCallback):
    """Notes each event with the model and the step."""

    def __init__(self):
        self.heard = []
        self.metrics = []
        self.logs = []

    def named(self, event):
        return [(model, step) for name, model, step in self.heard if name == event]


def _note(event):
    def method(self, args, state, control, **kwargs):
        self.heard.append((event, state.trial_name, state.global_step))
        if event == "on_evaluate":
            self.metrics.append(kwargs["metrics"])
        if event == "on_log":
            self.logs.append(kwargs["logs"])

    return method


for _event in EVENTS:
    setattr(Recorder, _event, _note(_event))


class At(TrainerCallback):
    """Asks for something after a step."""

    def __init__(self, step, model="adapted", **wishes):
        self.step, self.model, self.wishes = step, model, wishes

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step and state.trial_name == self.model:
            for name, value in self.wishes.items():
                setattr(control, name, value)
        return control


class Counter(TrainerCallback, ExportableState):
    """Counts steps, and is saved."""

    def __init__(self):
        self.steps = 0

    def on_step_end(self, args, state, control, **kwargs):
        self.steps += 1

    def state(self):
        return {"args": {}, "attributes": {"steps": self.steps}}


def run(tmp_path, *callbacks, **options):
    trainer = trainer_for(
        tmp_path, callbacks=list(callbacks), max_steps=4, logging_steps=2, **options
    )
    trainer.train()
    return trainer


def lines(trainer, model="adapted"):
    read = map(json.loads, trainer.folder.log.read_text().splitlines())
    return [line for line in read if line["model"] == model]


def test_each_model_is_a_training_of_its_own(tmp_path):
    recorder = Recorder()
    trainer = run(tmp_path, recorder, ProgressCallback, eval_strategy="steps", eval_steps=3)
    assert recorder.heard[0] == ("on_init_end", None, 0)
    models = ["source_only", "adapted"]
    assert recorder.named("on_train_begin") == [(name, 0) for name in models]
    assert recorder.named("on_train_end") == [(name, 4) for name in models]
    assert recorder.named("on_step_begin") == [(name, i) for name in models for i in range(4)]
    assert recorder.named("on_step_end") == [(name, i + 1) for name in models for i in range(4)]
    assert recorder.named("on_evaluate") == [(name, step) for name in models for step in (3, 4)]
    assert recorder.named("on_save") == [(name, 4) for name in models]
    assert recorder.named("on_epoch_begin")[0] == ("source_only", 0)
    assert recorder.named("on_epoch_end")[-1] == ("adapted", 4)
    assert {"eval_label_free", "eval_source_validation/accuracy"} <= recorder.metrics[0].keys()
    assert recorder.logs == trainer.state.log_history == trainer.callbacks.state.log_history


def test_callbacks_hear_nothing_of_target_labels(tmp_path):
    recorder = Recorder()
    trainer = run(tmp_path, recorder, compare_source_only=False)
    heard = {name for metrics in recorder.metrics for name in metrics}
    assert not [name for name in heard if "target" in name]
    assert trainer.results["adapted"]["target"]


def test_scores_checkpoints_and_lines_come_when_they_are_asked_for(tmp_path):
    recorder = Recorder()
    wish = At(1, should_evaluate=True, should_save=True, should_log=True)
    last = At(4, should_evaluate=False, should_save=False)
    trainer = run(tmp_path, wish, last, recorder, compare_source_only=False)
    assert recorder.named("on_evaluate") == [("adapted", 1)]
    assert recorder.named("on_save") == [("adapted", 1)]
    assert [line["step"] for line in lines(trainer) if "loss" in line] == [1, 2, 4]


def test_a_run_that_nothing_interferes_with_is_the_same(tmp_path):
    plain = run(tmp_path / "plain", compare_source_only=False)
    heard = run(tmp_path / "heard", Recorder(), compare_source_only=False)
    assert heard.results["adapted"]["ledger"] == plain.results["adapted"]["ledger"]
    assert heard.results["adapted"]["source"] == plain.results["adapted"]["source"]


def test_a_stop_ends_the_stage_and_the_results_say_so(tmp_path):
    recorder = Recorder()
    stop = At(2, "source_only", should_training_stop=True)
    trainer = run(tmp_path, stop, recorder, eval_strategy="epoch")
    twin, adapted = trainer.results["source_only"], trainer.results["adapted"]
    assert (twin["steps"], adapted["steps"]) == (2, 4)
    assert twin["stopped_early"] == [{"stage": 1, "step": 2, "of": 4}]
    assert "stopped_early" not in adapted
    assert ("source_only", 2) in recorder.named("on_evaluate")
    assert ("source_only", 2) in recorder.named("on_save")
    said = " ".join(str(trainer.results).split())  # a line of the screen may end anywhere
    assert "stopped stage 1 of its training after step 2 of 4" in said


def test_a_stop_in_one_stage_leaves_the_others(tmp_path):
    stages = [
        {"objectives": {"task": {}}, "steps": 3},
        {"objectives": {"dann": {}, "task": {}}, "steps": 3},
    ]
    trainer = trainer_for(
        tmp_path, callbacks=[At(1, should_training_stop=True)], stages=stages, max_steps=-1,
        compare_source_only=False,
    )  # fmt: skip
    scores = trainer.train()["adapted"]
    assert scores["steps"] == 4
    assert scores["stopped_early"] == [{"stage": 1, "step": 1, "of": 3}]


def test_early_stopping_counts_scores_that_are_no_better(tmp_path):
    # With a learning rate of 0 no score is better than the first.
    trainer = run(
        tmp_path,
        EarlyStoppingCallback(early_stopping_patience=2),
        learning_rate=0.0,
        head_learning_rate=0.0,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="label_free",
    )
    for name in ("source_only", "adapted"):
        assert trainer.results[name]["stopped_early"] == [{"stage": 1, "step": 3, "of": 4}]
        assert trainer.results[name]["best"]["metric"] == "label_free"


def test_early_stopping_needs_scores(tmp_path):
    with pytest.raises(ConfigError, match=r"EarlyStoppingCallback: .*IntervalStrategy"):
        run(tmp_path, EarlyStoppingCallback(), eval_strategy="no")


class Interrupt(TrainerCallback):
    """Stops the run as a signal would, at a step of the adapted model."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.trial_name == "adapted" and state.global_step == self.step:
            raise KeyboardInterrupt


def test_a_resumed_run_calls_them_as_if_it_had_never_stopped(tmp_path):
    options = {"compare_source_only": False, "save_strategy": "steps", "save_steps": 1}
    whole = Counter()
    expected = run(tmp_path / "whole", whole, **options).results["adapted"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Counter(), Interrupt(3), **options)
    again, recorder = Counter(), Recorder()
    trainer = trainer_for(
        tmp_path, callbacks=[again, recorder], max_steps=4, logging_steps=2, **options
    )
    found = trainer.train(resume_from_checkpoint=True)["adapted"]
    assert again.steps == whole.steps == 4
    assert recorder.named("on_step_end") == [("adapted", 3), ("adapted", 4)]
    assert (found["ledger"], found["source"]) == (expected["ledger"], expected["source"])


def test_a_stopped_stage_stays_stopped_when_its_run_is_resumed(tmp_path, monkeypatch):
    from nlp_adapt.training.run import Run

    def interrupted(self, training, kept):
        raise RunStopped("stopped", 15)

    options = {"compare_source_only": False, "max_steps": 4}
    wish = At(2, should_training_stop=True)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "_score", interrupted)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path, callbacks=[wish], **options).train()
    found = trainer_for(tmp_path, callbacks=[wish], **options).train(resume_from_checkpoint=True)
    assert found["adapted"]["steps"] == 2
    assert found["adapted"]["stopped_early"] == [{"stage": 1, "step": 2, "of": 4}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ProgressCallback(), "callbacks is a ProgressCallback, but must be a list"),
        ([print], "callbacks holds a builtin_function_or_method"),
    ],
)
def test_what_is_no_callback_is_refused(tmp_path, given, said):
    with pytest.raises(ConfigError, match=said):
        trainer_for(tmp_path, callbacks=given)


def test_callbacks_are_added_and_taken_back(tmp_path):
    class Other(TrainerCallback):
        pass

    kept, dropped = Recorder(), Recorder()
    trainer = trainer_for(tmp_path, callbacks=[dropped])
    trainer.add_callback(kept)
    trainer.add_callback(Other)
    assert trainer.pop_callback(dropped) is dropped
    trainer.remove_callback(Other)
    assert trainer.pop_callback(Other) is None
    assert trainer.callbacks.given == [kept]
    trainer.train()
    assert kept.logs
    assert not dropped.logs
