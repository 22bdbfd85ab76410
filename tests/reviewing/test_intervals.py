"""Intervals cover what they say, by simulation, and agree with independent formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from nlp_adapt.reviewing.intervals import (
    Counts,
    answers_needed,
    anytime_interval,
    exact_interval,
    mean_interval,
    product_interval,
    share_interval,
)

LEVEL = 0.9
# Shares of wins and losses; the rest are ties.
WORLDS = ((0.5, 0.5), (0.7, 0.3), (0.95, 0.05), (0.3, 0.3), (0.5, 0.1), (0.02, 0.1))


def draws(wins, losses, count, times, seed=0):
    """Answers `[times, count]` of +1, 0 and -1."""
    random = np.random.default_rng([seed, int(1000 * wins), int(1000 * losses)])
    return random.choice([1, 0, -1], (times, count), p=[wins, 1 - wins - losses, losses])


def counts(answers):
    return Counts(*(int((answers == sign).sum()) for sign in (1, 0, -1)))


@pytest.mark.parametrize(("hits", "count"), [(0, 9), (3, 9), (32, 40), (40, 40)])
def test_without_ties_the_first_look_is_that_of_clopper_and_pearson(hits, count):
    low, high = exact_interval(Counts.of_share(hits, count), LEVEL)
    expected = binomtest(hits, count).proportion_ci(LEVEL, "exact")
    assert ((low + 1) / 2, (high + 1) / 2) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (3, 9), (30, 40), (60, 60)])
def test_without_ties_the_bet_is_a_mixture_for_a_coin(hits, count):
    """Its capital is the mean likelihood ratio over the coins above `p`, each as likely (Robbins)."""
    low = (anytime_interval(Counts.of_share(hits, count), LEVEL).low + 1) / 2

    def capital(p):
        coins = beta(hits + 1, count - hits + 1)
        mass = coins.sf(p) * np.exp(
            np.log(np.arange(1, hits + 1)).sum()
            + np.log(np.arange(1, count - hits + 1)).sum()
            - np.log(np.arange(1, count + 2)).sum()
        )
        return mass / (1 - p) / (p**hits * (1 - p) ** (count - hits))

    if low < 1e-6:
        assert capital(0.2) < 2 / (1 - LEVEL)
    else:
        assert capital(low) == pytest.approx(2 / (1 - LEVEL), rel=0.01)


@pytest.mark.parametrize(("wins", "losses"), WORLDS)
def test_the_first_look_covers(wins, losses):
    tallies = [counts(one) for one in draws(wins, losses, 40, 2000)]
    ends = {one: exact_interval(one, LEVEL) for one in set(tallies)}
    covered = np.mean([ends[one].low <= wins - losses <= ends[one].high for one in tallies])
    assert covered >= LEVEL - 0.01  # 1.5 standard errors


@pytest.mark.parametrize(("wins", "losses"), WORLDS)
def test_all_looks_together_cover(wins, losses):
    """A person who stops as soon as the interval is wrong hardly ever finds it so."""
    looks, known, missed = (10, 20, 40, 60, 90), {}, 0
    tries = draws(wins, losses, looks[-1], 400)
    for one in tries:
        first = counts(one[: looks[0]])
        for look in looks:
            key = first, counts(one[:look])
            if key not in known:
                known[key] = mean_interval(*key, LEVEL)
            if not known[key].low <= wins - losses <= known[key].high:
                missed += 1
                break
    assert missed / len(tries) <= 1 - LEVEL + 0.02


def test_looking_again_with_the_binomial_would_not_cover():
    """What the confidence sequence is for: the fixed interval is left far more often."""
    tries = draws(0.5, 0.5, 200, 400)
    left = sum(
        any(abs(one[:look].sum()) > 1.645 * look**0.5 for look in range(10, 201, 5))
        for one in tries
    )
    assert left / len(tries) > 0.25
    known = {}
    betting = 0
    for one in tries:
        for look in range(10, 201, 19):
            key = counts(one[:look])
            if key not in known:
                known[key] = anytime_interval(key, LEVEL)
            if not known[key].low <= 0 <= known[key].high:
                betting += 1
                break
    assert betting / len(tries) <= 1 - LEVEL


def test_what_it_costs_to_be_asked_again():
    """Against the exact interval for a fixed number, in width at 40 answers."""
    one = Counts.of_share(30, 40)
    exact, ours = exact_interval(one, 0.95), mean_interval(one, one, 0.95)
    assert 1.0 < (ours.high - ours.low) / (exact.high - exact.low) < 1.15
    later = mean_interval(Counts.of_share(30, 40), Counts.of_share(150, 200), 0.95)
    exact = exact_interval(Counts.of_share(150, 200), 0.95)
    assert 1.0 < (later.high - later.low) / (exact.high - exact.low) < 2.0


def test_both_sides_are_alike():
    one, other = Counts(25, 5, 10), Counts(10, 5, 25)
    ours, theirs = mean_interval(one, one, LEVEL), mean_interval(other, other, LEVEL)
    assert ours == pytest.approx((-theirs.high, -theirs.low), abs=1e-9)


def test_no_answers_say_nothing():
    assert mean_interval(Counts(), Counts(), LEVEL) == (-1, 1)
    assert share_interval(Counts(), Counts(), LEVEL) == (0, 1)


def test_a_product_takes_the_worst_ends():
    from nlp_adapt.reviewing.intervals import Interval

    assert product_interval(Interval(0.1, 0.2), Interval(-0.5, 0.3)) == pytest.approx((-0.1, 0.06))
    assert product_interval(Interval(0.1, 0.2), Interval(0.3, 0.5)) == pytest.approx((0.03, 0.1))


def test_so_many_answers_settle_it():
    needed = answers_needed(Counts(30, 2, 8), 0.95)
    assert 10 < needed < 60
    for number, settled in ((needed, True), (needed - 2, False)):
        now = Counts(30 * number / 40, 2 * number / 40, 8 * number / 40)
        assert (anytime_interval(now, 0.98).low > 0) == settled
    assert answers_needed(Counts(5, 3, 5), 0.95) is None
    assert answers_needed(Counts(8, 2, 30), 0.95) == needed
