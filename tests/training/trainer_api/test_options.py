"""Options that Trainer's users bring: optimizers, logging, shares of steps, switches."""

import json

import pytest
import torch
from transformers import TrainerCallback

from nlp_adapt import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.training.schedule import Schedule
from tests.helpers.trainers import trainer_for


class Halt(TrainerCallback):
    """Ends the process, as a crash would, after two steps."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def lines(trainer):
    read = map(json.loads, trainer.folder.log.read_text().splitlines())
    return [line for line in read if "loss" in line]


def weights(trainer):
    return torch.cat([one.flatten() for one in trainer.model.state_dict().values()])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adamw_torch", {}),
        ("adafactor", {}),
        ("sgd", {"momentum": 0.9}),
        ("rmsprop", {"momentum": 0.5}),
        ("adagrad", {}),
    ],
)
def test_each_optimizer_trains_and_resumes_exactly(tmp_path, name, options):
    shared = {
        "optim": name, "optim_args": options, "compare_source_only": False, "save_steps": 1,
        "max_steps": 3, "learning_rate": 1e-3,
    }  # fmt: skip
    whole = trainer_for(tmp_path / "whole", **shared)
    whole.train()
    halted = trainer_for(tmp_path, callbacks=[Halt()], **shared)
    with pytest.raises(KeyboardInterrupt):
        halted.train()
    again = trainer_for(tmp_path, **shared)
    again.train(resume_from_checkpoint=True)
    assert torch.equal(weights(again), weights(whole))


def test_an_argument_that_an_optimizer_lacks_is_one_sentence(tmp_path):
    trainer = trainer_for(tmp_path, optim="sgd", optim_args={"betas": 1})
    with pytest.raises(ConfigError, match="optim_args: sgd answers"):
        trainer.train()


def test_a_function_makes_the_optimizer_of_each_stage(tmp_path):
    made = []

    def make(groups):
        made.append([group["name"] for group in groups])
        return torch.optim.SGD(groups, momentum=0.9)

    def schedule(optimizer, steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)

    trainer = trainer_for(tmp_path, optimizers=(make, schedule))
    trainer.train()
    assert len(made) == 2
    assert "encoder" in made[0]


def test_a_class_and_its_arguments_make_it_as_well(tmp_path):
    given = {"optimizer_cls_and_kwargs": (torch.optim.SGD, {"momentum": 0.9})}
    options = {"compare_source_only": False, "learning_rate": 1e-2}
    by_class = trainer_for(tmp_path / "class", **given, **options)
    by_name = trainer_for(tmp_path / "name", optim="sgd", optim_args={"momentum": 0.9}, **options)
    by_class.train()
    by_name.train()
    assert torch.equal(weights(by_class), weights(by_name))


def test_an_optimizer_that_is_made_already_is_refused(tmp_path):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    for given in ((optimizer, None), optimizer, (None, None, None)):
        with pytest.raises(ConfigError, match="each stage of both models needs its own"):
            trainer_for(tmp_path, optimizers=given)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda groups: None, "returned a NoneType"),
        (lambda groups: torch.optim.SGD(groups[:1]), "very parameters"),
    ],
)
def test_a_function_must_make_an_optimizer_of_the_groups(tmp_path, make, said):
    with pytest.raises(ConfigError, match=said):
        trainer_for(tmp_path, optimizers=(make, None)).train()


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"logging_steps": 2}, [2, 4]),
        ({"logging_steps": 2, "logging_first_step": True}, [1, 2, 4]),
        ({"logging_steps": 0.25}, [1, 2, 3, 4]),
        ({"logging_strategy": "no"}, [4]),
        ({"logging_strategy": "epoch"}, [4]),
    ],
)
def test_lines_come_when_they_are_asked_for(tmp_path, options, steps):
    shared = {"compare_source_only": False, "max_steps": 4, **options}
    trainer = trainer_for(tmp_path, **shared)
    trainer.train()
    assert [line["step"] for line in lines(trainer)] == steps


def test_a_model_is_scored_before_its_first_step(tmp_path):
    trainer = trainer_for(tmp_path, eval_on_start=True, load_best_model_at_end=True)
    best = trainer.train()["adapted"]["best"]
    first = [line for line in trainer.state.log_history if line["step"] == 0]
    assert [line["model"] for line in first] == ["source_only", "adapted"]
    assert all("label_free" in line for line in first)
    assert best["step"] > 0  # what nothing has trained is never chosen


def test_steps_may_be_shares_of_a_stage():
    config = AdaptationConfig(eval_strategy="steps", eval_steps=0.25, save_steps=0.5)
    schedule = Schedule(config, [], epoch_rows=8, global_batch=4)
    due = [schedule.due(step, 8) for step in range(1, 9)]
    assert [one.evaluate for one in due] == [False, True] * 4
    assert [step for step, one in enumerate(due, 1) if one.save] == [4, 8]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eval_steps": 1.5}, "must be whole, or below 1"),
        ({"logging_steps": 0}, "must be above 0"),
        ({"optim": "lion_32bit"}, "must be one of adamw_torch_fused"),
        ({"torch_compile_mode": "reduce-overhead"}, "need torch_compile"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        AdaptationConfig(**options)


def test_another_data_seed_gives_another_order_of_rows(tmp_path):
    options = {"compare_source_only": False}
    ledgers = [
        trainer_for(tmp_path / name, **options, **more).train()["adapted"]["ledger"]
        for name, more in {
            "plain": {},
            "same": {"data_seed": 42},
            "other": {"data_seed": 1},
        }.items()
    ]
    assert ledgers[0] == ledgers[1] != ledgers[2]


def test_deterministic_operations_are_asked_of_torch(tmp_path, monkeypatch):
    import transformers

    asked = []
    monkeypatch.setattr(transformers, "enable_full_determinism", asked.append)
    trainer_for(tmp_path, full_determinism=True, use_cpu=True, seed=5).train()
    assert asked == [5]
