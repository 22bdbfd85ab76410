"""`auto` learns from the answers of its finished source-only twin."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertForSequenceClassification

from nlp_adapt.modeling.pretrained import load_task_model
from tests.helpers.several_domains import TAGS, several_trainer
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

AS_SENTIMENT = ("AutoModelForSequenceClassification", ["negative", "positive"])
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


class Turned(BertForSequenceClassification):
    """A class of a user's own, which answers the opposite."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = -output.logits
        return output


class Deeper(BertForSequenceClassification):
    """A class of a user's own, with another head."""

    def __init__(self, config):
        super().__init__(config)
        width = config.hidden_size
        self.classifier = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.num_labels)
        )


@pytest.mark.parametrize(
    ("kind", "options"), [(Turned, {}), (Turned, {"lora": True}), (Deeper, {})]
)
def test_the_twin_of_a_users_own_class_teaches_as_that_class(tmp_path, kind, options):
    config = tiny_model("bert").config
    trainer = trainer_for(
        tmp_path, model=kind(config), **OPTIONS, keep_class_shares=False, **options
    )
    trainer.train()
    teacher = trainer.objectives["self_training"].teacher.model
    assert type(teacher) is kind
    folder, own = trainer.context.folder.source_only, teacher.state_dict()
    # Adapters come merged, as a plain model of the usual class.
    twin = load_task_model(str(folder), *AS_SENTIMENT).state_dict() if options else saved(folder)
    assert all(torch.equal(own[name], value) for name, value in twin.items())


@pytest.mark.parametrize("first", [["task", "dann"], ["task"]])
def test_frozen_states_reach_a_teacher_that_has_the_same_encoder_alone(tmp_path, first):
    """The twin of the first list has another encoder than the adapted model."""
    answers = {"teacher": "twin", "weighting": "none", "balance": 0.0}
    last = {"objectives": {"task": {}, "self_training": answers}, "freeze": "all"}
    options = {"max_steps": 6, "learning_rate": 2e-2, "data_doctor": "off"}
    options |= {"stages": [{"objectives": first}, last]}
    weights = {}
    for cached in (True, False):
        trainer = trainer_for(tmp_path / str(cached), cache_features=cached, **options)
        trainer.train()
        weights[cached] = saved(trainer.context.folder.model)
    for name, value in weights[True].items():
        torch.testing.assert_close(value, weights[False][name], atol=1e-5, rtol=1e-4)
