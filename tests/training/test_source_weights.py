"""Weights of several sources: the nearer to the target, the heavier, measured without labels."""

import math

import pytest
import torch

from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.source_weights import MOMENTUM, SourceWeights
from tests.helpers.toy_problem import CENTRES, CLASSES, ToyModel


def side(features, domains):
    units = len(domains)
    return DomainOutput(
        features=features,
        logits=torch.zeros(units, 2),
        labels=torch.full((units,), -100),
        rows=torch.arange(units),
        domains=torch.tensor(domains, dtype=torch.long),
        count=float(units),
        labelled=0.0,
        balance=torch.ones(units),
    )


def batch(centres, units=32, size=8, spread=1.0, generator=None):
    """Units around a centre for each domain, the last one being the target."""
    points = [centre + spread * torch.randn(units, size, generator=generator) for centre in centres]
    sources = len(centres) - 1
    names = [domain for domain in range(sources) for _ in range(units)]
    return side(torch.cat(points[:-1]), names), side(points[-1], [sources] * units)


def measured(centres, steps=40, **options):
    generator = torch.Generator().manual_seed(0)
    weights = SourceWeights(len(centres) - 1, 1, 8)
    for _ in range(steps):
        weights.update(*batch(centres, generator=generator, **options))
    return weights


def test_all_count_the_same_until_every_domain_was_seen():
    weights = SourceWeights(3, 1, 8)
    assert weights().tolist() == pytest.approx([1 / 3] * 3)
    source, _ = batch((0.0, 1.0, 2.0, 0.0))
    weights.update(source, side(torch.zeros(0, 8), []))
    assert weights().tolist() == pytest.approx([1 / 3] * 3)


def test_a_unit_or_two_say_nothing():
    weights = SourceWeights(2, 1, 8)
    source, target = batch((0.1, 3.0, 0.0), units=2)
    weights.update(source, target)
    assert weights().tolist() == [0.5, 0.5]
    assert weights.squared_distances()[0].tolist() == [0.0, 0.0]


def test_the_nearer_source_counts_more():
    weights = measured((0.1, 0.8, 3.0, 0.0))()
    assert weights.sum().item() == pytest.approx(1.0)
    assert weights[0] > weights[1] > weights[2]
    assert weights[0] > 0.9


def test_sources_that_are_equally_far_count_alike_however_far_they_are():
    for distance in (0.0, 0.5, 5.0):
        weights = measured((distance, -distance, 0.0))()
        assert weights.tolist() == pytest.approx([0.5, 0.5], abs=0.06)


def test_weights_do_not_depend_on_the_scale_of_the_features():
    one = measured((0.3, 1.0, 0.0))()
    generator = torch.Generator().manual_seed(0)
    scaled = SourceWeights(2, 1, 8)
    for _ in range(40):
        source, target = batch((0.3, 1.0, 0.0), generator=generator)
        scaled.update(side(50 * source.features, source.domains.tolist()),
                      side(50 * target.features, target.domains.tolist()))  # fmt: skip
    torch.testing.assert_close(one, scaled(), atol=1e-4, rtol=0)


def test_distances_are_those_of_the_round_gaussians():
    """Against the closed form, from moments of all units at once where nothing decays away."""
    source, target = batch((0.5, 2.0, 0.0), units=4000, generator=torch.Generator().manual_seed(1))
    weights = SourceWeights(2, 1, 8)
    weights.update(source, target)
    squares, noise = weights.squared_distances()
    spread = target.features.var(0, unbiased=False).sum()
    parts = [*source.features.split(4000), target.features]
    within = torch.stack([part.var(0, unbiased=False).sum() for part in parts]).mean()
    for index, own in enumerate(source.features.split(4000)):
        shift = (own.mean(0) - target.features.mean(0)).square().sum()
        own_spread = own.var(0, unbiased=False).sum()
        width = (own_spread.sqrt() - spread.sqrt()) ** 2
        expected = (shift + width) / within
        assert squares[index].item() == pytest.approx(
            expected.item() - noise[index].item(), rel=1e-3
        )
    assert noise[0].item() == pytest.approx(2 / 4000, rel=0.1)


def test_moments_decay_by_step():
    weights = SourceWeights(1, 1, 2)
    for value in (1.0, 3.0):
        weights.update(side(torch.full((1, 2), value), [0]), side(torch.zeros(1, 2), [1]))
    expected = [MOMENTUM * n + m for n, m in ((1, 1), (2, 18), (1, 3), (1, 3))]
    assert weights.moments[0].tolist() == pytest.approx(expected)


