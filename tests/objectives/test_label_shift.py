"""Target class frequencies are recovered under simulated label shift."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.objectives.label_shift import (
    bbse_weights,
    em_step,
    importance_weights,
    joint_distribution,
)
from nlp_adapt.objectives.statistics import average_in
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.toy_problem import CLASSES as CLASSES_OF_TOY
from tests.helpers.toy_problem import ToyDomains, ToyModel, make_outputs

CLASSES = 4


def simulate(priors, units, seed, spread=1.0):
    """Labels, and calibrated logits: the log-posteriors under equal priors of Gaussian classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(priors, units, replacement=True, generator=generator)
    points = torch.eye(CLASSES)[labels] * 2.0
    points = points + spread * torch.randn(units, CLASSES, generator=generator)
    return labels, 2.0 * points / spread**2


priors = st.lists(st.floats(0.05, 1.0), min_size=CLASSES, max_size=CLASSES).map(
    lambda values: torch.tensor(values) / sum(values)
)


def equal(units):
    return torch.full((units,), 1.0 / units)


def em_priors(probabilities, source_priors):
    """Expectation maximisation to convergence."""
    priors, before = source_priors, torch.zeros(CLASSES)
    for _ in range(500):
        if (priors - before).abs().max() < 1e-7:
            break
        before = priors
        priors = em_step(probabilities, source_priors, priors, equal(len(probabilities)))
    return priors


@settings(max_examples=20, deadline=None)
@given(source=priors, target=priors, seed=st.integers(0, 99))
def test_both_estimators_recover_the_target_priors(source, target, seed):
    # Of a class that has 2 % of the source there are 400 rows: fewer would leave its share to chance.
    labels, logits = simulate(source, 20_000, seed)
    _, target_logits = simulate(target, 20_000, seed + 1000)
    # Calibrated to the source's frequencies, as a model trained there would be.
    predicted, on_target = ((v + source.log()).softmax(1) for v in (logits, target_logits))
    joint = joint_distribution(predicted, labels, equal(len(labels)))
    frequencies = torch.bincount(labels, minlength=CLASSES) / len(labels)
    by_bbse = frequencies * bbse_weights(joint, on_target.mean(0), ridge=1e-5)
    by_em = em_priors(on_target, source)
    assert (by_bbse - target).abs().max() < 0.06
    assert (by_em - target).abs().max() < 0.06
    assert by_em.sum() == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(source=priors, target=priors)
def test_exact_statistics_give_exact_weights(source, target):
    confusion = torch.eye(CLASSES) * 0.7 + 0.3 / CLASSES  # p(predicted | label)
    weights = bbse_weights(confusion * source, confusion @ target, ridge=1e-7)
    torch.testing.assert_close(weights, target / source, rtol=0.02, atol=0.02)


def test_a_classifier_that_knows_nothing_claims_no_shift():
    source = torch.tensor([0.4, 0.3, 0.2, 0.1])
    joint = torch.full((CLASSES, 1), 0.25) * source
    noise = torch.tensor([0.26, 0.24, 0.25, 0.25])
    assert (bbse_weights(joint, noise) - 1.0).abs().max() < 0.05


@settings(max_examples=50, deadline=None)
@given(
    mean=priors,
    entries=st.lists(st.floats(0.0, 1.0), min_size=CLASSES**2, max_size=CLASSES**2),
)
def test_weights_are_never_negative_and_keep_the_mass(mean, entries):
    joint = torch.tensor(entries).view(CLASSES, CLASSES) + 1e-4
    joint = joint / joint.sum()
    weights = bbse_weights(joint, mean)
    assert (weights >= 0).all()
    assert float(joint.sum(0) @ weights) == pytest.approx(1.0, abs=1e-3)


def test_em_never_lowers_the_likelihood():
    source = torch.tensor([0.4, 0.3, 0.2, 0.1])
    _, logits = simulate(torch.tensor([0.1, 0.1, 0.2, 0.6]), 500, 3)
    probabilities = (logits + source.log()).softmax(1)
    estimate, before = source, -1e9
    for _ in range(10):
        likelihood = float((probabilities @ (estimate / source)).log().mean())
        assert likelihood >= before - 1e-6
        before = likelihood
        estimate = em_step(probabilities, source, estimate, equal(500))
    assert estimate[3] > 0.5


def test_importance_weights_are_clipped_and_absent_classes_get_none():
    source = torch.tensor([0.495, 0.495, 0.01, 0.0])
    target = torch.tensor([0.25, 0.25, 0.3, 0.2])
    weights = importance_weights(source, target, largest=5.0)
    assert weights[3] == 0
    assert weights[2] / weights[0] == pytest.approx(5.0 / (0.25 / 0.495), rel=1e-4)
    assert float(source @ weights) == pytest.approx(1.0, abs=1e-5)


def test_joint_distribution_counts_weighted_pairs():
    hard = torch.eye(3)[[0, 0, 1, 2]]
    joint = joint_distribution(hard, torch.tensor([0, 1, 1, 2]), torch.tensor([0.1, 0.2, 0.3, 0.4]))
    expected = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.4]])
    torch.testing.assert_close(joint, expected)


