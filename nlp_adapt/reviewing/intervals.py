"""Intervals for a mean of wins, ties and losses, exact at the first look and valid at all later ones.

Each answer is +1 (win), 0 (tie) or -1 (loss), and their mean is asked. The first look at the answers
uses the binomial (Clopper and Pearson 1934, Biometrika 26): how many there are was settled in the
dark, since nobody sees who is ahead before it. Later looks follow what earlier ones have shown, and
need more. A bettor who starts with 1 and puts a share of her capital on "the mean is higher than m"
multiplies it by `1 + b (x - m)` for each answer x. If m is the true mean, her capital is a martingale,
and by Ville's inequality it ever reaches `1 / alpha` with a probability of at most alpha. So the values
m at which it has not are a confidence sequence, valid at all numbers of answers together
(Waudby-Smith and Ramdas 2024, JRSS B, "Estimating means of bounded random variables by betting").
The capital here is split evenly over a grid of bets, so that it depends on the counts alone; without
ties it is the mixture of Robbins (1970, Annals of Mathematical Statistics) for a coin.

The two share the probability of an error, and what both leave is the interval.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np

FIRST_LOOK = 0.6  # its share of the probability of an error
# A grid of bets is a mixture like any other: the interval is exact for it, however coarse.
_BETS = (np.arange(500) + 0.5) / 500
_LOST = np.log1p(-_BETS)
_STEPS = 30  # of bisection: to within a billionth


class Interval(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float

    def within(self, other: "Interval") -> "Interval":
        """What both leave; what this one says where they have nothing in common."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Interval(low, high) if low <= high else self


class Counts(NamedTuple):
    """Numbers of wins, ties and losses."""

    wins: float = 0
    ties: float = 0
    losses: float = 0

    @classmethod
    def of_share(cls, hits: float, count: float) -> "Counts":
        """Hits as wins and misses as losses."""
        return cls(hits, 0, count - hits)

    @property
    def mean(self) -> float:
        """The mean of +1, 0 and -1; 0 of nothing."""
        return (self.wins - self.losses) / (sum(self) or 1)

    def scaled(self, factor: float) -> "Counts":
        """In the same shares, so many times as many."""
        return Counts(*(factor * count for count in self))


def independent(groups: Iterable[Hashable]) -> float:
    """How many independent ones the members of groups are worth at least.

    `(sum of sizes)^2 / (sum of squares)`, as if all of a group were alike: the members' number where
    each is alone (Kish 1965, Survey Sampling, 5.4).

    Args:
        groups: The group of each member.
    """
    sizes = Counter(groups).values()
    return sum(sizes) ** 2 / (sum(size**2 for size in sizes) or 1)


def mean_interval(first: Counts, now: Counts, level: float) -> Interval:
    """The mean of +1, 0 and -1, by the answers of the first look and by all of them now."""
    error = 1 - level
    at_first = exact_interval(first, 1 - FIRST_LOOK * error)
    return anytime_interval(now, 1 - (1 - FIRST_LOOK) * error).within(at_first)


def share_interval(first: Counts, now: Counts, level: float) -> Interval:
    """The share of wins, where there are no ties."""
    return as_share(mean_interval(first, now, level))


def as_share(mean: Interval) -> Interval:
    """The share of +1 behind a mean of +1 and -1."""
    return Interval((mean.low + 1) / 2, (mean.high + 1) / 2)


def exact_interval(counts: Counts, level: float) -> Interval:
    """The mean by the binomial, for a number of answers that was settled before.

    A tie counts as half a win and half a loss, which overstates how far chance can reach.
    """
    from scipy.special import betaincinv

    wins, ties, losses = counts
    hits, misses, tail = wins + ties / 2, losses + ties / 2, (1 - level) / 2
    low = betaincinv(hits, misses + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, misses, 1 - tail) if misses else 1.0
    return Interval(2 * float(low) - 1, 2 * float(high) - 1)


def anytime_interval(counts: Counts, level: float) -> Interval:
    """The mean by betting, valid however often one looks."""
    wins, ties, losses = counts
    enough = math.log(2 / (1 - level))  # each side may err with half of it
    low = _lowest(wins, ties, losses, enough)
    return Interval(low, 0.0 - _lowest(losses, ties, wins, enough))


def product_interval(share: Interval, mean: Interval) -> Interval:
    """A share (0 to 1) times a mean (-1 to 1), each within its interval."""
    products = [one * two for one in share for two in mean]
    return Interval(min(products), max(products))


def answers_needed(counts: Counts, level: float) -> int | None:
    """How many answers in all would tell wins from losses, were their shares as these.

    None where they are equal, or it would take a billion.
    """
    low, high, ties = min(counts[::2]), max(counts[::2]), counts.ties
    if low == high:
        return None
    enough = math.log(2 / ((1 - FIRST_LOOK) * (1 - level)))

    def settles(number: int) -> bool:
        scale = number / sum(counts)
        return _log_capital(high * scale, ties * scale, low * scale, 0.0) >= enough

    most = 1
    while not settles(most):
        most *= 2
        if most > 1 << 30:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if settles(middle) else (middle, most)
    return most


def _lowest(wins: float, ties: float, losses: float, enough: float) -> float:
    """The lowest mean at which betting on a higher one has not won `enough`, in logarithms.

    Each factor of the capital falls with the mean, so that there is one.
    """
    low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _log_capital(wins, ties, losses, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


def _log_capital(wins: float, ties: float, losses: float, mean: float) -> float:
    """Logarithm of the capital of one who bets that the mean is higher than `mean`.

    A bet u in 0 to 1 is b = u / (1 + mean), the most that a loss leaves something of.
    """
    ratio = _BETS / (1 + mean)
    logs = wins * np.log1p(ratio * (1 - mean)) + ties * np.log1p(-ratio * mean) + losses * _LOST
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).mean()))
