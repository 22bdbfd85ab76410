"""Judging the adversary in plain words, and the test on two rows before training."""

import json
import logging
import math

import numpy as np
import pytest
import torch

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import RunError
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import OBJECTIVES, Setup, build_objective
from nlp_adapt.objectives import dann as dann_module
from nlp_adapt.objectives.dann import AdversarialObjective, Dann
from nlp_adapt.training.health import AdversaryHealth, judge_adversary, length_probe
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.self_test import self_test
from tests.helpers.tiny_encoders import random_rows, tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

ADVERSARIES = sorted(n for n, kind in OBJECTIVES.items() if issubclass(kind, AdversarialObjective))


def rows_of_length(*lengths):
    return pack_rows([[2, *[7] * (length - 2), 3] for length in lengths])


def test_the_length_probe_is_the_best_threshold():
    generator = np.random.default_rng(0)
    source = rows_of_length(*generator.integers(3, 20, 60))
    target = rows_of_length(*generator.integers(8, 30, 40))
    best = max(
        max(share, 1 - share)
        for limit in range(31)
        for share in [((source.lengths <= limit).mean() + (target.lengths > limit).mean()) / 2]
    )
    assert length_probe(source, target) == pytest.approx(best)
    assert length_probe(source, source) == 0.5
    assert length_probe(rows_of_length(4, 5), rows_of_length(9, 11)) == 1.0


def health_of(points, **options):
    health = AdversaryHealth(**options)
    for step, (accuracy, entropy) in enumerate(points):
        health.add({"step": step, "dann/accuracy": accuracy, "dann/entropy": entropy,
                    "dann/lambda": 0.5, "task/accuracy": 0.9})  # fmt: skip
    return health.report()["dann"]


@pytest.mark.parametrize(
    ("points", "options", "words", "advice"),
    [
        ([(0.5, math.log(2))] * 6, {}, "never did better than chance", "discriminator_learning_rate"),
        ([(1 / 3, math.log(3))] * 6, {"sources": 2}, "never did better than chance", "source_warmup"),
        ([(0.9, 0.2), (0.99, 0.01), (1.0, 0.0)], {}, "near certainty", "lambda_max"),
        ([(0.99, 0.02)] * 4, {"length_accuracy": 0.97}, "length alone", "max_length"),
    ],
)  # fmt: skip
def test_a_sick_adversary_is_named_with_what_to_change(points, options, words, advice):
    found = health_of(points, **options)
    assert words in found["verdict"]
    assert advice in found["advice"]


@pytest.mark.parametrize(
    "points",
    [
        [(0.5, 0.69), (0.8, 0.4), (0.75, 0.5), (0.5, 0.69)],
        [(0.99, 0.05), (0.9, 0.2), (0.7, 0.5), (0.6, 0.6)],
    ],
)
def test_a_living_adversary_is_left_alone(points):
    found = health_of(points)
    assert "alive" in found["verdict"]
    assert found["advice"] == ""


def judged(name, lines, **options):
    health = AdversaryHealth(**options)
    for step, line in enumerate(lines):
        health.add({"step": step, f"{name}/lambda": 1.0, **line})
    return health.report()[name]


def ratios(name, *values, **more):
    return [{f"{name}/gradient_ratio": value, "task": 0.6, **more} for value in values]


@pytest.mark.parametrize("name", ["mdd", "wasserstein", "daln"])
def test_adversaries_without_a_discriminator_are_judged_by_their_gradient(name):
    found = judged(name, ratios(name, 0.1, 0.4, 2.0, 3.0, 5.0, 4.0))
    assert found["gradient_ratio"] == {"start": 0.25, "end": 4.5}
    assert "alive: its gradient is 4.5 times the task's" in found["verdict"]
    assert found["advice"] == ""
    assert "accuracy" not in found
    assert "length_alone" not in found


def test_an_adversary_that_has_no_say_is_named():
    found = judged("mdd", ratios("mdd", 0.0, 0.001, 0.003, 0.002))
    assert "has no say: its gradient in the encoder was never more than 0.003" in found["verdict"]
    assert "lambda_max or options.mdd.weight" in found["advice"]
    # One that had it, and has hidden the domains since, has done its work.
    assert judged("mdd", ratios("mdd", 0.5, 0.3, 0.001, 0.001))["advice"] == ""


def test_an_adversary_that_drowns_the_task_is_named():
    found = judged("wasserstein", ratios("wasserstein", 1.0, 5.0, 30.0, 40.0, 9000.0, 35.0))
    assert "drowns the task" in found["verdict"]
    assert "(loss 0.60)" in found["verdict"]
    assert "Lower lambda_max or options.wasserstein.weight" in found["advice"]
    living = [
        {"dann/accuracy": 0.7, "dann/entropy": 0.5, **line} for line in ratios("dann", *[50.0] * 4)
    ]
    assert "drowns the task" in judged("dann", living)["verdict"]