@pytest.mark.parametrize("estimator", ["bbse", "em"])
def test_running_estimates_find_the_shift_and_survive_saving(estimator):
    uniform, shifted = torch.full((CLASSES,), 0.25), torch.tensor([0.1, 0.2, 0.3, 0.4])
    setup = Setup(features=6, num_labels=CLASSES, label_counts=uniform * 100)
    options = {"estimator": estimator, "momentum": 0.95, "ridge": 1e-3}
    objective = build_objective("iw_dann", options, setup).train()
    torch.testing.assert_close(objective.priors.weights(), torch.ones(CLASSES))
    source, target = make_outputs(0, source_units=60, target_units=50, classes=CLASSES)
    for step in range(150):
        labels, logits = simulate(uniform, 60, step)
        _, target_logits = simulate(shifted, 50, 1000 + step)
        terms = objective.losses(
            replace(source, logits=logits, labels=labels),
            replace(target, logits=target_logits),
            Progress(step, 150),
        )
    assert (objective.priors.weights() - 4 * shifted).abs().max() < 0.25
    assert float(terms["iw_dann/prior_shift"]) == pytest.approx(0.2, abs=0.06)
    copy = build_objective("iw_dann", options, setup)
    copy.load_state_dict(objective.state_dict())
    torch.testing.assert_close(copy.priors.weights(), objective.priors.weights())
    before = objective.priors.joint.clone()
    objective.eval().losses(source, target, Progress(0, 10))
    assert torch.equal(objective.priors.joint, before)


@pytest.mark.parametrize("estimator", ["bbse", "em"])
def test_a_short_run_finds_the_true_weights(estimator):
    """63 steps, as many as an epoch of 2,000 rows: .40 and 1.60, not what the start has left of it."""
    setup = Setup(features=6, num_labels=2, label_counts=torch.tensor([50.0, 50.0]))
    options = {"estimator": estimator, "ridge": 1e-6}
    objective = build_objective("iw_dann", options, setup).train()
    source, target = make_outputs(0, source_units=20, target_units=20, classes=2)
    sure = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    known, shifted = torch.tensor([0, 1] * 10), torch.tensor([0] * 4 + [1] * 16)
    source = replace(source, labels=known, logits=sure[known])
    target = replace(target, logits=sure[shifted])
    for step in range(63):
        objective.losses(source, target, Progress(step, 63))
    expected = torch.tensor([0.4, 1.6])
    torch.testing.assert_close(objective.priors.weights(), expected, atol=0.02, rtol=0)


def test_the_first_batches_count_alike_and_later_ones_decay():
    values = [float(value) for value in torch.randn(40, generator=torch.Generator().manual_seed(2))]
    kept, seen = torch.tensor([values[0]]), torch.zeros(())
    for value in values[1:]:
        average_in(kept, torch.tensor([value]), 5, 0.9, seen)
        average_in(kept, torch.tensor([float("nan")]), 5, 0.9, seen)  # a skipped step
    ages = [0.9**age for age in range(39, -1, -1)]
    expected = sum(a * v for a, v in zip(ages, values, strict=True)) / sum(ages)
    assert kept.item() == pytest.approx(expected, rel=1e-4)
    assert int(seen) == 39


@pytest.mark.parametrize(
    ("asked", "token_level", "kind"),
    [(None, False, "balanced"), (None, True, "shift"), ("shift", False, "shift"), ("none", False, "none")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["iw_dann", "iw_cdan"])
def test_the_task_loss_is_weighted_by_class_as_in_the_authors_code(name, asked, token_level, kind):
    """`mean(w(y) / (classes * p_source(y)) * cross-entropy)`, by a loop; `w` is that of before the step."""
    torch.manual_seed(0)
    domains = ToyDomains(0, token_level)
    model = ToyModel(domains.points, token_level)
    counts = torch.tensor([6.0, 3.0, 1.0])
    setup = Setup(
        16, CLASSES_OF_TOY, label_counts=counts, task_model=model, token_level=token_level
    )
    shift = build_objective(name, {} if asked is None else {"task_weights": asked}, setup)
    shift.priors.target_mean.copy_(torch.tensor([0.2, 0.3, 0.5]))
    by_class = shift.priors.weights()
    assert by_class[2] > 2.0
    objectives = {"task": build_objective("task", {}, setup), name: shift}
    reader = UnitReader(model)
    batch = domains.batch(6)
    terms = AdaptationModel(model, reader, objectives)(batch, Progress(0, 10))
    source, _ = reader.read(model, batch)
    total = 0.0
    for logits, label in zip(source.logits, source.labels, strict=True):
        loss = -logits.log_softmax(-1)[label]
        factor = {"none": 1.0, "shift": by_class[label]}.get(
            kind, by_class[label] / (3 * counts[label] / counts.sum())
        )
        total = total + factor * loss
    torch.testing.assert_close(terms["task"], (total / len(source)).detach())


def test_each_source_weights_the_task_by_its_own_classes():
    counts = torch.tensor([[2.0, 2.0, 4.0], [1.0, 1.0, 2.0]])
    setup = Setup(6, 3, num_sources=2, label_counts=counts.sum(0), source_label_counts=counts)
    objective = build_objective("iw_dann", {"task_weights": "shift"}, setup)
    first, second = objective.every_prior
    first.target_mean.copy_(torch.tensor([0.5, 0.25, 0.25]))
    source, _ = make_outputs(0, source_units=6)
    source = replace(
        source, domains=torch.tensor([0, 1] * 3), labels=torch.tensor([0, 0, 1, 1, 2, -100])
    )
    found = objective.importance(source)
    w, v = first.weights(), second.weights()
    torch.testing.assert_close(found[:5], torch.stack([w[0], v[0], w[1], v[1], w[2]]))
