"""Perturbations of the embeddings: fgm, pgd, vat, and accuracy under attack."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.perturbation import (
    embed,
    fgm_perturbation,
    in_ball,
    loss_gradient,
    on_sphere,
    perturbed,
    pgd_perturbation,
    row_norms,
    without_dropout,
)
from nlp_adapt.objectives import build_objective
from nlp_adapt.objectives.consistency import divergence
from nlp_adapt.prediction.attack import Attack, attacked_logits, damage
from nlp_adapt.prediction.opening import EnsemblePredictor
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import TASKS
from tests.helpers.tiny_batches import (
    make_batch,
    make_model,
    make_rows,
    make_setup,
    make_tokenizer,
    make_view,
)
from tests.helpers.trainers import trainer_for

EPSILON = 0.05


def cross_entropy_of(model, batch, rows):
    def loss():
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return F.cross_entropy(logits[:rows], batch["labels"][:rows], reduction="sum")

    return loss


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_zero_perturbation_changes_nothing_and_positions_stay(kind):
    model = make_model(kind).eval()
    batch = make_batch()
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        clean = model(**inputs).logits
        with perturbed(model, torch.zeros_like(embed(model, batch))):
            assert torch.equal(model(**inputs).logits, clean)
        with perturbed(model, 0.3 * torch.randn_like(embed(model, batch))):
            assert not torch.allclose(model(**inputs).logits, clean)
        assert torch.equal(model(**inputs).logits, clean)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_perturbing_equals_changing_the_embedding_of_one_token(kind):
    model = make_model(kind).eval()
    ids = torch.tensor(
        [[2, 7, 9, 11, 3]]
    )  # every token once, so its row of the matrix stands for it
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    move = torch.zeros(1, 5, 32)
    move[0, 2] = torch.randn(32)
    with torch.no_grad():
        with perturbed(model, move):
            seen = model(**batch).logits
        model.get_input_embeddings().weight[9] += move[0, 2]
        torch.testing.assert_close(seen, model(**batch).logits)


def test_gradient_equals_finite_differences_and_leaves_parameters_alone():
    model = make_model().double().eval()
    batch = make_batch()
    loss = cross_entropy_of(model, batch, 4)
    at = 0.01 * torch.randn(7, 16, 32, dtype=torch.float64)
    gradient = loss_gradient(model, at, loss)
    direction = torch.randn_like(at)
    with torch.no_grad():
        values = []
        for step in (1e-4, -1e-4):
            with perturbed(model, at + step * direction):
                values.append(loss())
    numeric = (values[0] - values[1]) / 2e-4
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-3)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fgm_has_the_norm_epsilon_spares_padding_and_raises_the_loss():
    model = make_model().eval()
    batch = make_batch()
    loss = cross_entropy_of(model, batch, 4)
    found = fgm_perturbation(model, batch, loss, EPSILON)
    norms = row_norms(embed(model, batch)).flatten()
    torch.testing.assert_close(found.flatten(1).norm(dim=1)[:4], EPSILON * norms[:4])
    assert found[4:].abs().max() == 0  # these rows have no label, so no gradient
    assert found[batch["attention_mask"] == 0].abs().max() == 0
    with torch.no_grad():
        clean = loss()
        with perturbed(model, found):
            raised = loss()
        with perturbed(model, -found):
            lowered = loss()
    assert lowered < clean < raised


def test_pgd_stays_in_the_ball_and_is_at_least_as_bad_as_fgm():
    model = make_model().eval()
    batch = make_batch()
    loss = cross_entropy_of(model, batch, 4)
    several = pgd_perturbation(model, batch, loss, 0.3, 6, 0.4)
    once = fgm_perturbation(model, batch, loss, 0.3)
    radius = 0.3 * row_norms(embed(model, batch)).flatten()
    assert (several.flatten(1).norm(dim=1) <= radius * 1.0001).all()
    with torch.no_grad(), perturbed(model, once):
        worst_once = loss()
    with torch.no_grad(), perturbed(model, several):
        assert loss() >= worst_once
    one = pgd_perturbation(model, batch, loss, 0.3, 1, 1.0)
    torch.testing.assert_close(one, once)


def test_projections_handle_zero_tiny_and_non_finite_rows():
    mask = torch.ones(4, 2)
    direction = torch.tensor([[0.0, 0.0], [1e-30, 0.0], [float("nan"), 1.0], [3.0, 4.0]])
    direction = direction.unsqueeze(-1)
    radius = torch.full((4, 1, 1), 2.0)
    placed = on_sphere(direction, mask, radius)
    assert torch.isfinite(placed).all()
    torch.testing.assert_close(row_norms(placed).flatten(), torch.tensor([0.0, 2.0, 2.0, 2.0]))
    torch.testing.assert_close(
        in_ball(direction[3:], radius[3:]).flatten(), torch.tensor([1.2, 1.6])
    )
    assert torch.equal(in_ball(0.1 * direction[3:], radius[3:]), 0.1 * direction[3:])


def test_dropout_is_off_inside_and_each_module_gets_its_mode_back():
    model = make_model()
    model.train()
    model.bert.encoder.layer[0].eval()
    modes = [module.training for module in model.modules()]
    with without_dropout(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("name", ["fgm", "pgd"])
@pytest.mark.parametrize(("token_level", "smoothing"), [(False, 0.0), (True, 0.0), (False, 0.3)])
def test_adversarial_loss_and_gradients_equal_a_rewrite(name, token_level, smoothing):
    model = make_model(token_level=token_level, dropout=0.0)
    batch = make_batch(token_level)
    options = {"epsilon": EPSILON, "label_smoothing": smoothing}
    options |= {"steps": 2, "step_size": 0.7} if name == "pgd" else {}
    objective = build_objective(name, options, make_setup(model, token_level))
    twin = copy.deepcopy(model)
    value = objective(make_view(model, batch))[name]
    value.backward()

    rows = 4
    ids, mask = batch["input_ids"][:rows], batch["attention_mask"][:rows]
    embedded = twin.get_input_embeddings()(ids)
    radius = EPSILON * (embedded.detach() * mask.unsqueeze(-1)).flatten(1).norm(dim=1).view(
        -1, 1, 1
    )

    def total(delta):
        logits = twin(
            inputs_embeds=twin.get_input_embeddings()(ids) + delta, attention_mask=mask
        ).logits
        if token_level:
            units = batch["source_units"]
            logits = logits.reshape(-1, 2)[batch["unit_positions"][:units]]
        found = logits.log_softmax(-1)
        known = zip(found, batch["labels"][: len(logits)], strict=True)
        return -sum((1 - smoothing) * row[label] + smoothing * row.mean() for row, label in known)

    delta = torch.zeros_like(embedded)
    for _ in range(2 if name == "pgd" else 1):
        delta = delta.detach().requires_grad_()
        (slope,) = torch.autograd.grad(total(delta), delta)
        slope = slope * mask.unsqueeze(-1)
        size = radius * (0.7 if name == "pgd" else 1.0)
        delta = delta + size * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1)
        length = delta.flatten(1).norm(dim=1).view(-1, 1, 1)
        delta = torch.where(length > radius, delta * radius / length, delta)
    expected = total(delta.detach()) / batch["source_labelled"]
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    for (key, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("domains", ["both", "target", "source"])
def test_vat_equals_a_rewrite_and_exceeds_a_random_direction(domains):
    model = make_model(dropout=0.3)
    batch = make_batch()
    options = {"domains": domains, "epsilon": 0.1, "xi": 0.01, "steps": 2}
    objective = build_objective("vat", options, make_setup(model))
    both = {"source", "target"}
    assert objective.sides(objective.config) == (both if domains == "both" else {domains})
    torch.manual_seed(2)
    value = objective(make_view(model, batch))["vat"]
    assert model.training

    twin = copy.deepcopy(model).eval()
    rows = {"both": slice(0, 7), "target": slice(4, 7), "source": slice(0, 4)}[domains]
    ids, mask = batch["input_ids"][rows], batch["attention_mask"][rows]
    embedded = twin.get_input_embeddings()(ids).detach()
    norms = (embedded * mask.unsqueeze(-1)).flatten(1).norm(dim=1).view(-1, 1, 1)
    clean = twin(ids, attention_mask=mask).logits.detach().softmax(-1)

    def unit(values):
        values = values * mask.unsqueeze(-1)
        return values / values.flatten(1).norm(dim=1).view(-1, 1, 1)

    def local(delta):
        logits = twin(inputs_embeds=embedded + delta, attention_mask=mask).logits
        return (clean * (clean.log() - logits.log_softmax(-1))).sum(-1)

    def averaged(values):
        if domains != "both":
            return values.mean()
        return 0.5 * (values[:4].mean() + values[4:].mean())

    torch.manual_seed(2)
    start = direction = unit(torch.randn_like(embedded))
    for _ in range(2):
        at = (0.01 * norms * direction).requires_grad_()
        (slope,) = torch.autograd.grad(local(at).sum(), at)
        direction = unit(slope)
    torch.testing.assert_close(
        value, averaged(local(0.1 * norms * direction)), rtol=1e-2, atol=1e-5
    )
    assert value > averaged(local(0.1 * norms * start))


def test_kl_is_zero_for_equal_predictions_and_finite_for_impossible_classes():
    logs = torch.tensor([[0.0, -torch.inf], [-0.5, -1.0]]).log_softmax(-1)
    assert divergence(logs, logs.clone(), "kl")[1] == 0
    assert torch.isfinite(divergence(logs, torch.full((2, 2), 0.5).log(), "kl")).all()


@pytest.mark.parametrize("name", ["fgm", "pgd", "vat"])
@pytest.mark.parametrize(("source", "target"), [(4, 0), (0, 3)])
def test_empty_sides_are_zero_not_nan(name, source, target):
    model = make_model(token_level=True)
    objective = build_objective(name, {}, make_setup(model, True))
    value = objective(make_view(model, make_batch(True, source, target)))[name]
    value.backward()
    assert torch.isfinite(value)
    assert (value.item() == 0.0) == (name != "vat" and source == 0)


@pytest.mark.parametrize("name", ["fgm", "pgd", "vat"])
def test_bfloat16_autocast_gives_float32_losses(name):
    model = make_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = build_objective(name, {}, make_setup(model))(make_view(model, make_batch()))[name]
    assert value.dtype == torch.float32
    assert value > 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fgm", {"epsilon": 0.0}),
        ("pgd", {"steps": 0}),
        ("pgd", {"step_size": -1.0}),
        ("vat", {"xi": 0.0}),
        ("vat", {"steps": 0}),
    ],
)
def test_bad_options_name_the_key(name, options):
    (key,) = options
    with pytest.raises(ConfigError, match=rf"{name}\.{key}"):
        build_objective(name, options, make_setup(make_model()))


def predictor_of(model, token_level=False, **options):
    task = "token-classification" if token_level else "sequence-classification"
    names = ["O", "B-PER"] if token_level else ["negative", "positive"]
    return Predictor(model, make_tokenizer(), TASKS[task](names), max_length=32, **options)


def damage_of(model, rows, token_level=False, precision="fp32", **options):
    """What an attack does to a model, with batches small enough that there are several."""
    predictor = predictor_of(model, token_level, batch_size=1, precision=precision)
    attacked = attacked_logits(predictor, rows, Attack(**options))
    return damage(predictor.logits(rows), attacked, rows.labels)


def rows_it_gets_right(model, token_level=False, rows=9):
    made = make_rows(token_level, rows=rows)
    made.labels[:] = predictor_of(model, token_level).logits(made).argmax(-1)
    return made


@pytest.mark.parametrize("token_level", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_strong_attack_breaks_a_model_and_leaves_it_alone(token_level, precision):
    model = make_model(token_level=token_level)
    model.train()
    rows = rows_it_gets_right(model, token_level)
    run = {"token_level": token_level, "precision": precision}
    weak = damage_of(model, rows, epsilon=1e-6, **run)
    assert weak["accuracy"] == weak["accuracy_under_attack"] == 1.0
    assert weak["units"] == rows.units
    strong = damage_of(model, rows, kind="pgd", epsilon=2.0, **run)
    assert strong["accuracy"] == 1.0
    assert strong["accuracy_under_attack"] < 0.7
    assert strong["flipped"] == pytest.approx(1.0 - strong["accuracy_under_attack"])
    assert strong["loss_under_attack"] > strong["loss"]
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("token_level", [False, True])
@pytest.mark.parametrize("kind", ["fgm", "pgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_epsilon_zero_gives_the_clean_logits_to_the_last_bit(token_level, kind, precision):
    rows = make_rows(token_level, rows=9)
    predictor = predictor_of(make_model(token_level=token_level), token_level, precision=precision)
    attacked = attacked_logits(predictor, rows, Attack(kind=kind, epsilon=0.0))
    assert np.array_equal(attacked, predictor.logits(rows))


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_a_larger_epsilon_is_never_better_on_average(kind):
    losses, accuracies = [], []
    for epsilon in (0.0, 0.02, 0.05, 0.1, 0.2):
        found = []
        for seed in range(2):
            model = trained_plainly(seed)
            found.append(damage_of(model, make_rows(rows=16), kind=kind, epsilon=epsilon))
        losses.append(np.mean([one["loss_under_attack"] for one in found]))
        accuracies.append(np.mean([one["accuracy_under_attack"] for one in found]))
    assert losses == sorted(losses)
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == 1.0 > accuracies[-1]


def test_units_without_a_label_count_for_nothing():
    model = make_model(token_level=True)
    rows = rows_it_gets_right(model, token_level=True)
    rows.labels[::3] = -100
    found = damage_of(model, rows, token_level=True, kind="pgd", epsilon=2.0)
    assert found["units"] == int((rows.labels >= 0).sum())
    assert found["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "textfooler"}, "must be one of fgm, pgd"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
        ({"steps": 0}, "steps is 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
    ],
)
def test_attack_refuses_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Attack(**options)


def test_attack_needs_labels_and_one_model():
    model, rows = make_model(), make_rows()
    with pytest.raises(ConfigError, match="no row has a label"):
        attacked_logits(predictor_of(model), rows.without_labels(), Attack())
    both = EnsemblePredictor([predictor_of(model), predictor_of(model)])
    with pytest.raises(ConfigError, match="single model"):
        attacked_logits(both, rows, Attack())


@functools.cache
def trained_plainly(seed):
    return trained_beside_task({}, seed)[0]


def trained_beside_task(extra, seed=0):
    """A model trained on 16 source and 16 target rows by the task and perhaps one more term."""
    model = make_model(dropout=0.0, seed=seed)
    torch.manual_seed(seed)
    setup = make_setup(model)
    terms = {name: build_objective(name, own, setup) for name, own in {"task": {}, **extra}.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batch = make_batch(source=16, target=16)
    for step in range(60):
        view = make_view(model, batch, step, 60)
        loss = sum(objective(view)[name] for name, objective in terms.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), batch


@pytest.mark.parametrize("name", ["fgm", "pgd"])
def test_adversarial_training_lowers_the_loss_under_attack(name):
    rows = make_rows(rows=16)
    plain, hardened = (
        damage_of(model, rows, kind="pgd", epsilon=0.1)
        for model in (trained_plainly(0), trained_beside_task({name: {"epsilon": 0.1}})[0])
    )
    assert plain["accuracy"] == hardened["accuracy"] == 1.0
    assert hardened["loss_under_attack"] < 0.5 * plain["loss_under_attack"]


def test_vat_makes_target_predictions_smoother_without_labels():
    sharpness = []
    for extra in ({}, {"vat": {"domains": "target", "epsilon": 0.1}}):
        model, batch = trained_beside_task(extra)
        probe = build_objective("vat", {"domains": "target", "epsilon": 0.1}, make_setup(model))
        torch.manual_seed(9)
        sharpness.append(probe(make_view(model, batch))["vat"].item())
    assert sharpness[1] < 0.3 * sharpness[0]


@pytest.mark.parametrize("name", ["fgm", "pgd"])
def test_labels_are_smoothed_as_the_recipe_says(tmp_path, name):
    trainer = trainer_for(tmp_path, method=name, label_smoothing_factor=0.3, max_steps=1)
    trainer.train()
    smoothings = [one.config.label_smoothing for one in trainer.objectives.values()]
    assert smoothings == [0.3, 0.3]
