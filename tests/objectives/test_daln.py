"""daln against the paper's formula with singular values by hand, and what its game must do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.objectives import Setup, build_objective, checked_stages
from tests.helpers.toy_problem import ToyModel, make_outputs

HALF = Progress(5, 10)
STRENGTH = 2.0 / (1.0 + math.exp(-5.0)) - 1.0


def build(**options):
    torch.manual_seed(0)
    model = ToyModel(torch.randn(4, 2), token_level=False, hidden=6)
    setup = Setup(features=6, num_labels=3, label_counts=torch.ones(3), task_model=model)
    return build_objective("daln", options, setup), model.classifier


def nuclear_norm(output, head):
    """The sum of singular values, as roots of the eigenvalues of `P^T P`, over its largest value."""
    weights = torch.ones(len(output)) if output.weights is None else output.weights
    weights = weights / weights.sum()
    gram = torch.zeros(3, 3)
    for index in range(len(output)):
        logits = head.weight @ output.features[index] + head.bias
        p = torch.exp(logits) / torch.exp(logits).sum()
        gram = gram + weights[index] * torch.outer(p, p)
    return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum() / math.sqrt(3)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradients_equal_the_formula(weighted):
    objective, head = build()
    source, target = make_outputs(4, source_units=9, target_units=8, weighted=weighted)
    terms = objective.losses(source, target, HALF)
    distance = nuclear_norm(source, head) - nuclear_norm(target, head)
    torch.testing.assert_close(terms["daln"], -distance)
    torch.testing.assert_close(terms["daln/distance"], distance.detach())
    # The classifier makes the distance large, the encoder, reversed, small.
    features = (source.features, target.features)
    for tensors, factor in ((features, -STRENGTH), (tuple(head.parameters()), 1.0)):
        mine = torch.autograd.grad(terms["daln"], tensors, retain_graph=True)
        theirs = torch.autograd.grad(-distance, tensors, retain_graph=True)
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, factor * other, rtol=1e-3, atol=1e-6)
            assert other.any()


def test_the_encoder_makes_target_predictions_certain_and_diverse():
    objective, head = build(lambda_schedule="constant")
    source, target = make_outputs(5, source_units=40, target_units=40)
    points = target.features.detach().clone().requires_grad_()

    def predictions():
        return head(points).softmax(-1)

    def entropy_of(p):
        return float(-(p * p.clamp_min(1e-9).log()).sum(-1).mean().detach())

    before = predictions()
    optimizer = torch.optim.SGD([points], lr=50.0)
    for _ in range(100):
        optimizer.zero_grad()
        objective.losses(source, replace(target, features=points), HALF)["daln"].backward()
        optimizer.step()
    after = predictions()
    assert entropy_of(after) < 0.5 * entropy_of(before)
    assert entropy_of(after.mean(0, keepdim=True)) > 0.8 * math.log(3)


def test_the_head_stays_a_part_of_the_task_model_alone():
    objective, _ = build()
    assert not list(objective.parameters())
    assert objective.state_dict() == {}


def test_no_strength_no_push_on_the_encoder():
    objective, _ = build()
    source, target = make_outputs(9)
    loss = objective.losses(source, target, Progress(0, 10))["daln"]
    for gradient in torch.autograd.grad(loss, [source.features, target.features]):
        assert not gradient.any()


def test_other_features_than_the_classifiers_are_refused():
    with pytest.raises(ConfigError, match="domain_features"):
        checked_stages(AdaptationConfig(method="daln", domain_features="mean"))
