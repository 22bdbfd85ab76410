"""mcc, information_maximisation and entropy against loops over units."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.objectives import Setup, build_objective
from tests.helpers.toy_problem import make_outputs

NOW = Progress(3, 10)
SETUP = Setup(features=6, num_labels=3, label_counts=torch.tensor([6.0, 3.0, 1.0]))


def soft(logits, temperature=1.0):
    powers = torch.exp(logits / temperature)
    return powers / powers.sum()


def entropy_of(p):
    return -(p * p.log()).sum()


def shares(output):
    values = [1.0] * len(output) if output.weights is None else output.weights.tolist()
    return [value / sum(values) for value in values]


def assert_same(loss, reference, target):
    torch.testing.assert_close(loss, reference)
    (mine,) = torch.autograd.grad(loss, target.logits)
    (theirs,) = torch.autograd.grad(reference, target.logits)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)
    assert theirs.abs().sum() > 0


@pytest.mark.parametrize("weighted", [False, True])
def test_mcc_equals_confusion_by_loop(weighted):
    source, target = make_outputs(1, target_units=8, weighted=weighted)
    objective = build_objective("mcc", {"temperature": 2.0}, SETUP)
    loss = objective.losses(source, target, NOW)["mcc"]
    predictions = [soft(logits, 2.0) for logits in target.logits]
    trust = [
        w * (1.0 + math.exp(-entropy_of(p).item()))
        for w, p in zip(shares(target), predictions, strict=True)
    ]
    off_diagonal = 0.0
    for j in range(3):
        row = [
            sum(t * p[j] * p[k] for t, p in zip(trust, predictions, strict=True)) for k in range(3)
        ]
        off_diagonal = off_diagonal + sum(row[k] / sum(row) for k in range(3) if k != j)
    assert_same(loss, off_diagonal / 3, target)


@pytest.mark.parametrize("weighted", [False, True])
def test_information_maximisation_is_negative_mutual_information(weighted):
    source, target = make_outputs(2, weighted=weighted)
    objective = build_objective("information_maximisation", {}, SETUP)
    terms = objective.losses(source, target, NOW)
    predictions = [soft(logits) for logits in target.logits]
    weighed = list(zip(shares(target), predictions, strict=True))
    conditional = sum(w * entropy_of(p) for w, p in weighed)
    mean = sum(w * p for w, p in weighed)
    reference = conditional - entropy_of(mean) + math.log(3)
    assert_same(terms["information_maximisation"], reference, target)


def test_information_maximisation_follows_the_source_under_its_own_weights():
    source, target = make_outputs(3, source_units=60, weighted=True, ignored=5)
    setup = replace(SETUP, token_level=True)
    objective = build_objective(
        "information_maximisation",
        {"momentum": 0.5, "marginal_weight": 2.0, "prior": "source"},
        setup,
    )
    torch.testing.assert_close(objective.source_frequencies, torch.tensor([0.6, 0.3, 0.1]))
    for _ in range(40):
        terms = objective.losses(source, target, NOW)
    known = source.weights[5:].sum()
    prior = torch.stack([source.weights[source.labels == k].sum() / known for k in range(3)])
    torch.testing.assert_close(objective.source_frequencies, prior)
    predictions = [soft(logits) for logits in target.logits]
    weighed = list(zip(shares(target), predictions, strict=True))
    mean = sum(w * p for w, p in weighed)
    reference = (
        sum(w * entropy_of(p) for w, p in weighed) + 2.0 * (mean * (mean / prior).log()).sum()
    )
    assert_same(terms["information_maximisation"], reference, target)
    saved = objective.eval().state_dict()["source_frequencies"].clone()
    objective.losses(replace(source, weights=None), target, NOW)
    assert torch.equal(objective.source_frequencies, saved)


@pytest.mark.parametrize("outside", [0, 2])
def test_over_words_only_the_entity_tags_follow_the_source(outside):
    """However many words are in entities, the same term for the same tags among those that are."""
    source, target = make_outputs(3, classes=4, target_units=40)
    counts = torch.tensor([4.0, 3.0, 2.0, 1.0])
    setup = replace(SETUP, num_labels=4, label_counts=counts, token_level=True, outside=outside)
    objective = build_objective("information_maximisation", {}, setup).eval()
    assert objective.prior == "types"

    def term(logits):
        found = objective.losses(source, replace(target, logits=logits), NOW)
        return found["information_maximisation/divergence"].item()

    inside = [label for label in range(4) if label != outside]
    mean = target.logits.detach().softmax(-1).mean(0)
    given = mean[inside] / mean[inside].sum()
    expected = counts[inside] / counts[inside].sum()
    by_hand = mean[inside].sum() * (given * (given / expected).log()).sum()
    assert term(target.logits) == pytest.approx(by_hand.item(), rel=1e-4)
    for share in (0.05, 0.3, 0.9):  # entity words, with the source's tags among them
        row = torch.zeros(4)
        row[outside], row[inside] = 1.0 - share, share * expected
        assert term(row.log().expand(40, 4)) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ConfigError, match="for words"):
        build_objective("information_maximisation", {"prior": "types"}, SETUP)


@pytest.mark.parametrize("weighted", [False, True])
def test_entropy_is_a_mean_over_the_whole_step(weighted):
    source, target = make_outputs(4, weighted=weighted)
    target = replace(target, count=10.0)  # half of the step's units are in other micro-batches
    loss = build_objective("entropy", {}, SETUP).losses(source, target, NOW)["entropy"]
    reference = 0.5 * sum(
        w * entropy_of(soft(logits))
        for w, logits in zip(shares(target), target.logits, strict=True)
    )
    assert_same(loss, reference, target)


@pytest.mark.parametrize("name", ["mcc", "information_maximisation"])
def test_one_class_for_everything_is_worse_than_certain_and_diverse(name):
    source, target = make_outputs(5, target_units=30)
    diverse = 9.0 * torch.eye(3).repeat(10, 1)
    collapsed = torch.zeros(30, 3)
    collapsed[:, 0] = 9.0
    objective = build_objective(name, {}, SETUP)
    values = [
        float(objective.losses(source, replace(target, logits=logits), NOW)[name])
        for logits in (diverse, collapsed)
    ]
    assert values[0] < 0.1 < values[1]
