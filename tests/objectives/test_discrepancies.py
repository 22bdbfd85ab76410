"""mmd, coral, cmd and lmmd against loops over units."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.objectives import Setup, build_objective
from tests.helpers.toy_problem import make_outputs

END = Progress(10, 10)
SETUP = Setup(features=6, num_labels=3, label_counts=torch.ones(3))


def losses(name, source, target, progress=END, **options):
    return build_objective(name, options, SETUP).losses(source, target, progress)


def assert_same(loss, reference, source, target, rtol=1e-4):
    torch.testing.assert_close(loss, reference, rtol=rtol, atol=1e-7)
    leaves = (source.features, target.features)
    mine = torch.autograd.grad(loss, leaves)
    theirs = torch.autograd.grad(reference, leaves)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)
    assert all(gradient.abs().sum() > 0 for gradient in theirs)


def weights(output):
    values = [1.0] * len(output) if output.weights is None else output.weights.tolist()
    return [value / sum(values) for value in values]


def mean_kernel(source, target, kernels, bandwidth):
    """`k(x, y)` as a function of two features, with the bandwidth of the whole batch."""
    units = [*source.features.detach(), *target.features.detach()]
    apart = sorted(
        float((x - y).square().sum()) for i, x in enumerate(units) for y in units[i + 1 :]
    )
    middle = apart[(len(apart) - 1) // 2] if bandwidth == "median" else sum(apart) / len(apart)

    def kernel(x, y):
        distance = (x - y).square().sum()
        values = [
            torch.exp(-distance / (middle * 2.0 ** (i - kernels // 2))) for i in range(kernels)
        ]
        return sum(values) / kernels

    return kernel


def kernel_distance(kernel, xs, a, ys, b):
    """`|sum a k(x, .) - sum b k(y, .)|^2` by double sums."""
    within_x = sum(
        p * q * kernel(x, z) for p, x in zip(a, xs, strict=True) for q, z in zip(a, xs, strict=True)
    )
    within_y = sum(
        p * q * kernel(y, z) for p, y in zip(b, ys, strict=True) for q, z in zip(b, ys, strict=True)
    )
    across = sum(
        p * q * kernel(x, y) for p, x in zip(a, xs, strict=True) for q, y in zip(b, ys, strict=True)
    )
    return within_x + within_y - 2.0 * across


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kernels", "bandwidth"), [(5, "median"), (2, "mean")])
def test_mmd_equals_double_sums(kernels, bandwidth, weighted):
    source, target = make_outputs(1, weighted=weighted)
    loss = losses("mmd", source, target, kernels=kernels, bandwidth=bandwidth)["mmd"]
    kernel = mean_kernel(source, target, kernels, bandwidth)
    reference = kernel_distance(
        kernel, source.features, weights(source), target.features, weights(target)
    )
    assert_same(loss, reference, source, target)


def test_mmd_is_zero_on_equal_sets_and_subsamples_many_units():
    source, _ = make_outputs(2, source_units=40)
    assert losses("mmd", source, source)["mmd"].abs() < 1e-6
    source, target = make_outputs(3, source_units=60, target_units=50)
    loss = losses("mmd", source, target, max_units=10)["mmd"]
    used = torch.autograd.grad(loss, (source.features, target.features))
    assert [int(gradient.any(1).sum()) for gradient in used] == [10, 10]


@pytest.mark.parametrize("weighted", [False, True])
def test_coral_equals_covariances_by_loop(weighted):
    source, target = make_outputs(4, weighted=weighted)
    covariances = []
    for side in (source, target):
        shares = weights(side)
        mean = sum(w * x for w, x in zip(shares, side.features, strict=True))
        summed = sum(
            w * torch.outer(x - mean, x - mean) for w, x in zip(shares, side.features, strict=True)
        )
        covariances.append(summed / (1.0 - sum(w * w for w in shares)))
    if not weighted:
        torch.testing.assert_close(covariances[0], torch.cov(source.features.T))
    reference = (covariances[0] - covariances[1]).pow(2).sum() / (4 * 6 * 6)
    assert_same(losses("coral", source, target)["coral"], reference, source, target)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bound", ["tanh", "none"])
def test_cmd_equals_moments_by_loop(bound, weighted):
    source, target = make_outputs(5, weighted=weighted)
    moments = []
    for side in (source, target):
        values = torch.tanh(side.features) if bound == "tanh" else side.features
        mean = sum(w * x for w, x in zip(weights(side), values, strict=True))
        higher = [
            sum(w * (x - mean).pow(k) for w, x in zip(weights(side), values, strict=True))
            for k in (2, 3, 4)
        ]
        moments.append([mean, *higher])
    reference = sum(
        torch.linalg.vector_norm(left - right) / 2**k
        for k, (left, right) in enumerate(zip(*moments, strict=True), 1)
    )
    loss = losses("cmd", source, target, moments=4, bound=bound)["cmd"]
    assert_same(loss, reference, source, target)


def test_cmd_of_equal_sets_has_a_finite_gradient():
    source, _ = make_outputs(6)
    loss = losses("cmd", source, source)["cmd"]
    (gradient,) = torch.autograd.grad(loss, source.features)
    assert loss < 1e-6
    assert gradient.isfinite().all()


@pytest.mark.parametrize("weighted", [False, True])
def test_lmmd_equals_class_by_class_distances(weighted):
    source, target = make_outputs(7, source_units=9, weighted=weighted, ignored=1)
    target.logits.data[:, 2] = -9.0  # nothing in the target looks like class 2
    source.labels[1:] = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    terms = losses("lmmd", source, target, progress=Progress(5, 10))
    labelled = replace(source, features=source.features[1:])
    kernel = mean_kernel(labelled, target, 5, "median")
    distances = []
    for klass in (0, 1):
        mine = [
            w * float(label == klass)
            for w, label in zip(weights(source), source.labels.tolist(), strict=True)
        ]
        theirs = [
            w * p[klass].item()
            for w, p in zip(weights(target), target.logits.softmax(-1), strict=True)
        ]
        distances.append(
            kernel_distance(
                kernel,
                source.features, [w / sum(mine) for w in mine],
                target.features, [w / sum(theirs) for w in theirs],
            )
        )  # fmt: skip
    strength = 2.0 / (1.0 + math.exp(-5.0)) - 1.0
    assert_same(terms["lmmd"], strength * sum(distances) / 2, source, target)
    assert terms["lmmd/classes"] == 2
    unused = torch.autograd.grad(terms["lmmd"], target.logits, allow_unused=True)
    assert unused == (None,)


def test_lmmd_without_a_shared_class_is_zero():
    source, target = make_outputs(8)
    source.labels[:] = 0
    target.logits.data[:] = torch.tensor([0.0, 9.0, 0.0])
    terms = losses("lmmd", source, target)
    assert terms["lmmd"] == 0
    terms["lmmd"].backward()
    assert source.features.grad is not None
