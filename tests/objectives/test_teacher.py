"""The averaged teacher, self-training and consistency."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import build_objective
from nlp_adapt.objectives.self_training import (
    ConfidenceStatistics,
    align,
    balancing_factors,
    pseudo_labels,
)
from nlp_adapt.objectives.teacher import EmaTeacher
from nlp_adapt.objectives.views import select_side
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.tiny_batches import make_batch, make_model, make_setup, make_view
from tests.helpers.toy_problem import make_outputs, train_on_toy


def test_teacher_follows_the_student_by_the_ema_formula():
    student = make_model()
    teacher = EmaTeacher(student, decay=0.9)
    expected = {name: value.clone() for name, value in student.named_parameters()}
    for step in (1, 2, 500):
        for parameter in student.parameters():
            parameter.data += torch.randn_like(parameter)
        teacher.update(student, step)
        decay = min(0.9, 1 - 1 / (1 + step))
        for name, value in student.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach()
    for name, value in teacher.model.named_parameters():
        torch.testing.assert_close(value, expected[name])
        assert not value.requires_grad


@pytest.mark.parametrize("name", ["self_training", "consistency"])
def test_the_teacher_of_a_short_stage_is_the_mean_of_its_students(name):
    """40 steps: neither the first student, nor the last, nor the same whatever the decay."""
    student = make_model()
    slow, quick = (
        build_objective(name, {"ema_decay": decay}, make_setup(student)) for decay in (0.99, 0.9)
    )
    watched = student.classifier.weight
    students = [watched.detach().clone()]
    for step in range(1, 41):
        watched.data += 0.1 * torch.randn_like(watched) + 0.1
        students.append(watched.detach().clone())
        for objective in (slow, quick):
            objective.after_step(student, Progress(step, 40))
    first, second = (one.teacher.model.classifier.weight for one in (slow, quick))
    torch.testing.assert_close(first, torch.stack(students).mean(0))
    lag = [
        (students[-1] - found).mean() / (students[-1] - students[0]).mean()
        for found in (first, second)
    ]
    assert 0.4 < lag[0] < 0.6
    assert 0.1 < lag[1] < 0.3


def test_teacher_keeps_evaluation_mode_and_survives_a_recorded_forward_pass():
    student = make_model()
    reader = UnitReader(student)
    student(**{key: make_batch()[key] for key in ("input_ids", "attention_mask")})
    objective = build_objective("self_training", {}, make_setup(student))
    wrapped = AdaptationModel(student, reader, {"self_training": objective}).train()
    assert student.training
    assert not any(module.training for module in objective.teacher.modules())
    batch = make_batch()
    logits = objective.teacher(select_side(batch, "target"))
    assert torch.equal(logits, objective.teacher(select_side(batch, "target")))
    wrapped(batch, Progress(3, 10))["loss"].backward()
    assert all(p.grad is None for p in objective.teacher.parameters())


@pytest.mark.parametrize("name", ["self_training", "consistency"])
def test_a_twin_that_teaches_stays_as_it_is(name):
    student, twin = make_model(), make_model()
    with torch.no_grad():
        twin.classifier.weight.add_(1.0)
    setup = replace(make_setup(student), twin=lambda: twin)
    objective = build_objective(name, {"teacher": "twin"}, setup)
    objective.start(student)
    objective.after_step(student, Progress(1, 10))
    assert torch.equal(objective.teacher.model.classifier.weight, twin.classifier.weight)
    assert not any(value.requires_grad for value in objective.teacher.parameters())
    assert twin.classifier.weight.requires_grad


def test_without_a_twin_the_student_as_it_began_teaches():
    student = make_model()
    objective = build_objective("self_training", {"teacher": "twin"}, make_setup(student))
    with torch.no_grad():
        student.classifier.weight.add_(1.0)
    objective.start(student)
    began = student.classifier.weight.detach().clone()
    with torch.no_grad():
        student.classifier.weight.add_(1.0)
    objective.after_step(student, Progress(1, 10))
    assert torch.equal(objective.teacher.model.classifier.weight, began)


@pytest.mark.parametrize(("token_level", "options", "balance"), [
    (False, {}, 0.5), (True, {}, 0.0), (True, {"balance": 0.3}, 0.3), (False, {"balance": 0.0}, 0.0),
])  # fmt: skip
def test_rare_classes_are_not_raised_among_words_unless_asked(token_level, options, balance):
    setup = replace(make_setup(make_model()), token_level=token_level)
    objective = build_objective("self_training", options, setup)
    _, student = make_outputs(target_units=40, classes=2)
    teacher_logits = torch.randn(40, 2) + torch.tensor([2.0, 0.0])
    measured = objective.compare(teacher_logits, student, Progress(9, 10))
    plain = build_objective("self_training", {"balance": balance}, setup)
    expected = plain.compare(teacher_logits, student, Progress(9, 10))
    torch.testing.assert_close(measured["self_training"], expected["self_training"])
    other = build_objective("self_training", {"balance": 1.0}, setup)
    unlike = other.compare(teacher_logits, student, Progress(9, 10))
    assert not torch.allclose(measured["self_training"], unlike["self_training"])


@pytest.mark.parametrize("name", ["self_training", "consistency"])
@pytest.mark.parametrize("token_level", [False, True])
def test_resuming_from_a_state_dict_is_exact(name, token_level):
    def start():
        model = make_model(token_level=token_level)
        objective = build_objective(name, {"ramp": 0.0}, make_setup(model, token_level))
        return model, objective, torch.optim.SGD(model.parameters(), lr=0.05)

    def go(parts, first, last):
        model, objective, optimizer = parts
        terms = {}
        for step in range(first, last):
            torch.manual_seed(step)
            terms = objective(make_view(model, make_batch(token_level), step, 4))
            optimizer.zero_grad()
            terms[name].backward()
            optimizer.step()
            objective.after_step(model, Progress(step + 1, 4))
        return terms[name]

    whole = start()
    go(whole, 0, 2)
    saved = copy.deepcopy((whole[0].state_dict(), whole[1].state_dict()))
    expected = go(whole, 2, 4)
    resumed = start()
    resumed[0].load_state_dict(saved[0])
    resumed[1].load_state_dict(saved[1])
    assert torch.equal(go(resumed, 2, 4), expected)
    for mine, theirs in zip(
        resumed[1].state_dict().values(), whole[1].state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_stage_starts_with_the_weights_its_student_has_then():
    student = make_model()
    objective = build_objective("self_training", {}, make_setup(student))
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1)
    objective.start(student)
    for mine, theirs in zip(
        objective.teacher.model.parameters(), student.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_teacher_with_a_decay_of_1_stays_as_its_stage_began():
    student = make_model()
    objective = build_objective("self_training", {"ema_decay": 1.0}, make_setup(student))
    objective.start(student)
    began = {name: value.clone() for name, value in student.named_parameters()}
    for step in range(1, 4):
        for parameter in student.parameters():
            parameter.data += 1.0
        objective.after_step(student, Progress(step, 4))
    for name, value in objective.teacher.model.named_parameters():
        assert torch.equal(value, began[name])


def test_running_statistics_equal_loops():
    torch.manual_seed(0)
    statistics = ConfidenceStatistics(3)
    seen = []
    for size in (5, 0, 40, 3):
        probabilities = (3 * torch.randn(size, 3)).softmax(-1)
        confidence, classes = probabilities.max(-1)
        frequencies = statistics.observe_frequencies(probabilities, update=True)
        means, deviations = statistics.observe_confidence(confidence, classes, update=True)
        seen.append(probabilities)
    decayed = [(row, 0.99 ** (3 - age)) for age, rows in enumerate(seen) for row in rows]
    total = sum(factor for _, factor in decayed)
    expected = sum(factor * row for row, factor in decayed) / total
    torch.testing.assert_close(frequencies, expected)
    everywhere = [sum(f * row.max() ** power for row, f in decayed) / total for power in (1, 2)]
    for label in range(3):
        own = [(row.max(), factor) for row, factor in decayed if row.argmax() == label]
        count = sum(factor for _, factor in own) + 8.0
        first, second = (
            (sum(f * value**power for value, f in own) + 8.0 * everywhere[power - 1]) / count
            for power in (1, 2)
        )
        assert means[label].item() == pytest.approx(float(first), rel=1e-5)
        assert deviations[label].item() == pytest.approx(math.sqrt(second - first**2), rel=1e-4)
    before = copy.deepcopy(statistics.state_dict())
    statistics.observe_frequencies(seen[0], update=False)
    assert all(torch.equal(before[key], value) for key, value in statistics.state_dict().items())


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.parametrize("weighting", ["soft", "adaptive", "fixed", "none"])
@pytest.mark.parametrize("prior", ["none", "source", "uniform"])
def test_self_training_equals_loops(labels, weighting, prior):
    options = {
        "labels": labels, "weighting": weighting, "align_prior": prior, "temperature": 0.7,
        "confidence": 0.8, "strictness": 0.5, "balance": 0.5, "ramp": 0.0,
    }  # fmt: skip
    objective = build_objective("self_training", options, make_setup(make_model()))
    _, student = make_outputs(target_units=30, classes=2)
    teacher_logits = 2 * torch.randn(30, 2, generator=torch.Generator().manual_seed(1))
    terms = objective.compare(teacher_logits, student, Progress(5, 10))
    terms["self_training"].backward()
    mine = student.logits.grad.clone()
    student.logits.grad = None

    raw = teacher_logits.softmax(-1)
    frequencies = raw.mean(0)
    wanted = {"source": torch.tensor([0.75, 0.25]), "uniform": torch.tensor([0.5, 0.5])}.get(prior)
    rows = []
    for row in raw:
        scaled = row if wanted is None else row * wanted / frequencies
        rows.append(scaled / scaled.sum())
    shown = frequencies if wanted is None else wanted
    inverse = shown**-0.5 / sum(shown[c] * shown[c] ** -0.5 for c in range(2))
    everyone = torch.stack([row.max() for row in rows])
    total = 0.0
    for index, row in enumerate(rows):
        label = int(row.argmax())
        own = torch.stack([other.max() for other in rows if other.argmax() == label])
        mean = (own.sum() + 8 * everyone.mean()) / (len(own) + 8)
        square = (own.square().sum() + 8 * everyone.square().mean()) / (len(own) + 8)
        deviation = (square - mean**2).sqrt()
        asked = mean + 0.5 * 0.5 * deviation
        weight = {
            "none": 1.0,
            "fixed": float(row.max() >= 0.8),
            "adaptive": float(row.max() >= min(asked, 0.999)),
            "soft": 1.0
            if row.max() >= asked
            else torch.exp(-((asked - row.max()) ** 2) / (2 * deviation**2)),
        }[weighting]
        if labels == "hard":
            target = torch.nn.functional.one_hot(torch.tensor(label), 2).float()
        else:
            target = row ** (1 / 0.7) / (row ** (1 / 0.7)).sum()
        loss = -(target * student.logits[index].log_softmax(-1)).sum()
        total = total + weight * inverse[label] * loss / 30
    torch.testing.assert_close(terms["self_training"], total, rtol=1e-4, atol=1e-6)
    total.backward()
    torch.testing.assert_close(mine, student.logits.grad, rtol=1e-4, atol=1e-6)


def test_asked_confidence_falls_over_the_stage_and_the_loss_ramps_up():
    objective = build_objective("self_training", {"ramp": 0.5}, make_setup(make_model()))
    confidence, classes = torch.tensor([0.7]), torch.tensor([0])
    statistics = (torch.tensor([0.7, 0.9]), torch.tensor([0.1, 0.1]))
    early, late = (
        objective.confidence_weights(confidence, classes, *statistics, Progress(step, 10)).item()
        for step in (0, 10)
    )
    assert early == pytest.approx(math.exp(-0.5))
    assert late == pytest.approx(1.0)
    assert objective.ramp(Progress(0, 10)) == pytest.approx(math.exp(-5))
    assert objective.ramp(Progress(5, 10)) == 1.0
    ramps = [objective.ramp(Progress(step, 10)) for step in range(11)]
    assert ramps == sorted(ramps)


def test_rare_classes_are_lifted_within_bounds_and_priors_are_met():
    frequencies = torch.tensor([0.9, 0.1, 0.0])
    for balance in (0.0, 0.5, 1.0):
        factors = balancing_factors(frequencies, balance)
        assert float((frequencies * factors).sum()) == pytest.approx(1.0)
        assert torch.isfinite(factors).all()
    assert factors[1] / factors[0] == pytest.approx(9.0)
    torch.testing.assert_close(balancing_factors(frequencies, 0.0), torch.ones(3))
    sure = torch.tensor([[0.0, 1.0, 0.0]])
    assert torch.isfinite(align(sure, torch.tensor([1.0, 0.0, 0.0]), frequencies)).all()
    assert torch.isfinite(pseudo_labels(sure, "soft", 0.1)).all()


@pytest.mark.parametrize("kind", ["kl", "mse"])
@pytest.mark.parametrize("confidence", [0.0, 0.7])
def test_consistency_equals_loops(kind, confidence):
    options = {"divergence": kind, "temperature": 0.5, "confidence": confidence, "ramp": 0.0}
    objective = build_objective("consistency", options, make_setup(make_model()))
    _, student = make_outputs(target_units=12, weighted=True)
    teacher_logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    terms = objective.compare(teacher_logits, student, Progress(5, 10))
    total = 0.0
    for index, row in enumerate(teacher_logits):
        target, own = (row / 0.5).softmax(-1), student.logits[index].softmax(-1)
        value = sum(
            target[c] * (target[c].log() - own[c].log())
            if kind == "kl"
            else (target[c] - own[c]) ** 2 / 3
            for c in range(3)
        )
        total = total + student.weights[index] * value * (row.softmax(-1).max() >= confidence)
    torch.testing.assert_close(terms["consistency"], total / 12)
    kept = (teacher_logits.softmax(-1).amax(-1) >= confidence).float().mean()
    assert terms["consistency/kept"] == kept


def test_the_student_sees_edited_words_and_the_teacher_clean_ones():
    model = make_model(dropout=0.0)
    options = {"edit": "mask", "edit_rate": 0.5, "ramp": 0.0}
    objective = build_objective("consistency", options, make_setup(model))
    batch = make_batch()
    seen = []
    view = make_view(model, batch)
    encode = view.encode
    view.encode = lambda inputs: seen.append(inputs) or encode(inputs)
    assert objective(view)["consistency"] > 1e-4
    (edited,) = seen
    clean = select_side(batch, "target")
    assert edited["input_ids"].shape == clean["input_ids"].shape
    assert (edited["input_ids"] == 4).any()
    assert torch.equal(edited["unit_rows"], clean["unit_rows"])
    same = build_objective("consistency", {"edit": "none", "ramp": 0.0}, make_setup(model))
    assert same(make_view(model, batch))["consistency"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["self_training", "consistency"])
@pytest.mark.parametrize("token_level", [False, True])
def test_empty_target_is_zero_and_autocast_gives_float32(name, token_level):
    model = make_model(token_level=token_level)
    objective = build_objective(name, {}, make_setup(model, token_level))
    empty = objective(make_view(model, make_batch(token_level, target=0)))[name]
    empty.backward()
    assert empty.item() == 0.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = objective(make_view(model, make_batch(token_level)))[name]
    assert value.dtype == torch.float32
    assert value > 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("self_training", {"ema_decay": 1.5}, r"self_training\.ema_decay"),
        ("self_training", {"temperature": 0.0}, r"self_training\.temperature"),
        ("self_training", {"balance": 2.0}, r"self_training\.balance"),
        ("self_training", {"labels": "firm"}, "one of soft, hard"),
        ("consistency", {"edit_rate": -0.1}, r"consistency\.edit_rate"),
        ("consistency", {"divergence": "js"}, "one of kl, mse"),
    ],
)
def test_bad_options_name_the_key(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_objective(name, options, make_setup(make_model()))


def test_swapped_words_are_refused_where_words_carry_labels():
    with pytest.raises(ConfigError, match="token classification"):
        build_objective("consistency", {"edit": "swap"}, make_setup(make_model(), token_level=True))


@pytest.mark.parametrize("token_level", [False, True])
def test_self_training_helps_on_the_shifted_toy_domain(token_level):
    run = {"token_level": token_level, "source_steps": 50, "steps": 100}
    plain = np.mean([train_on_toy({"task": {}}, seed, **run) for seed in range(2)])
    both = {"task": {}, "self_training": {"ema_decay": 0.95}}
    helped = np.mean([train_on_toy(both, seed, **run) for seed in range(2)])
    assert helped > plain + 0.05


def test_a_step_that_is_not_finite_leaves_the_statistics_alone():
    objective = build_objective("self_training", {}, make_setup(make_model())).train()
    _, student = make_outputs(target_units=6, classes=2)
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    objective.compare(logits, student, Progress(5, 10))
    before = copy.deepcopy(objective.statistics.state_dict())
    assert not objective.compare(logits * torch.nan, student, Progress(5, 10))[
        "self_training"
    ].isfinite()
    for key, value in objective.statistics.state_dict().items():
        assert torch.equal(before[key], value), key
