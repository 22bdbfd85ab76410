"""`auto` learns from the answers of its finished source-only twin."""

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.several_domains import TAGS, several_trainer
from tests.helpers.trainers import trainer_for

OPTIONS = {"method": "auto", "data_doctor": "off", "max_steps": 6}


def teacher_of(trainer):
    return trainer.objectives["self_training"].teacher.model.state_dict()


def saved(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    "options", [{}, {"lora": True}, {"freeze": 1}, {"gradient_checkpointing": True}]
)
def test_the_teacher_is_the_saved_twin(tmp_path, options):
    trainer = trainer_for(tmp_path, **OPTIONS, learning_rate=5e-3, **options)
    trainer.train()
    teacher, twin = teacher_of(trainer), saved(trainer.context.folder.source_only)
    assert all(torch.equal(teacher[name], value) for name, value in twin.items())
    adapted = saved(trainer.context.folder.model)
    assert not all(torch.equal(teacher[name], value) for name, value in adapted.items())


def test_of_taggers_too(tmp_path):
    trainer = several_trainer(
        tmp_path, **OPTIONS, task=TAGS, few_shot=None, compare_source_only=True
    )
    trainer.train()
    teacher, twin = teacher_of(trainer), saved(trainer.context.folder.source_only)
    assert all(torch.equal(teacher[name], value) for name, value in twin.items())


def test_without_a_twin_it_learns_from_itself_after_two_thirds(tmp_path):
    trainer = trainer_for(tmp_path, **OPTIONS, compare_source_only=False)
    results = trainer.train()
    assert not results["source_only"]
    assert results["adapted"]["steps"] == 6
    assert teacher_of(trainer)
