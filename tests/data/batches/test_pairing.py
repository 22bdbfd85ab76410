"""Which rows reach which step, for any sizes, processes and micro-batches."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_adapt.data.batches.encoded import (
    EncodedRows,
    choose_widths,
    collate,
    concatenate,
    pack_rows,
    steady_widths,
    width_for,
)
from nlp_adapt.data.batches.mixing import RowStream
from nlp_adapt.data.batches.pairing import PairedBatches


def rows_of_lengths(lengths, label=None):
    return pack_rows(
        [[1] * length for length in lengths], None if label is None else [label] * len(lengths)
    )


def sides(source, target, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "source": rows_of_lengths(generator.integers(3, 40, source), label=1),
        "target": rows_of_lengths(generator.integers(3, 40, target)),
    }


def batches_for(data, **options):
    defaults = {"total_steps": 10, "batch_size": 4, "pad_id": 0, "seed": 5}
    return PairedBatches(data, **{**defaults, **options})


def test_stream_visits_every_row_once_a_pass():
    stream = RowStream(7, seed=1, salt=1)
    taken = stream.take(0, 21)
    for epoch in range(3):
        assert sorted(taken[epoch * 7 : epoch * 7 + 7]) == list(range(7))
    assert not np.array_equal(taken[:7], taken[7:14])
    np.testing.assert_array_equal(stream.take(5, 16), taken[5:16])


@settings(max_examples=30, deadline=None)
@given(
    source=st.integers(1, 90),
    target=st.integers(1, 90),
    steps=st.integers(1, 300),
    batch=st.integers(1, 5),
    shares=st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2)]),
)
def test_equal_counts_and_no_row_repeated_within_a_pass(source, target, steps, batch, shares):
    micro, processes = shares
    data = sides(source, target)
    plan = batches_for(
        data, total_steps=steps, batch_size=batch, micro_batches=micro, processes=processes
    )
    used = {"source": [], "target": []}
    for step in range(steps):
        for name, rows in plan.rows_of(step).items():
            assert len(rows) == batch * micro * processes
            used[name].extend(rows.tolist())
    for name, rows in used.items():
        counts = np.bincount(rows, minlength=len(data[name]))
        assert counts.max() - counts.min() <= 1


@settings(max_examples=30, deadline=None)
@given(
    source=st.integers(1, 90),
    steps=st.lists(st.integers(1, 150), min_size=2, max_size=4),
    batch=st.integers(1, 5),
    domains=st.integers(1, 3),
)
def test_stages_go_on_with_a_pass_where_the_one_before_has_stopped(source, steps, batch, domains):
    rows = sides(source, 1)["source"]
    if domains > 1:
        rows = replace(rows, domains=np.arange(len(rows)) % min(domains, source))
    used, passed = [], 0
    for number, own in enumerate(steps):
        options = {"seed": 7 + number, "source_seed": 7, "passed": passed, "total_steps": own}
        plan = batches_for({"source": rows}, batch_size=batch, **options)
        used += [plan.rows_of(step)["source"] for step in range(own)]
        passed += own
    assert {len(step) for step in used} == {batch}
    members = np.zeros(len(rows), int) if rows.domains is None else rows.domains
    counts = np.bincount(np.concatenate(used), minlength=len(rows))
    for domain in np.unique(members):
        assert np.ptp(counts[members == domain]) <= 1


def test_processes_and_micro_batches_share_out_the_same_rows():
    data = sides(50, 30)
    whole = batches_for(data, batch_size=8)
    for step in (0, 3, 9):
        ids = whole.step(step)[0]["input_ids"].sum()
        parts = [
            batch
            for process in range(2)
            for batch in batches_for(
                data, batch_size=2, micro_batches=2, processes=2, process=process
            ).step(step)
        ]
        assert sum(part["input_ids"].sum() for part in parts) == ids
        assert {part["source_count"] for part in parts} == {2.0}


def test_denominators_are_the_means_over_the_whole_step():
    source = rows_of_lengths([5] * 8, label=1)
    source.labels[:4] = -100
    data = {"source": source, "target": rows_of_lengths([6] * 3)}
    plan = batches_for(data, total_steps=2, batch_size=2, processes=2)
    for step in range(2):
        known = sum((source.labels[plan.rows_of(step)["source"]] >= 0).tolist())
        assert plan.step(step)[0]["source_labelled"] == known / 2
        assert plan.step(step)[0]["target_labelled"] == 0


def test_a_step_does_not_depend_on_the_steps_before_it():
    data = sides(100, 40)
    fresh, used = batches_for(data, total_steps=300), batches_for(data, total_steps=300)
    assert {fresh.window_of(step) for step in range(300)} == {0, 1, 2}
    for step in range(300):
        used.rows_of(step)
    for step in (290, 2, 99, 100, 101, 199, 200, 41):
        for name in ("source", "target"):
            np.testing.assert_array_equal(fresh.rows_of(step)[name], used.rows_of(step)[name])


def padding_of(plan, steps):
    tokens = padded = 0
    for step in range(steps):
        (batch,) = plan.step(step)
        tokens += int(batch["attention_mask"].sum())
        padded += padded_tokens(batch)
    return 1 - tokens / padded


def padded_tokens(batch):
    """Real tokens and padding, which is what memory depends on."""
    return sum(rows * width for rows, width in batch["passes"])


def test_batches_hold_rows_of_like_length():
    data = sides(2000, 1000)
    plan = batches_for(data, total_steps=60, batch_size=32)
    assert padding_of(plan, 60) < 0.08
    widths = {plan.step(step)[0]["input_ids"].shape[1] for step in range(60)}
    assert len(widths) <= 20


def test_the_longest_rows_come_at_once_and_in_the_middle_of_the_first_window():
    for seed in range(3):
        data = sides(400, 300)
        plan = batches_for(data, total_steps=60, seed=seed)
        middle = int(plan._edges[1]) // 2
        for name, rows in data.items():
            two = np.sort(rows.lengths)[-2:]
            longest = [rows.lengths[plan.rows_of(step)[name]].max() for step in (middle, 0)]
            assert longest == two.tolist()
        padded = [padded_tokens(plan.step(step)[0]) for step in range(60)]
        assert padded[0] == max(padded)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_longest_rows_come_first_in_a_short_run_too(steps):
    rows = sides(40, 10)["source"]
    plan = batches_for({"source": rows}, total_steps=steps, batch_size=4)
    found = [rows.lengths[plan.rows_of(step)["source"]] for step in range(steps)]
    assert found[0].max() == rows.lengths.max()
    if steps > 1:
        assert found[steps // 2].max() == np.sort(rows.lengths)[-2]
    seen = np.concatenate([plan.rows_of(step)["source"] for step in range(steps)])
    assert len(set(seen.tolist())) == 4 * steps


@pytest.mark.parametrize("domains", [1, 3])
def test_no_later_window_has_a_wider_batch_than_the_first_step(domains):
    rows = sides(2000, 10)["source"]
    if domains > 1:
        rows = replace(rows, domains=np.arange(len(rows)) % domains)
    plan = batches_for({"source": rows}, total_steps=700, batch_size=6)
    each = 6 // domains
    expected = []
    for domain in range(domains):
        longest = np.sort(rows.lengths[domain::domains])[::-1]
        # The second longest waits for the middle of the window, whose own longest comes instead.
        expected += [longest[0], *longest[2 : each + 1]]
    first = plan.rows_of(0)["source"]
    np.testing.assert_array_equal(np.sort(rows.lengths[first]), np.sort(expected))
    padded = [padded_tokens(plan.step(step)[0]) for step in range(700)]
    assert padded[0] == max(padded)
    seen = np.concatenate([plan.rows_of(step)["source"] for step in range(700)])
    assert set(np.bincount(seen, minlength=2000)) == {2, 3}


def test_domains_of_unlike_length_cost_little_padding_where_batches_may_be_divided():
    """Lengths like those of film reviews and tweets: geometric-like, one longer throughout."""
    generator = np.random.default_rng(0)
    longer = np.clip(generator.gamma(4.0, 7.0, 3000).astype(int), 3, 64)
    shorter = np.clip(generator.gamma(5.0, 4.0, 1500).astype(int), 3, 64)
    data = {"source": rows_of_lengths(longer, label=1), "target": rows_of_lengths(shorter)}
    together, divided = (
        padding_of(batches_for(data, total_steps=200, batch_size=32, divide=divide), 200)
        for divide in (False, True)
    )
    assert together > 0.15
    assert divided < 0.06


def test_collate_puts_rows_and_units_where_they_belong():
    source = pack_rows([[5, 6], [7, 8, 9]], [1, 0])
    target = pack_rows([[3]]).in_domain(1)
    batch = collate([(source, np.array([1, 0])), (target, np.array([0]))], width=4, pad_id=99)
    assert batch["input_ids"].tolist() == [[7, 8, 9, 99], [5, 6, 99, 99], [3, 99, 99, 99]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 2, 1]
    assert batch["labels"].tolist() == [0, 1, -100]
    assert batch["domains"].tolist() == [0, 0, 1]
    assert batch["unit_rows"].tolist() == [0, 1, 2]


def test_concatenated_sources_keep_rows_labels_and_domains():
    joined = concatenate(
        [pack_rows([[1, 2], [3]], [0, 1]), pack_rows([[4, 5, 6]], [1]).in_domain(1)]
    )
    assert len(joined) == 3
    assert joined.lengths.tolist() == [2, 1, 3]
    assert joined.ids[joined.offsets[2] : joined.offsets[3]].tolist() == [4, 5, 6]
    assert joined.labels.tolist() == [0, 1, 1]
    assert joined.domains.tolist() == [0, 0, 1]


def test_collate_is_row_by_row():
    """Against a plain loop, on rows with words, labels, domains and a teacher."""
    generator = np.random.default_rng(3)
    lengths, counts = generator.integers(3, 12, 30), generator.integers(0, 4, 30)
    offsets, unit_offsets = (np.concatenate([[0], np.cumsum(n)]) for n in (lengths, counts))
    rows = EncodedRows(
        ids=generator.integers(5, 90, offsets[-1]).astype(np.int32),
        offsets=offsets,
        labels=generator.integers(-1, 3, unit_offsets[-1]),
        unit_offsets=unit_offsets,
        positions=generator.integers(0, 3, unit_offsets[-1]).astype(np.int32),
        domains=generator.integers(0, 2, 30),
        teacher=generator.normal(size=(unit_offsets[-1], 3)).astype(np.float32),
    )
    chosen = [generator.permutation(30)[:size] for size in (7, 0, 5)]
    batch = collate([(rows, part) for part in chosen], width=13, pad_id=1)
    units = []
    for number, row in enumerate(np.concatenate(chosen)):
        ids = rows.ids[offsets[row] : offsets[row + 1]].tolist()
        assert batch["input_ids"][number].tolist() == ids + [1] * (13 - len(ids))
        assert batch["attention_mask"][number].tolist() == [1] * len(ids) + [0] * (13 - len(ids))
        units += [(number, row, unit) for unit in range(unit_offsets[row], unit_offsets[row + 1])]
    assert batch["unit_rows"].tolist() == [number for number, _, _ in units]
    assert batch["labels"].tolist() == [rows.labels[unit] for _, _, unit in units]
    assert batch["domains"].tolist() == [rows.domains[row] for _, row, _ in units]
    assert batch["unit_positions"].tolist() == [
        number * 13 + rows.positions[unit] for number, _, unit in units
    ]
    np.testing.assert_array_equal(batch["teacher_logits"], rows.teacher[[u for _, _, u in units]])
    assert batch["unit_positions"].dtype == np.int64


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_widths_waste_least(most):
    """Against trying every choice of widths."""
    from itertools import combinations

    lengths = np.random.default_rng(0).integers(1, 32, 200)
    candidates = sorted({min(-(-int(length) // 2) * 2, 31) for length in lengths})

    def waste(widths):
        return sum(min(w for w in widths if w >= length) - length for length in lengths)

    best = min(
        waste(chosen)
        for chosen in combinations(candidates, min(most, len(candidates)))
        if chosen[-1] == candidates[-1]
    )
    widths = choose_widths(lengths, most)
    assert len(widths) <= most
    assert waste(widths.tolist()) == best


def test_widths_never_go_beyond_the_longest_row():
    """A model may have no position for one token more."""
    for longest in (1, 2, 7, 63, 511, 8191):
        lengths = np.arange(1, longest + 1)
        for widths in (choose_widths(lengths), steady_widths(longest)):
            assert widths[-1] == longest
            assert (np.diff(widths) > 0).all()
            assert all(width_for(int(length), widths) >= length for length in lengths)
    assert len(choose_widths(np.arange(1, 8192))) == 20


def test_steady_widths_are_the_same_for_all_rows_and_near_their_lengths():
    longer, shorter = steady_widths(512), steady_widths(100)
    assert set(shorter[:-1]) <= set(longer)
    assert len(longer) < 60
    assert all(width_for(n, longer) <= max(1.09 * n, n + 2) for n in range(1, 513))


def test_a_stream_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        RowStream(0, seed=0, salt=1)