@pytest.mark.parametrize("learnt", [{"task": 0.05}, {"task": 0.4, "task/accuracy": 0.99}])
def test_beside_a_task_that_is_learnt_any_gradient_is_large(learnt):
    """Label smoothing keeps the loss up, so that the accuracy counts too."""
    assert judged("dann", ratios("dann", *[60.0] * 6, **learnt))["advice"] == ""


def test_distillation_stands_for_the_task():
    held = [{"adda/gradient_ratio": 30.0, "adda_distillation": value} for value in [0.01] * 6]
    assert judged("adda", held)["advice"] == ""
    lost = [{"adda/gradient_ratio": 30.0, "adda_distillation": value} for value in [0.9] * 6]
    assert "drowns the task" in judged("adda", lost)["verdict"]


def test_what_was_not_measured_is_said_and_not_judged():
    note = {"step": 0, "gradient_ratio": "not measured: a compiled encoder hides them"}
    health = AdversaryHealth()
    for line in [note, *[{"step": step, "mdd/lambda": 1.0} for step in range(5)]]:
        health.add(line)
    found = health.report()["mdd"]
    assert found["unmeasured"] == "not measured: a compiled encoder hides them"
    assert found["verdict"] == "the adversary is alive: nothing speaks against it."
    assert "gradient_ratio" not in found
    # A log of an earlier version knows nothing of ratios.
    found = health_of([(0.8, 0.4)] * 4)
    assert "unmeasured" not in found
    assert found["verdict"] == "the discriminator is alive: it ends at an accuracy of 0.80."


def test_a_short_log_is_not_judged():
    assert "too few" in health_of([(0.5, 0.69)])["verdict"]


def test_domains_that_differ_in_length_alone_are_reported(tmp_path, caplog):
    log = tmp_path / "log.jsonl"
    line = {"dann/accuracy": 0.99, "dann/entropy": 0.01, "dann/lambda": 1.0}
    log.write_text(
        "".join(json.dumps({"model": "adapted", "step": s, **line}) + "\n" for s in range(4))
    )
    rows = {"source": rows_of_length(4, 5, 6), "target": rows_of_length(20, 21, 22)}
    with caplog.at_level(logging.WARNING):
        report = judge_adversary(log, "adapted", rows)
    assert report["dann"]["length_alone"] == 1.0
    assert "length alone tells the domains apart with 1.00" in caplog.text
    assert judge_adversary(log, "source_only", rows) == {}
    assert judge_adversary(log, "adapted", {"source": rows["source"]}) == {}


def test_a_run_reports_on_its_discriminator(tmp_path):
    results = trainer_for(tmp_path, max_steps=4, data_doctor="off").train()
    assert 0 <= results["adapted"]["adversary"]["dann"]["accuracy"]["end"] <= 1
    assert results["source_only"]["adversary"] == {}


def adaptation(name):
    model = tiny_model()
    setup = Setup(features=32, num_labels=2, task_model=model, tokenizer=tiny_tokenizer(),
                  label_counts=torch.tensor([3.0, 4.0]))  # fmt: skip
    objective = build_objective(name, {}, setup)
    reader = UnitReader(model)
    return AdaptationModel(model, reader, {name: objective})


ROWS = {"source": random_rows(3, 1, labels=2), "target": random_rows(3, 2).in_domain(1)}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_every_adversary_passes_and_nothing_is_changed(name):
    model = adaptation(name).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    states = torch.get_rng_state()
    self_test(model, ROWS, 0, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), states)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_missing_reversal_is_found(monkeypatch):
    monkeypatch.setattr(dann_module, "reverse_gradient", lambda features, strength: features)
    with pytest.raises(RunError, match="objective 'dann': the gradient that reaches the encoder"):
        self_test(adaptation("dann"), ROWS, 0, torch.device("cpu"))


def test_a_double_reversal_is_found(monkeypatch):
    once = dann_module.reverse_gradient
    twice = lambda features, strength: once(once(features, strength), strength)  # noqa: E731
    monkeypatch.setattr(dann_module, "reverse_gradient", twice)
    with pytest.raises(RunError, match="not the discriminator's"):
        self_test(adaptation("dann"), ROWS, 0, torch.device("cpu"))


def test_a_target_that_does_not_reach_the_discriminator_is_found(monkeypatch):
    def source_alone(self, source, target, progress):
        features = dann_module.reverse_gradient(source.features, self.strength(progress))
        return {"dann": self.discriminator(features)[:, 0].sum()}

    monkeypatch.setattr(Dann, "losses", source_alone)
    with pytest.raises(RunError, match="target row has no part"):
        self_test(adaptation("dann"), ROWS, 0, torch.device("cpu"))


def test_a_discriminator_cut_off_from_the_encoder_is_found(monkeypatch):
    monkeypatch.setattr(
        dann_module, "reverse_gradient", lambda features, strength: features.detach()
    )
    with pytest.raises(RunError, match="does not reach the encoder"):
        self_test(adaptation("dann"), ROWS, 0, torch.device("cpu"))
