"""The twin's schedule: the method's own stages, without what adapts."""

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import Stage, stages_for
from nlp_adapt.training.schedule import ADAPTED, SOURCE_ONLY, Schedule
from tests.helpers.trainers import trainer_for

TASK = {"task": {}}


def schedule_of(rows=60, **options):
    config = AdaptationConfig(**options)
    return Schedule(config, stages_for(config), rows, global_batch=10)


@pytest.mark.parametrize("length", [{"max_steps": 10}, {"num_train_epochs": 3.0}])
def test_the_twin_goes_through_the_stages_of_the_method(length):
    schedule = schedule_of(method="auto", **length)
    twin, adapted = (schedule.models[name] for name in (SOURCE_ONLY, ADAPTED))
    assert [stage.objectives for stage in twin] == [TASK, TASK]
    assert [stage.epochs for stage in twin] == [stage.epochs for stage in adapted]
    assert schedule.steps(SOURCE_ONLY) == schedule.steps(ADAPTED)
    assert len(schedule.steps(SOURCE_ONLY)) == 2


def test_the_twin_starts_where_labels_are_learnt():
    stages = [
        {"objectives": ["mlm"], "steps": 3},
        {"objectives": {"task": {"label_smoothing": 0.1}, "dann": {}}, "steps": 4},
        {"objectives": ["adda"], "steps": 5, "learning_rate": 1e-5, "freeze": "embeddings"},
    ]
    schedule = schedule_of(stages=stages)
    assert schedule.models[SOURCE_ONLY] == [
        Stage({"task": {"label_smoothing": 0.1}}, steps=4),
        Stage(TASK, steps=5, learning_rate=1e-5, freeze="embeddings"),
    ]
    assert schedule.steps(SOURCE_ONLY) == [4, 5]
    assert schedule.steps(ADAPTED) == [3, 4, 5]


def test_a_fitted_head_has_a_fitted_twin():
    schedule = schedule_of(method="shallow_coral")
    assert schedule.models[SOURCE_ONLY] == [Stage({}, fit="logistic_regression")]
    assert schedule.steps(SOURCE_ONLY) == [0]
    stages = [{"fit": "coral"}, {"objectives": ["task", "mcc"], "steps": 2}]
    schedule = schedule_of(stages=stages)
    assert [stage.fit for stage in schedule.models[SOURCE_ONLY]] == ["logistic_regression", None]
    assert schedule.steps(SOURCE_ONLY) == [0, 2]


def test_one_rule_picks_the_checkpoint_of_both_models(tmp_path):
    results = trainer_for(tmp_path, method="auto", max_steps=4, load_best_model_at_end=True).train()
    twin, adapted = (results[name]["best"] for name in (SOURCE_ONLY, ADAPTED))
    assert twin["metric"] == adapted["metric"] == "label_free"
    assert twin["step"] <= 4 < adapted["step"] <= 8


def test_source_only_is_its_own_twin(tmp_path):
    """Nothing adapts, so both models see the same rows in the same order."""
    results = trainer_for(tmp_path, method="source_only", max_steps=2).train()
    assert results["source_only"]["target"] == results["adapted"]["target"]