def test_values_that_are_not_finite_change_nothing():
    weights = measured((0.1, 3.0, 0.0), steps=3)
    before = weights.moments.clone()
    source, target = batch((0.1, 3.0, 0.0))
    source.features[5, 2] = math.nan
    weights.update(source, target)
    assert torch.equal(weights.moments, before)


def test_weights_set_the_shares_of_the_sources_in_every_mean():
    weights = measured((0.1, 3.0, 0.0))
    source = side(torch.zeros(4, 8), [0, 0, 1, 1])
    weighted = weights.applied(source)
    mean = weighted.mean(torch.tensor([1.0, 1.0, 0.0, 0.0])).item()
    assert mean == pytest.approx(weights()[0].item(), abs=1e-6)


class FarAndNear:
    """A source like the target, and one that lies elsewhere and is labelled the wrong way."""

    def __init__(self, seed, units=400):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(CLASSES, (3 * units,), generator=generator)
        noise = 0.45 * torch.randn(3 * units, 2, generator=generator)
        points = torch.tensor(CENTRES)[self.labels] + noise
        points[units : 2 * units] += 1.2
        self.shown = self.labels.clone()
        self.shown[units : 2 * units] = (self.labels[units : 2 * units] + 1) % CLASSES
        self.points, self.units, self.generator = points, units, generator

    def batch(self, rows=24):
        draws = [
            torch.randint(self.units, (rows,), generator=self.generator) + domain * self.units
            for domain in (0, 1, 2, 2)
        ]
        chosen = torch.cat(draws)
        domains = torch.tensor([0, 1, 2, 2]).repeat_interleave(rows)
        source = 2 * rows
        return {
            "input_ids": chosen.unsqueeze(1),
            "attention_mask": torch.ones(len(chosen), 1, dtype=torch.long),
            "labels": torch.where(domains < 2, self.shown[chosen], -100),
            "unit_rows": torch.arange(len(chosen)),
            "domains": domains,
            "source_units": source,
            "source_count": float(source),
            "source_labelled": float(source),
            "target_count": float(source),
            "target_labelled": 0.0,
            "source_balance": torch.ones(3),
        }


def trained(weigh, seed=0, steps=80):
    """Accuracy on the target, and the model with its weights of the sources."""
    torch.manual_seed(seed)
    data = FarAndNear(seed)
    model = ToyModel(data.points, token_level=False)
    setup = Setup(features=16, num_labels=CLASSES, num_sources=2, task_model=model)
    terms = {name: build_objective(name, {}, setup) for name in ("task", "mcc")}
    weights = SourceWeights(2, 1, 16, ["near", "far"]) if weigh else None
    adapted = AdaptationModel(model, UnitReader(model), terms, source_weights=weights).train()
    optimizer = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], lr=5e-3)
    logged = {}
    for step in range(steps):
        optimizer.zero_grad()
        logged = adapted(data.batch(), Progress(step, steps))
        logged["loss"].backward()
        optimizer.step()
    chosen = torch.arange(2 * data.units, 3 * data.units)
    with torch.no_grad():
        logits = model(chosen.unsqueeze(1), torch.ones(len(chosen), 1)).logits
    return (logits.argmax(-1) == data.labels[chosen]).float().mean().item(), adapted, logged


def test_a_far_source_loses_its_say_and_the_target_gains_by_it():
    equal, _, _ = trained(weigh=False)
    weighed, model, logged = trained(weigh=True)
    near, far = model.source_weights().tolist()
    assert near > 0.8 > 0.2 > far
    assert weighed > equal + 0.02
    assert logged["source_weights/near"].item() == pytest.approx(near, abs=0.05)
    assert logged["source_distances/near"] < logged["source_distances/far"]


def test_the_state_is_part_of_the_module_and_decides_the_weights():
    _, model, _ = trained(weigh=True, steps=20)
    state = model.state_dict()
    copy = SourceWeights(2, 1, 16)
    copy.load_state_dict({"moments": state["source_weights.moments"]})
    assert torch.equal(copy(), model.source_weights())


def test_evaluation_measures_nothing():
    _, model, _ = trained(weigh=True, steps=5)
    before = model.source_weights.moments.clone()
    model.eval()(FarAndNear(1).batch(), Progress(0, 1))
    assert torch.equal(model.source_weights.moments, before)
