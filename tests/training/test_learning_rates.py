"""Learning-rate schedules with arguments: followed, or refused before anything trains."""

from __future__ import annotations

import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.checks import check_rates
from nlp_adapt.training.optimization import build_scheduler
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.trainers import trainer_for


def rates(steps, **options):
    """The learning rate of each step of a stage, as a share of the recipe's."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    config = AdaptationConfig(learning_rate=1.0, warmup_steps=0.0, **options)
    scheduler = build_scheduler(optimizer, config, steps)
    return [scheduler.lr_lambdas[0](step) for step in range(steps)]


def schedule(name, **arguments):
    return {"lr_scheduler_type": name, "lr_scheduler_kwargs": arguments}


def test_arguments_reach_the_schedule():
    restarts = rates(8, **schedule("cosine_with_restarts", num_cycles=2))
    assert restarts[0] == restarts[4] == 1.0
    assert restarts[3] < restarts[4]
    assert rates(4, **schedule("polynomial", power=2.0, lr_end=0.0))[2] == pytest.approx(0.25)
    assert rates(8, **schedule("inverse_sqrt", timescale=4))[4] == pytest.approx(2**-0.5)
    assert min(rates(9, **schedule("cosine_with_min_lr", min_lr_rate=0.3))) >= 0.3
    assert min(rates(9, **schedule("cosine_with_min_lr", min_lr=0.3))) >= 0.3


def test_steps_below_one_are_a_share_of_the_stage():
    by_share = rates(10, **schedule("warmup_stable_decay", num_decay_steps=0.2))
    assert by_share == rates(10, **schedule("warmup_stable_decay", num_decay_steps=2))
    assert by_share[:9] == [1.0] * 9
    assert by_share[9] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (schedule("warmup_stable_decay"), r"needs num_decay_steps: set lr_scheduler_kwargs"),
        (schedule("cosine_with_min_lr"), r"One of min_lr or min_lr_rate should be set"),
        (schedule("cosine_with_min_lr", min_lr=1e-6, min_lr_rate=0.1), "Only one of"),
        (schedule("linear", num_cycles=2), r"linear takes no 'num_cycles' \(it takes nothing\)"),
        (schedule("constant", num_cycles=2), "constant takes no 'num_cycles'"),
        (schedule("constant_with_warmup", power=2), "constant_with_warmup takes no 'power'"),
        (schedule("cosine", num_cycle=2), "did you mean 'num_cycles'"),
        (schedule("cosine", num_training_steps=2), "takes no 'num_training_steps'"),
        (schedule("cosine", num_cycles="two"), r"lr_scheduler_kwargs \{'num_cycles': 'two'\}"),
        (schedule("polynomial", lr_end=1.0), "must be smaller than initial lr"),
        (schedule("polynomial", power="x"), "polynomial"),
        (schedule("inverse_sqrt", timescale=0), "inverse_sqrt"),
        (schedule("warmup_stable_decay", num_decay_steps=2, decay_type="square"), "square"),
        (schedule("warmup_stable_decay", num_decay_steps="2"), "warmup_stable_decay"),
        (schedule("warmup_stable_decay", num_decay_steps=2, num_stable_steps=9), "num_stable_st"),
        (schedule("cosin"), "lr_scheduler_type is 'cosin', but must be one of .* mean 'cosine'"),
        (schedule("reduce_lr_on_plateau"), "follows a score"),
        (schedule("greedy"), "follows a score"),
    ],
)
def test_what_a_schedule_lacks_or_cannot_use_is_refused_before_data_is_read(
    tmp_path, options, message
):
    with pytest.raises(ConfigError, match=message):
        trainer_for(tmp_path, **options)


def test_a_recipe_is_refused_before_its_files_are_read(tmp_path):
    recipe = load_recipe(
        None, {**schedule("warmup_stable_decay"), "source": "no.csv", "output_dir": str(tmp_path)}
    )
    with pytest.raises(ConfigError, match="needs num_decay_steps"):
        AdaptationTrainer.from_recipe(recipe)


def test_phases_longer_than_a_stage_are_refused_before_the_first_stage(tmp_path):
    trainer = trainer_for(
        tmp_path, method="daln", max_steps=12, **schedule("warmup_stable_decay", num_decay_steps=5)
    )
    with pytest.raises(ConfigError, match="num_decay_steps 5 are more than the 4 steps of a stage"):
        trainer.train()
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_run_trains_by_a_schedule_with_arguments(tmp_path):
    options = schedule("warmup_stable_decay", num_decay_steps=0.5)
    results = trainer_for(tmp_path, method="daln", max_steps=6, **options).train()
    assert results["adapted"]["steps"] == 6
    assert load_recipe(tmp_path / "run" / "recipe.yaml").lr_scheduler_kwargs == {
        "num_decay_steps": 0.5
    }


def test_dots_reach_the_arguments():
    recipe = load_recipe(None, {"lr_scheduler_kwargs.num_cycles": "2"})
    assert recipe.lr_scheduler_kwargs == {"num_cycles": 2}
    check_rates(AdaptationConfig(**schedule("cosine_with_restarts", num_cycles=2)))
