"""Several domains on a side: equal shares in every step, passes of their own, balanced factors."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_adapt.data.batches.encoded import concatenate, pack_rows
from nlp_adapt.data.batches.mixing import RowStream, SideStream, balance, label_counts
from nlp_adapt.data.batches.pairing import PairedBatches


def domain_rows(index, count, seed=0, label=None):
    generator = np.random.default_rng([seed, index])
    rows = pack_rows(
        [[1] * length for length in generator.integers(3, 30, count)],
        None if label is None else [label] * count,
    )
    return rows.in_domain(index)


def side(sizes, first=0, label=None):
    return concatenate([domain_rows(first + i, size, label=label) for i, size in enumerate(sizes)])


def batches_for(sides, **options):
    return PairedBatches(
        sides, **{"total_steps": 40, "batch_size": 7, "pad_id": 0, "seed": 5} | options
    )


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    batch=st.integers(1, 9),
    steps=st.integers(1, 70),
    shares=st.sampled_from([(1, 1), (2, 1), (1, 2)]),
)
def test_each_domain_has_an_equal_share_and_passes_of_its_own(sizes, batch, steps, shares):
    micro, processes = shares
    rows = side(sizes, label=1)
    plan = batches_for(
        {"source": rows}, total_steps=steps, batch_size=batch,
        micro_batches=micro, processes=processes,
    )  # fmt: skip
    used = []
    for step in range(steps):
        chosen = plan.rows_of(step)["source"]
        assert len(chosen) == batch * micro * processes
        per_domain = np.bincount(rows.domains[chosen], minlength=len(sizes))
        assert per_domain.max() - per_domain.min() <= 1
        used.extend(chosen.tolist())
    every = np.bincount(rows.domains[used], minlength=len(sizes))
    assert every.max() - every.min() <= 1  # exact over time, whatever the sizes
    for domain in range(len(sizes)):
        times = np.bincount(used, minlength=len(rows))[rows.domains == domain]
        assert times.max() - times.min() <= 1  # no row twice before each has had its turn


def test_each_domain_is_reshuffled_between_its_own_passes():
    rows = side([6, 11])
    stream = SideStream(rows, per_step=2, seed=5, salt=1)
    order = [row for step in range(12) for row in stream.plan(step, step + 1, np.array([0]))[0]]
    first = [row for row in order if row < 6]
    assert sorted(first[:6]) == sorted(first[6:12]) == list(range(6))
    assert first[:6] != first[6:12]
    others = [row for row in order if row >= 6]
    assert sorted(others[:11]) == list(range(6, 17))


def test_a_step_is_a_function_of_seed_and_step():
    sides = {"source": side([30, 9]), "target": side([20, 50], first=2)}
    fresh, used = batches_for(sides, total_steps=90), batches_for(sides, total_steps=90)
    other = batches_for(sides, total_steps=90, seed=6)
    for step in range(90):
        used.rows_of(step)
    for step in (77, 1, 40):
        for name in sides:
            np.testing.assert_array_equal(fresh.rows_of(step)[name], used.rows_of(step)[name])
            assert not np.array_equal(other.rows_of(step)[name], used.rows_of(step)[name])


def test_processes_and_micro_batches_share_out_the_rows_of_one():
    sides = {"source": side([30, 9], label=1), "target": side([20, 50], first=2)}
    whole = batches_for(sides, batch_size=8)
    for step in (0, 11):
        (one,) = whole.step(step)
        parts = [
            batch
            for process in range(2)
            for batch in batches_for(
                sides, batch_size=2, micro_batches=2, processes=2, process=process
            ).step(step)
        ]
        assert Counter(one["domains"].tolist()) == Counter(
            domain for part in parts for domain in part["domains"].tolist()
        )
        for name in ("source_balance", "target_balance"):
            for part in parts:
                np.testing.assert_array_equal(part[name], one[name])


def test_the_order_of_a_single_domain_written_out():
    """Sorted within each pass, the shortest to the lowest rank; the first step has the longest.

    The step in the middle, of rank 8, is beyond the first pass: it keeps its rows.
    """
    rows = domain_rows(0, 23)
    plan = batches_for({"source": rows}, total_steps=10, batch_size=4)
    order = np.random.default_rng([5, 3, 0]).permutation(10)
    for step, rank in ((0, 9), (5, 8)):
        now = order.tolist().index(rank)
        order[[step, now]] = order[[now, step]]
    first = np.argsort(-rows.lengths, kind="stable")[:4]
    chosen = RowStream(23, 5, 1, first).take(0, 40)
    for half in (slice(0, 5), slice(5, 10)):  # a pass is five steps and a bit
        part = chosen[4 * half.start : 4 * half.stop]
        part = part[np.argsort(rows.lengths[part], kind="stable")].reshape(5, 4)
        expected = part[order[half].argsort().argsort()]
        found = [plan.rows_of(step)["source"] for step in range(10)[half]]
        np.testing.assert_array_equal(found, expected)
    assert "source_balance" not in plan.step(0)[0]


@pytest.mark.parametrize("sizes", [[40], [25, 13], [9]])
def test_a_step_does_not_hold_a_row_again_and_again(sizes):
    """However many passes over few rows a window of steps spans."""
    plan = batches_for({"source": side(sizes)}, total_steps=100, batch_size=8)
    for step in range(100):
        assert np.bincount(plan.rows_of(step)["source"]).max() <= 2


def test_factors_give_every_domain_the_same_mass():
    rows = side([30, 9, 4], label=1)
    chosen = {"source": np.array([0, 1, 2, 30, 31, 39])}
    factors = balance({"source": rows}, chosen, "source", 4)
    np.testing.assert_allclose(factors, [6 / 3 / 3, 6 / 3 / 2, 6 / 3 / 1, 0.0])
    few = {"source": np.array([0, 30])}  # the third domain has no row in this step
    np.testing.assert_allclose(balance({"source": rows}, few, "source", 4), [1, 1, 0, 0])


def test_rows_of_like_length_meet_in_a_step():
    rows = side([800, 300], label=1)
    plan = batches_for({"source": rows}, total_steps=30, batch_size=32)
    spread = [np.ptp(rows.lengths[plan.rows_of(step)["source"]]) for step in range(30)]
    assert np.mean(spread) < 6  # of lengths from 3 to 29


@pytest.mark.parametrize(("share", "expected"), [(0.25, 2), (1.0, 8), (0.01, 1)])
def test_labelled_target_rows_have_a_fixed_share_among_the_target_units(share, expected):
    released = pack_rows([[1, 2, 3]] * 5, [1, 0, 1, 0, 1]).in_domain(1)
    sides = {"source": side([20], label=0), "target": side([30], first=1), "few_shot": released}
    plan = batches_for(sides, total_steps=10, batch_size=8, portions={"few_shot": share})
    used = []
    for step in range(10):
        assert len(plan.rows_of(step)["source"]) == len(plan.rows_of(step)["target"]) == 8
        used += plan.rows_of(step)["few_shot"].tolist()
        (batch,) = plan.step(step)
        assert (batch["source_count"], batch["source_labelled"]) == (8, 8)
        assert (batch["target_count"], batch["target_labelled"]) == (8 + expected, expected)
        of_target = batch["labels"][batch["source_units"] :]
        assert (of_target >= 0).sum() == expected
        assert set(batch["domains"][batch["source_units"] :].tolist()) == {1}
        assert "target_balance" not in batch
    times = np.bincount(used, minlength=5)
    assert len(used) == 10 * expected
    assert times.max() - times.min() <= 1
    del sides["few_shot"]
    alone = batches_for(sides, total_steps=10, batch_size=8)
    np.testing.assert_array_equal(alone.rows_of(3)["source"], plan.rows_of(3)["source"])


def test_label_counts_are_those_of_each_domain():
    rows = concatenate(
        [
            pack_rows([[1], [2], [3]], [0, 2, -100]).in_domain(0),
            pack_rows([[1], [2]], [1, 1]).in_domain(1),
        ]
    )
    np.testing.assert_array_equal(label_counts(rows, 3), [[1, 0, 1], [0, 2, 0]])
