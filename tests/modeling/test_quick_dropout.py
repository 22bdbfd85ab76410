"""Dropout from sixteen bits a value: the right share, the right scale, reproducible, CPU only."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from nlp_adapt.modeling.cpu import dropout, quick_dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(p, dtype):
    torch.manual_seed(0)
    size = 400_001
    found = dropout(torch.ones(size, dtype=dtype), p)
    share = float((found == 0).float().mean())
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / size) ** 0.5)
    assert found.dtype == dtype
    kept = found[found != 0].float()
    assert kept.unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-2)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (dropout(torch.ones(300_000), 0.5) != 0).float() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs(float((kept[:-lag] * kept[lag:]).mean())) < 5 * 0.25 / 300_000**0.5


def test_gradients_pass_where_values_do():
    values = torch.ones(7, 33, requires_grad=True)
    found = dropout(values, 0.3)
    found.sum().backward()
    torch.testing.assert_close(values.grad, found.detach())


def test_it_takes_the_place_of_torchs_in_modules_and_only_inside():
    module, values = nn.Dropout(0.25), torch.ones(999)
    torch.manual_seed(2)
    plain = module(values)
    torch.manual_seed(2)
    with quick_dropout():
        quick = module(values)
    torch.manual_seed(2)
    torch.testing.assert_close(quick, dropout(values, 0.25))
    assert not torch.equal(plain, quick)
    torch.manual_seed(2)
    torch.testing.assert_close(module(values), plain)


def test_nothing_is_drawn_where_nothing_is_dropped():
    values = torch.ones(50)
    before = torch.get_rng_state()
    with quick_dropout():
        assert torch.equal(nn.Dropout(0.5).eval()(values), values)
        assert torch.equal(F.dropout(values, 0.0), values)
    assert torch.equal(torch.get_rng_state(), before)
    with quick_dropout():
        assert F.dropout(values, 1.0).sum() == 0
        assert F.dropout(torch.ones(0), 0.5).shape == (0,)
        own = torch.ones(50)
        assert F.dropout(own, 0.5, inplace=True) is own


def test_recomputed_activations_have_the_masks_they_had():
    torch.manual_seed(3)
    layer = nn.Linear(16, 16)
    values = torch.randn(8, 16)

    def run(recompute):
        torch.manual_seed(4)
        layer.zero_grad()

        def step(x):
            return F.dropout(layer(x), 0.5).square()

        with quick_dropout():
            loss = (
                checkpoint(step, values, use_reentrant=False) if recompute else step(values)
            ).sum()
            loss.backward()
        return loss.detach(), layer.weight.grad.clone()

    for one, other in zip(run(False), run(True), strict=True):
        torch.testing.assert_close(one, other)
