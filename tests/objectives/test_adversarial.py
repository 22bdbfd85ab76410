"""cdan, wasserstein, mdd, adda, iw_dann and iw_cdan against plain rewrites of their formulas."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import OBJECTIVES, Setup, build_objective
from nlp_adapt.objectives.base import StepView
from nlp_adapt.objectives.dann import AdversarialObjective
from nlp_adapt.objectives.statistics import select
from tests.helpers.tiny_batches import make_batch, make_model, make_setup, make_view
from tests.helpers.toy_problem import ToyDomains, ToyModel, make_outputs

HALF = Progress(5, 10)
STRENGTH = 2.0 / (1.0 + math.exp(-5.0)) - 1.0
ADVERSARIES = sorted(n for n, kind in OBJECTIVES.items() if issubclass(kind, AdversarialObjective))
SETUP = Setup(features=6, num_labels=3, label_counts=torch.ones(3))


def build(name, setup=SETUP, **options):
    torch.manual_seed(0)
    full = {} if name == "mdd" else {"lambda_max": 1.0}
    return build_objective(name, {"dropout": 0.0, "hidden_size": 8, **full, **options}, setup)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)


def assert_gradients(loss, reference, tensors, factor=1.0):
    """`loss` has `factor` times the gradients of `reference`."""
    for mine, theirs in zip(gradients(loss, *tensors), gradients(reference, *tensors), strict=True):
        torch.testing.assert_close(mine, factor * theirs, rtol=1e-4, atol=1e-7)
        assert theirs.abs().sum() > 0


def weight_of(output, index):
    return 1.0 if output.weights is None else float(output.weights[index])


def plain_mlp(discriminator, x):
    first, second = (layer for layer in discriminator.layers if isinstance(layer, nn.Linear))
    return second.weight @ torch.relu(first.weight @ x + first.bias) + second.bias


def domain_loss_by_loop(objective, side, domain, joined, factors, shift=lambda side, index: 1.0):
    """Weighted mean over one side of minus log-probability of its domain, each times `shift`."""
    total, mass = 0.0, 0.0
    for index in range(len(side)):
        logits = plain_mlp(objective.discriminator, joined(side, index))
        loss = torch.log(torch.exp(logits).sum()) - logits[domain]
        factor = factors(side, index) * weight_of(side, index)
        total, mass = total + shift(side, index) * factor * loss, mass + factor
    return total / mass


def softmax_by_hand(logits):
    return torch.exp(logits) / torch.exp(logits).sum()


def certainty(logits):
    p = softmax_by_hand(logits)
    return 1.0 + torch.exp((p * p.log()).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("use_entropy", [False, True])
def test_cdan_equals_outer_products_by_loop(weighted, use_entropy):
    objective = build("cdan", entropy=use_entropy)
    source, target = make_outputs(1, weighted=weighted)

    def joined(side, index):
        p = softmax_by_hand(side.logits[index].detach())
        return torch.stack([p[k] * f for k in range(3) for f in side.features[index]])

    def factors(side, index):
        return certainty(side.logits[index].detach()) if use_entropy else 1.0

    terms = objective.losses(source, target, HALF)
    reference = 0.5 * (
        domain_loss_by_loop(objective, source, 0, joined, factors)
        + domain_loss_by_loop(objective, target, 1, joined, factors)
    )
    torch.testing.assert_close(terms["cdan"], reference)
    encoder = [source.features, target.features]
    assert_gradients(terms["cdan"], reference, encoder, factor=-STRENGTH)
    assert_gradients(terms["cdan"], reference, list(objective.discriminator.parameters()))
    assert gradients(terms["cdan"], source.logits, target.logits) == (None, None)
    assert float(terms["cdan/lambda"]) == pytest.approx(STRENGTH)


def test_cdan_through_predictions_reverses_their_gradient_too():
    objective = build("cdan", through_predictions=True)
    source, target = make_outputs(2)

    def joined(side, index):
        return torch.outer(softmax_by_hand(side.logits[index]), side.features[index]).flatten()

    def factors(side, index):
        return certainty(side.logits[index])

    loss = objective.losses(source, target, HALF)["cdan"]
    reference = 0.5 * (
        domain_loss_by_loop(objective, source, 0, joined, factors)
        + domain_loss_by_loop(objective, target, 1, joined, factors)
    )
    encoder = [source.features, source.logits, target.features, target.logits]
    assert_gradients(loss, reference, encoder, factor=-STRENGTH)


def test_cdan_random_map_keeps_inner_products_and_is_saved():
    objective = build("cdan", setup=replace(SETUP, features=50, num_labels=40), random_dim=1999)
    joint = objective.joint
    assert joint.randomised
    assert {"joint.random_features", "joint.random_classes"} <= set(objective.state_dict())
    generator = torch.Generator().manual_seed(3)
    f = torch.randn(2, 50, generator=generator)
    f[1] = f[0] + 0.3 * f[1]
    g = torch.rand(2, 40, generator=generator)
    mapped = joint(f, g)
    exact = (f[0] @ f[1]) * (g[0] @ g[1])
    assert mapped.shape == (2, 1999)
    assert float(mapped[0] @ mapped[1]) == pytest.approx(float(exact), rel=0.25)
    assert not build("cdan", random_dim=18).joint.randomised
    assert build("cdan", random_dim=17).joint.randomised


def critic_loss_by_loop(discriminator, parameters, source, target, between):
    """Minus the distance plus 10 x penalty, with the gradient of a one-hidden-layer critic by hand."""
    first, bias, second, last = parameters

    def value(x):
        return (second @ torch.relu(first @ x + bias) + last)[0]

    def slope(x):
        return first.T @ (second[0] * ((first @ x + bias) > 0).float())

    means = []
    for side in (source, target):
        weights = [weight_of(side, index) for index in range(len(side))]
        values = [w * value(x) for w, x in zip(weights, side.features.detach(), strict=True)]
        means.append(sum(values) / sum(weights))
    points = [*between, *source.features.detach(), *target.features.detach()]
    penalties = [(slope(x).square().sum().sqrt() - 1.0) ** 2 for x in points]
    return -(means[0] - means[1]) + 10.0 * sum(penalties) / len(penalties)


@pytest.mark.parametrize("weighted", [False, True])
def test_wasserstein_equals_its_formulas(weighted):
    objective = build("wasserstein", critic_steps=0)
    source, target = make_outputs(4, weighted=weighted)
    torch.manual_seed(9)
    terms = objective.losses(source, target, HALF)
    torch.manual_seed(9)
    share = torch.rand(7, 1)
    between = [
        share[i] * source.features[i].detach() + (1 - share[i]) * target.features[i % 5].detach()
        for i in range(7)
    ]
    parameters = list(objective.discriminator.parameters())
    reference = critic_loss_by_loop(objective.discriminator, parameters, source, target, between)
    torch.testing.assert_close(terms["wasserstein_critic"], reference)
    for mine, theirs in zip(
        gradients(terms["wasserstein_critic"], *parameters),
        gradients(reference, *parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    # The critic's term leaves the encoder alone, the encoder's term leaves the critic alone.
    encoder = [source.features, target.features]
    assert gradients(terms["wasserstein_critic"], *encoder) == (None, None)
    assert set(gradients(terms["wasserstein"], *parameters)) == {None}
    weights = torch.ones(7) / 7 if source.weights is None else source.weights / source.weights.sum()
    expected = [
        STRENGTH * w * critic_slope(parameters, x)
        for w, x in zip(weights, source.features, strict=True)
    ]
    torch.testing.assert_close(
        gradients(terms["wasserstein"], source.features)[0], torch.stack(expected)
    )


def critic_slope(parameters, x):
    first, bias, second, _ = (value.detach() for value in parameters)
    return first.T @ (second[0] * ((first @ x.detach() + bias) > 0).float())


def test_wasserstein_refinement_sharpens_the_estimate_and_keeps_the_critic():
    before = build("wasserstein", critic_steps=0)
    refined = build("wasserstein", critic_steps=20, critic_learning_rate=0.05)
    kept = {name: value.clone() for name, value in refined.state_dict().items()}
    source, target = make_outputs(5, source_units=30, target_units=20)
    terms = refined.losses(source, target, HALF)
    plain = before.losses(source, target, HALF)
    assert terms["wasserstein/distance"] > plain["wasserstein/distance"] + 0.2
    assert all(torch.equal(value, kept[name]) for name, value in refined.state_dict().items())
    # Moving along the encoder's gradient brings the domains closer.
    step_source, step_target = gradients(terms["wasserstein"], source.features, target.features)
    gap = source.features.mean(0) - target.features.mean(0)
    step = step_target.sum(0) - step_source.sum(0)
    assert gap @ step < 0


@pytest.mark.parametrize("weighted", [False, True])
def test_mdd_equals_its_formula(weighted):
    objective = build("mdd", margin=3.0)
    source, target = make_outputs(6, weighted=weighted)
    loss = objective.losses(source, target, HALF)["mdd"]
    sides = []
    for side in (source, target):
        total, mass = 0.0, 0.0
        for index in range(len(side)):
            p = softmax_by_hand(plain_mlp(objective.discriminator, side.features[index]))
            chosen = p[int(side.logits[index].argmax())]
            term = -3.0 * chosen.log() if side is source else -(1.0 - chosen).log()
            total = total + weight_of(side, index) * term
            mass += weight_of(side, index)
        sides.append(total / mass)
    reference = sides[0] + sides[1]
    torch.testing.assert_close(loss, reference)
    factor = -0.1 * STRENGTH  # the authors' strength, whatever the recipe's
    assert_gradients(loss, reference, [source.features, target.features], factor=factor)
    assert_gradients(loss, reference, list(objective.discriminator.parameters()))
    assert gradients(loss, source.logits, target.logits) == (None, None)


def test_mdd_stays_finite_where_the_second_classifier_is_certain():
    objective = build("mdd")
    source, target = make_outputs(6)
    far = replace(target, features=target.features * 1e4)
    loss = objective.losses(source, far, HALF)["mdd"]
    assert all(value.isfinite().all() for value in (loss, *gradients(loss, target.features)))


@pytest.mark.parametrize("weighted", [False, True])
def test_adda_fools_with_inverted_labels(weighted):
    objective = build("adda", setup=replace(SETUP, task_model=nn.Linear(1, 1)))
    source, target = make_outputs(7, weighted=weighted)
    terms = objective.losses(source, target, HALF)

    def features(side, index):
        return side.features[index]

    def judge(side, domain):
        return domain_loss_by_loop(objective, side, domain, features, lambda *_: 1.0)

    reference = 0.5 * (judge(source, 0) + judge(target, 1))
    torch.testing.assert_close(terms["adda_discriminator"], reference)
    parameters = list(objective.discriminator.parameters())
    assert_gradients(terms["adda_discriminator"], reference, parameters)
    assert gradients(terms["adda_discriminator"], source.features, target.features) == (None, None)
    torch.testing.assert_close(terms["adda"], STRENGTH * judge(target, 0))
    assert_gradients(terms["adda"], judge(target, 0), [target.features], factor=STRENGTH)
    assert gradients(terms["adda"], source.features, *parameters)[0] is None
    assert set(gradients(terms["adda"], *parameters)) == {None}


@pytest.mark.parametrize("token_level", [False, True])
def test_adda_distils_the_model_as_the_stage_began(token_level):
    torch.manual_seed(1)
    domains = ToyDomains(0, token_level)
    model = ToyModel(domains.points, token_level)
    setup = Setup(features=16, num_labels=3, task_model=model, token_level=token_level)
    objective = build("adda", setup=setup, distillation=0.5, temperature=3.0).train()
    reader = UnitReader(model)
    batch = domains.batch(8)

    def step(number):
        view = StepView(batch, Progress(number, 10), lambda b: reader.read(model, b), model)
        return objective(view)["adda_distillation"], view.source.logits

    with torch.no_grad():
        model.classifier.weight.add_(1.0)  # an earlier stage, after the objective was built
    first, before = step(0)
    assert first.abs() < 1e-6
    with torch.no_grad():
        model.classifier.weight.mul_(torch.linspace(0.2, 2.0, 3).unsqueeze(1))
    loss, after = step(1)
    reference = 0.0
    for old, new in zip(before.detach(), after, strict=True):
        p, q = softmax_by_hand(old / 3.0), softmax_by_hand(new / 3.0)
        reference = reference + 0.5 * 9.0 * (p * (p / q).log()).sum() / len(before)
    torch.testing.assert_close(loss, reference)
    assert_gradients(loss, reference, [model.classifier.weight])
    assert not any(parameter.requires_grad for parameter in objective.source_model.parameters())
    assert not objective.source_model.model.training
    assert any(name.startswith("source_model.") for name in objective.state_dict())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["iw_dann", "iw_cdan"])
def test_prior_aware_adversaries_weight_the_source_by_class(name, weighted):
    objective = build(name).eval()
    objective.priors.target_mean.copy_(torch.tensor([0.6, 0.3, 0.1]))
    by_class = objective.priors.weights()
    assert by_class[0] > 1.5
    assert by_class[2] < 0.5
    source, target = make_outputs(8, weighted=weighted, ignored=2)

    def joined(side, index):
        p = softmax_by_hand(side.logits[index].detach())
        features = side.features[index]
        return torch.outer(p, features).flatten() if name == "iw_cdan" else features

    def factors(side, index):
        return certainty(side.logits[index].detach()) if name == "iw_cdan" else 1.0

    def shift(side, index):
        label = int(side.labels[index])
        guess = softmax_by_hand(side.logits[index].detach()) @ by_class
        return by_class[label] if label >= 0 else guess

    terms = objective.losses(source, target, HALF)
    reference = 0.5 * (
        domain_loss_by_loop(objective, source, 0, joined, factors, shift)
        + domain_loss_by_loop(objective, target, 1, joined, factors)
    )
    torch.testing.assert_close(terms[name], reference)
    assert_gradients(terms[name], reference, [source.features, target.features], factor=-STRENGTH)
    assert_gradients(terms[name], reference, list(objective.discriminator.parameters()))
    moved = 0.5 * sum(abs(float(w) - 1.0) / 3 for w in by_class)
    assert float(terms[f"{name}/prior_shift"]) == pytest.approx(moved, abs=1e-5)


def test_class_weights_do_not_depend_on_how_rows_are_dealt():
    """Rows one at a time, as under accumulation, give the term of all of them together."""
    objective = build("iw_dann").eval()
    objective.priors.target_mean.copy_(torch.tensor([0.6, 0.3, 0.1]))
    source, target = make_outputs(8, source_units=6, target_units=6)
    whole = objective.losses(source, target, HALF)["iw_dann"]
    assert len(source) == len(target)
    alone = [
        objective.losses(*(select(side, torch.tensor([index])) for side in (source, target)), HALF)
        for index in range(len(source))
    ]
    torch.testing.assert_close(torch.stack([one["iw_dann"] for one in alone]).mean(), whole)


@pytest.mark.parametrize("name", ["iw_dann", "iw_cdan"])
def test_a_step_that_is_not_finite_leaves_the_priors_alone(name):
    objective = build(name).train()
    source, target = make_outputs(8)
    objective.losses(source, target, HALF)
    before = {key: value.clone() for key, value in objective.priors.state_dict().items()}
    broken = replace(target, logits=target.logits * torch.nan)
    objective.losses(source, broken, HALF)
    after = objective.priors.state_dict()
    for key in ("target_mean", "target_priors"):
        assert torch.equal(before[key], after[key])
    assert torch.isfinite(objective.losses(source, target, HALF)[name])


def test_prior_aware_adversaries_refuse_sentences_of_words():
    setup = replace(SETUP, token_level=True)
    with pytest.raises(ConfigError, match="level: row"):
        build("iw_dann", setup=setup, level="row")


@pytest.mark.parametrize("name", ["cdan", "wasserstein", "mdd", "adda", "iw_dann", "iw_cdan"])
def test_no_reversal_strength_no_push_on_the_encoder(name):
    objective = build(name, setup=replace(SETUP, task_model=nn.Linear(1, 1)))
    source, target = make_outputs(9)
    terms = objective.losses(source, target, Progress(0, 10))
    loss = sum(value for key, value in terms.items() if "/" not in key)
    for gradient in gradients(loss, source.features, target.features):
        assert gradient is None or not gradient.any()
    learned = gradients(loss, *objective.discriminator.parameters())
    assert all(gradient is not None and gradient.any() for gradient in learned[:2])


@pytest.mark.parametrize("name", ["cdan", "wasserstein", "mdd", "adda"])
def test_sentence_level_discriminators_judge_mean_words(name):
    setup = replace(SETUP, token_level=True, task_model=nn.Linear(1, 1))
    objective = build(name, setup=setup, level="row")
    source, target = make_outputs(10, source_units=8, target_units=6, units_per_row=2)
    torch.manual_seed(3)
    by_row = objective.losses(source, target, HALF)
    torch.manual_seed(3)
    pooled = objective.losses(source.by_row(), target.by_row(), HALF)
    torch.testing.assert_close(by_row, pooled)
    words = build(name, setup=setup).losses(source, target, HALF)
    term = next(iter(by_row))
    assert not torch.isclose(by_row[term], words[term])


@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_reversed_gradient_reaches_the_words_of_both_domains(name, monkeypatch):
    """Through a whole model, whatever the objective reads of it; its own parameters learn as ever."""
    model = make_model(dropout=0.0).eval()
    objective = build_objective(name, {"dropout": 0.0}, make_setup(model)).eval()
    batch, kept = make_batch(source=1, target=1), copy.deepcopy(objective.state_dict())
    own = [p for p in objective.parameters() if p.requires_grad]
    words = []

    def remember(module, arguments, embedded):
        words.append(embedded.detach().requires_grad_())
        return words[-1]

    model.get_input_embeddings().register_forward_hook(remember)

    def found(strength):
        objective.load_state_dict(kept)  # running means move with each call
        torch.manual_seed(0)  # points between the domains are drawn
        words.clear()
        monkeypatch.setattr(objective.config, "strength", lambda progress: strength)
        term = objective(make_view(model, batch))[name]
        by_words, *by_own = torch.autograd.grad(term, [words[0], *own], allow_unused=True)
        return by_words, [part for part in by_own if part is not None]

    (plain, plain_own), (reversed_, reversed_own) = found(-1.0), found(0.7)
    torch.testing.assert_close(reversed_, -0.7 * plain, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(reversed_own, plain_own)
    assert plain[1].abs().sum() > 0  # of the target's row
    assert plain[0].abs().sum() > 0 or name == "adda"  # which moves the target alone
