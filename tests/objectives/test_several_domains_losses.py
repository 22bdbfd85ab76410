"""What objectives make of several sources and targets, against plain rewrites."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.objectives import OBJECTIVES, Objective, Setup, build_objective
from nlp_adapt.objectives.dann import domain_loss
from nlp_adapt.objectives.statistics import shares
from tests.helpers.tiny_batches import make_batch, make_model, make_setup, make_view
from tests.helpers.toy_problem import ToyModel

PROGRESS = Progress(5, 10)
# Of two sources and two targets; the second target has a single unit here.
SIZES = (5, 2, 4, 1)
ADVERSARIES = ("dann", "cdan", "iw_dann", "iw_cdan", "wasserstein", "mdd", "daln", "adda")
CONSTANT = {"lambda_max": 1.0, "lambda_schedule": "constant", "dropout": 0.0}


def units(sizes: tuple[int, ...], first: int, seed: int = 0) -> DomainOutput:
    """Random units of domains `first`, `first + 1`, ..., with factors that balance them."""
    generator = torch.Generator().manual_seed(seed + first)
    total = sum(sizes)
    domains = torch.cat([torch.full((n,), first + i) for i, n in enumerate(sizes)])
    counts = torch.bincount(domains, minlength=4).float()
    balance = total / len(sizes) / counts.clamp_min(1)
    labels = torch.randint(3, (total,), generator=generator)
    return DomainOutput(
        features=torch.randn(total, 6, generator=generator) + domains.unsqueeze(1),
        logits=2.0 * torch.randn(total, 3, generator=generator),
        labels=labels if first == 0 else torch.full_like(labels, -100),
        rows=torch.arange(total),
        domains=domains,
        count=float(total),
        labelled=float(total if first == 0 else 0),
        balance=balance[domains],
    )


def sides() -> tuple[DomainOutput, DomainOutput]:
    return units(SIZES[:2], 0), units(SIZES[2:], 2)


def twice(output: DomainOutput, domain: int) -> DomainOutput:
    """The same side with every unit of one domain in it twice, balanced anew."""
    again = (output.domains == domain).nonzero().squeeze(1)
    order = torch.cat([torch.arange(len(output)), again])
    counts = torch.bincount(output.domains[order], minlength=4).float()
    present = int((counts > 0).sum())
    factors = len(order) / present / counts.clamp_min(1)
    return replace(
        output,
        features=output.features[order],
        logits=output.logits[order],
        labels=output.labels[order],
        rows=torch.arange(len(order)),
        domains=output.domains[order],
        count=float(len(order)),
        labelled=float((output.labels[order] >= 0).sum()),
        balance=factors[output.domains[order]],
    )


def build(name: str, **options: object) -> Objective:
    torch.manual_seed(0)
    task_model = ToyModel(torch.zeros(4, 2), token_level=False, hidden=6)
    setup = Setup(features=6, num_labels=3, num_sources=2, num_targets=2, task_model=task_model)
    return build_objective(name, options, setup)


def test_a_mean_is_the_mean_of_domain_means() -> None:
    source, _ = sides()
    values = torch.arange(7.0)
    assert source.mean(values).item() == pytest.approx((values[:5].mean() + values[5:].mean()) / 2)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 3.0])
    expected = [
        (weights[part] * values[part]).sum() / weights[part].sum()
        for part in (slice(0, 5), slice(5, 7))
    ]
    weighted = replace(source, weights=weights)
    assert weighted.mean(values).item() == pytest.approx(torch.stack(expected).mean().item())
    assert (shares(weighted) @ values).item() == pytest.approx(torch.stack(expected).mean().item())


def test_rows_of_words_keep_the_shares_of_their_domains() -> None:
    source, _ = sides()
    source = replace(source, rows=torch.tensor([0, 0, 0, 1, 2, 3, 3]))
    rows = source.by_row()
    values = torch.tensor([1.0, 2.0, 3.0, 10.0])
    assert rows.domains.tolist() == [0, 0, 0, 1]
    assert rows.mean(values).item() == pytest.approx((2.0 + 10.0) / 2)


def test_the_discriminator_has_a_class_for_each_domain() -> None:
    for name in ("dann", "cdan", "iw_dann", "iw_cdan", "adda"):
        assert build(name).discriminator.layers[-1].out_features == 4
    assert build("wasserstein").discriminator.layers[-1].out_features == 1
    assert build("mdd").discriminator.layers[-1].out_features == 3
    setup = replace(make_setup(make_model()), num_sources=3, num_targets=2)
    distinguish = build_objective("domain_distinguish", {}, setup)
    assert distinguish.classifier.layers[-1].out_features == 5


def test_dann_equals_the_rewrite() -> None:
    source, target = sides()
    dann = build("dann", **CONSTANT)
    terms = dann.losses(source, target, PROGRESS)
    with torch.no_grad():
        losses = []
        for output in (source, target):
            logits = dann.discriminator(output.features)
            losses.append(-logits.log_softmax(-1)[torch.arange(len(output)), output.domains])
    by_domain = [losses[0][:5], losses[0][5:], losses[1][:4], losses[1][4:]]
    means = [float(part.mean()) for part in by_domain]
    assert terms["dann"].item() == pytest.approx(sum(means) / 4, rel=1e-5)


def test_a_blind_discriminator_is_right_by_chance_and_as_unsure_as_the_sides_are_large() -> None:
    source, target = units((5, 2), 0), replace(units((4,), 2), balance=None)
    guess = torch.tensor([0.25, 0.25, 0.5]).log().repeat(11, 1)
    loss, measured = domain_loss(guess, source, target)
    assert measured["accuracy"].item() == pytest.approx(1 / 3)
    expected = math.log(2) + 0.5 * math.log(2)
    assert measured["entropy"].item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize("domain", [0, 1, 2, 3])
def test_no_domain_counts_more_for_having_more_units(name: str, domain: int) -> None:
    """A source that is doubled in the batch changes neither a loss nor what reaches the encoder."""
    options: dict[str, object] = {} if name == "daln" else dict(CONSTANT)
    if name == "wasserstein":
        options.update(gradient_penalty=0.0)  # which is taken at random points
    found = []
    for double in (False, True):
        objective = build(name, **options).eval()
        source, target = sides()
        source.features.requires_grad_()
        target.features.requires_grad_()
        shown = [source, target]
        if double:
            side = 0 if domain < 2 else 1
            shown[side] = twice(shown[side], domain)
        terms = objective.losses(*shown, PROGRESS)
        loss = sum(value for key, value in terms.items() if "/" not in key)
        assert isinstance(loss, Tensor)
        loss.backward()
        grads = [output.features.grad for output in (source, target)]
        assert grads[1] is not None
        assert grads[0] is not None or name == "adda"  # which moves the target alone
        found.append((loss.item(), *(torch.zeros(1) if grad is None else grad for grad in grads)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for one, two in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def test_adda_fools_into_any_source_and_never_into_another_target() -> None:
    adda = build("adda", **CONSTANT)
    source, target = sides()
    terms = adda.losses(source, target, PROGRESS)
    with torch.no_grad():
        probabilities = adda.discriminator(target.features).softmax(-1)
        of_source = -probabilities[:, :2].sum(1).log()
    expected = (of_source[:4].mean() + of_source[4:].mean()) / 2
    assert terms["adda"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_source_is_weighted_from_its_own_class_frequencies() -> None:
    objective = build("iw_dann", estimator="em", momentum=0.0, **CONSTANT).train()
    source, target = units((60, 60), 0), units((60, 60), 2)
    # The first source is all of class 0 but for a few, the second is even, and so is the target.
    source.labels[:60] = torch.tensor([0] * 40 + [1] * 10 + [2] * 10)
    source.labels[60:] = torch.tensor([0, 1, 2] * 20)
    hot = 8.0 * F.one_hot(torch.tensor([0, 1, 2] * 40), 3).float()
    source = replace(source, logits=8.0 * F.one_hot(source.labels, 3).float())
    for _ in range(30):
        objective.losses(source, replace(target, logits=hot), PROGRESS)
    first, second = (priors.weights() for priors in objective.every_prior)
    torch.testing.assert_close(first, torch.tensor([0.5, 2.0, 2.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(second, torch.ones(3), atol=0.02, rtol=0)
    torch.testing.assert_close(
        objective.every_prior[0].source_priors, torch.tensor([4, 1, 1]) / 6, atol=0.01, rtol=0
    )


def test_initial_class_frequencies_are_those_of_each_source() -> None:
    counts = torch.tensor([[9.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    setup = Setup(6, 3, num_sources=2, label_counts=counts.sum(0), source_label_counts=counts)
    objective = build_objective("iw_cdan", {}, setup)
    for priors, own in zip(objective.every_prior, counts, strict=True):
        torch.testing.assert_close(priors.source_priors, own / own.sum())


def test_domain_distinguish_counts_each_domain_once() -> None:
    model = make_model(dropout=0.0)
    batch = make_batch(source=6, target=3)
    batch["domains"] = torch.tensor([0, 1, 1, 1, 1, 1, 2, 2, 2])
    setup = replace(make_setup(model), num_sources=2)
    objective = build_objective("domain_distinguish", {}, setup).eval()
    term = objective(make_view(model.eval(), batch))["domain_distinguish"]
    with torch.no_grad():
        hidden = model.base_model(batch["input_ids"], batch["attention_mask"])[0]
        losses = F.cross_entropy(
            objective.classifier(hidden[:, 0]), batch["domains"], reduction="none"
        )
    source = (losses[0] + losses[1:6].mean()) / 2
    assert term.item() == pytest.approx(((source + losses[6:].mean()) / 2).item(), rel=1e-5)


def test_the_task_counts_each_source_once_and_released_rows_by_their_share() -> None:
    source, target = sides()
    target.labels[1] = 2
    task = build_objective("task", {}, Setup(6, 3, num_sources=2, defaults={"few_shot_share": 0.5}))
    losses = F.cross_entropy(source.logits, source.labels, reduction="none")
    expected = (losses[:5].mean() + losses[5:].mean()) / 2
    terms = task.losses(source, target, PROGRESS)
    assert terms["task"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "task/few_shot_accuracy" not in terms
    released = replace(target, labelled=1.0)  # its balance is that of the unlabelled texts
    own = F.cross_entropy(target.logits[1:2], target.labels[1:2])
    terms = task.losses(source, released, PROGRESS)
    assert terms["task"].item() == pytest.approx(((expected + 0.5 * own) / 1.5).item(), rel=1e-5)
    # Two micro-batches, the other without a labelled row: the mean of what they log is the share.
    sure = replace(released, logits=10 * F.one_hot(target.labels.clamp_min(0), 3), labelled=0.5)
    other = replace(sure, labels=torch.full_like(target.labels, -100))
    logged = [task.losses(source, one, PROGRESS)["task/few_shot_accuracy"] for one in (sure, other)]
    assert torch.stack(logged).mean().item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "name", [name for name, kind in OBJECTIVES.items() if kind.losses is not Objective.losses]
)
def test_every_objective_is_finite_where_a_domain_is_missing_from_the_batch(name: str) -> None:
    objective = build(name).train()
    source, target = sides()
    only = torch.arange(5)
    lacking = replace(
        source, features=source.features[only].requires_grad_(), logits=source.logits[only],
        labels=source.labels[only], rows=source.rows[only], domains=source.domains[only],
        balance=torch.ones(5),
    )  # fmt: skip
    terms = objective.losses(lacking, target, PROGRESS)
    loss = sum(value for key, value in terms.items() if "/" not in key)
    assert torch.as_tensor(loss).isfinite()
