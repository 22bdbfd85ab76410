"""A teacher answers the rows that distillation reads, and no others."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.objectives.distillation import Distillation
from nlp_adapt.prediction.opening import load_predictor, save_ensemble
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.several_domains import several_trainer
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain, trainer_for


@pytest.fixture
def teacher(tmp_path):
    folder = tmp_path / "teacher"
    model = tiny_model("roberta", labels=NAMES, seed=3)
    with torch.no_grad():  # a random head says the same of every text
        for parameter in model.classifier.parameters():
            parameter *= 20
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def distilling(domains, *beside):
    objectives = {"distillation": {"domains": domains}, **{name: {} for name in beside}}
    return [{"objectives": objectives, "steps": 3}]


@pytest.mark.parametrize("domains", ["target", "source", "both"])
def test_only_rows_that_distillation_reads_are_answered(tmp_path, teacher, domains):
    trainer = several_trainer(tmp_path, teacher=teacher, stages=distilling(domains, "task"))
    train = trainer.data.train
    answered = {name for name, rows in train.items() if rows.teacher is not None}
    wanted = {"target": {"target", "few_shot"}, "source": {"source"}}
    assert answered == wanted.get(domains, {"source", "target", "few_shot"})
    predictor = load_predictor(teacher)
    for name in answered:
        expected = predictor.logits(train[name])
        np.testing.assert_allclose(train[name].teacher, expected, atol=1e-5)
        assert np.ptp(expected) > 0.1


def random_side(seed):
    logits, answers = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(seed))
    units = torch.arange(4)
    labels = torch.full_like(units, -100)
    return DomainOutput(torch.zeros(4, 3), logits, labels, units, units, 4.0, 0.0, teacher=answers)


@pytest.mark.parametrize(("domains", "sides"), [("target", [1]), ("source", [0]), ("both", [0, 1])])
def test_the_loss_is_that_of_the_named_domains(domains, sides):
    both = [random_side(0), random_side(1)]
    of_one = build_objective("distillation", {"domains": "target"}, Setup(3, 2))
    nothing = replace(both[0], teacher=None)
    wanted = [of_one.losses(nothing, both[side], Progress(0, 1))["distillation"] for side in sides]
    objective = build_objective("distillation", {"domains": domains}, Setup(3, 2))
    found = objective.losses(*both, Progress(0, 1))["distillation"]
    torch.testing.assert_close(found, torch.stack(wanted).mean())


@pytest.mark.parametrize("domains", ["target", "source", "both"])
def test_a_student_learns_beside_the_task(tmp_path, teacher, domains):
    """Whichever rows of a batch the teacher was not asked of."""
    trainer = several_trainer(tmp_path, teacher=teacher, stages=distilling(domains, "task"))
    trainer.train()
    losses = logged(tmp_path)
    assert len(losses) == 3
    assert all(0 < loss < 10 for loss in losses)


def test_a_student_learns_of_the_source_while_the_target_is_streamed(tmp_path, teacher):
    target = tmp_path / "target.txt"
    target.write_text("word1 word2\nword3\n" * 20)
    config = AdaptationConfig(
        output_dir=str(tmp_path / "run"), teacher=teacher, streaming=True, precision="fp32",
        stages=distilling("source", "dann"), data_doctor="off", disable_tqdm=True,
        compare_source_only=False, logging_steps=1,
    )  # fmt: skip
    source, tokenizer = toy_domain("reviews", 30), tiny_tokenizer()
    AdaptationTrainer(tiny_model(), config, source, str(target), processing_class=tokenizer).train()
    assert all(0 < loss < 10 for loss in logged(tmp_path))


def logged(folder):
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").open()]
    return [line["distillation"] for line in lines if "distillation" in line]


def test_a_bar_tells_how_many_rows_every_member_has_answered(tmp_path, teacher, capsys):
    save_ensemble(tmp_path / "both", [teacher, teacher])
    options = {"method": "distillation", "compare_source_only": False, "data_doctor": "off"}
    trainer_for(tmp_path, teacher=str(tmp_path / "both"), disable_tqdm=False, **options).train()
    rows = 2 * len(toy_domain("tweets", 50).train)
    shown = capsys.readouterr().err
    assert "teacher: answers: 100%|" in shown
    assert f"{rows}/{rows}" in shown


class Gentle(Distillation):
    """A user's own distillation."""


def test_an_own_kind_of_distillation_is_taught_as_well(tmp_path, teacher):
    stages = [{"objectives": {f"{__name__}:Gentle": {}}, "steps": 2}]
    trainer_for(tmp_path, teacher=teacher, stages=stages, max_steps=-1).train()
    losses = logged(tmp_path)
    assert losses
    assert all(0 < loss < 10 for loss in losses)


def test_a_teacher_that_is_asked_nothing_is_not_even_loaded(tmp_path):
    assert trainer_for(tmp_path, teacher=str(tmp_path / "none")).train()["adapted"]["steps"] == 2


def test_rows_may_be_looked_at_before_a_run_of_any_precision(tmp_path, teacher):
    options = {"method": "distillation", "precision": "fp16"}
    trainer = trainer_for(tmp_path, teacher=teacher, **options)
    assert np.isfinite(trainer.data.train["target"].teacher).all()


def test_answers_that_are_no_numbers_are_refused(tmp_path, teacher, monkeypatch):
    from nlp_adapt.prediction.predictor import Predictor

    broken = lambda self, rows, told=None: np.full((rows.units, 2), np.nan)  # noqa: E731
    monkeypatch.setattr(Predictor, "logits", broken)
    with pytest.raises(ModelError, match="answers are not finite; set precision: fp32"):
        trainer_for(tmp_path, teacher=teacher, method="distillation").train()
