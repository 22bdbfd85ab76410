"""Each method wins over source-only on the shifted toy; see toy.py."""

from __future__ import annotations

from functools import cache

import pytest

from tests.objectives.toy import train_on_toy

SEEDS = (0, 1, 2)
WARM = {"source_steps": 60, "steps": 150}
SHIFTED = {**WARM, "target_priors": (0.1, 0.6, 0.3)}

CASES = {
    "dann": ({}, WARM),
    "cdan": ({}, WARM),
    "wasserstein": ({"critic_steps": 2}, {"source_steps": 60, "steps": 100}),
    "mdd": ({}, WARM),
    "adda": ({}, WARM),
    "iw_dann": ({}, SHIFTED),
    "iw_cdan": ({}, SHIFTED),
    "mmd": ({}, WARM),
    "coral": ({}, WARM),
    "cmd": ({}, WARM),
    "lmmd": ({}, WARM),
    "mcc": ({}, WARM),
    "information_maximisation": ({}, WARM),
    "entropy": ({}, {**WARM, "angle": 30.0}),
}


@cache
def source_only(seed, **how):
    return train_on_toy({"task": {}}, seed=seed, **how)


@pytest.mark.parametrize("name", CASES)
def test_the_target_gains(name):
    options, how = CASES[name]
    beside = {} if name == "adda" else {"task": {}}
    seeds = SEEDS[:2] if name == "wasserstein" else SEEDS
    plain = sum(source_only(seed, **how) for seed in seeds) / len(seeds)
    adapted = sum(
        train_on_toy({**beside, name: options}, seed=seed, **how) for seed in seeds
    ) / len(seeds)
    assert adapted > 0.85
    assert adapted > plain + 0.04
