"""What follows from a review's answers, without bias: who is better, by how much, and how sure."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from nlp_adapt.reviewing.answers import Outcome, outcome
from nlp_adapt.reviewing.intervals import (
    Counts,
    Interval,
    answers_needed,
    as_share,
    exact_interval,
    independent,
    mean_interval,
    product_interval,
    share_interval,
)
from nlp_adapt.reviewing.items import Item
from nlp_adapt.reviewing.state import UNSURE, Review

LEVEL = 0.95
# The part of the error that the share of disagreement may take: it rests on far more rows.
_OF_SHARE = 0.1
ADAPTED, SOURCE_ONLY, UNDECIDED = "adapted", "source_only", "undecided"
Answered = list[tuple[Item, Outcome]]


def conclude(review: Review, level: float = LEVEL) -> dict[str, Any]:
    """The verdict and the numbers behind it, JSON-ready.

    The difference is the share of units on which the models differ times the mean of wins (+1) and
    losses (-1) among those, so that it needs no answer on the others.

    Returns:
        `verdict` is `adapted`, `source_only` or `undecided`; `difference` and `accuracy` are shares
        with their `low` and `high` ends at `level`; `more_answers` is how many more rows on which
        the models differ would settle it, were they like those so far.
    """
    both = _answered(review, review.answers)
    differing = [one for one in both if one[0].unit.differ]
    first = set(review.first_look)
    counts, worth = _counts(differing), _worth(differing)
    early = [one for one in differing if one[0].id in first]
    at_first = _counts(early).scaled(_worth(early))
    nameless = _nameless(review, both)
    error = 1 - level
    share = _disagreement(review, 1 - _OF_SHARE * error)
    mean = mean_interval(at_first, counts.scaled(worth), 1 - (1 - _OF_SHARE) * error)
    found = product_interval(share, mean)
    verdict = ADAPTED if found.low > 0 else SOURCE_ONLY if found.high < 0 else UNDECIDED
    if not sum(counts):
        verdict = UNDECIDED
    estimate = _share(review) * counts.mean
    return {
        "verdict": verdict,
        "level": level,
        "difference": _described(estimate, found),
        "disagreement": _described(_share(review), share),
        "wins": int(counts.wins),
        "losses": int(counts.losses),
        "neither": int(counts.ties),
        "unsure": sum(answer == UNSURE for answer in review.answers.values()),
        "agreeing": len(both) - len(differing),
        "unanswered": len(review.unanswered),
        "more_answers": _more(counts, worth, verdict, 1 - (1 - _OF_SHARE) * error),
        "accuracy": _accuracies(review, both, first, level),
        "class_shares": None if review.tagging or nameless else class_shares(review, both),
        "no_class": nameless,
        "texts": review.population["texts"],
        "units": review.population["units"],
        "differing": review.population["differing"],
        "name": review.population["name"],
    }


def labelled_rows(review: Review) -> list[dict[str, str]]:
    """Texts whose true label the answers tell, as rows that a run can learn from; none of taggers."""
    if review.tagging:
        return []
    return [
        {"text": item.unit.text, "label": said.label}
        for item, said in _answered(review, review.answers)
        if said.label is not None
    ]


def class_shares(review: Review, answered: Answered) -> dict[str, float]:
    """The share of each class in the target: the adapted model's, corrected by the answers.

    In the part where the models differ and in that where they agree, the mean of "is of this class"
    minus "is predicted so" over the answers that tell a label is added, in proportion to the part.
    A part without such answers is taken as predicted.
    """
    units, predicted = review.population["units"], review.population["predicted"]
    shares = {label: predicted.get(label, 0) / max(units, 1) for label in review.labels}
    for differ, weight in ((True, _share(review)), (False, 1 - _share(review))):
        own = [
            (item.unit.adapted, said.label)
            for item, said in answered
            if item.unit.differ == differ and said.label is not None
        ]
        guessed, true = Counter(one for one, _ in own), Counter(two for _, two in own)
        for label in shares:
            shares[label] += weight * (true[label] - guessed[label]) / max(len(own), 1)
    known = {label: max(share, 0.0) for label, share in shares.items()}
    total = sum(known.values()) or 1.0
    return {label: round(share / total, 4) for label, share in known.items()}


def _nameless(review: Review, answered: Answered) -> int:
    """Answers of "both wrong" that leave several classes open.

    Without them the classes that the models miss would be counted too rarely.
    """
    several = not review.tagging and len(review.labels) > 2
    return sum(several and said.label is None and not said.adapted for _, said in answered)


def _answered(review: Review, names: Iterable[str]) -> Answered:
    """Items and what their answers say; unsure ones are left out."""
    pairs = ((review.items[name], review.answers[name]) for name in names)
    found = ((item, outcome(item, answer)) for item, answer in pairs)
    return [(item, said) for item, said in found if said is not None]


def _counts(answered: Answered) -> Counts:
    """The adapted model's wins, ties and losses."""
    signs = Counter(int(said.adapted) - int(said.source_only) for _, said in answered)
    return Counts(signs[1], signs[0], signs[-1])


def _worth(answered: Answered) -> float:
    """The part of the answers that counts as independent: those on one text hang together."""
    return independent(item.unit.place for item, _ in answered) / (len(answered) or 1)


def _share(review: Review) -> float:
    return review.population["differing"] / max(review.population["units"], 1)


def _disagreement(review: Review, level: float) -> Interval:
    """The share of units on which the models differ, in the domain that the texts are from."""
    known = review.population["independent"]
    counts = Counts.of_share(_share(review) * known, known)
    return as_share(exact_interval(counts, level))


def _more(counts: Counts, worth: float, verdict: str, level: float) -> int | None:
    """How many more answers would settle it; 0 where it is, None where none tells."""
    if verdict != UNDECIDED:
        return 0
    needed = answers_needed(counts, level)
    return None if needed is None else max(math.ceil(needed / worth) - int(sum(counts)), 1)


def _accuracies(
    review: Review, answered: Answered, first: Collection[str], level: float
) -> dict[str, Any] | None:
    """Each model's share of right units; None without an answer on units where they agree."""
    if all(item.unit.differ for item, _ in answered) or not answered:
        return None
    return {
        ADAPTED: _accuracy(review, answered, first, level, lambda said: said.adapted),
        SOURCE_ONLY: _accuracy(review, answered, first, level, lambda said: said.source_only),
    }


def _accuracy(
    review: Review,
    answered: Answered,
    first: Collection[str],
    level: float,
    right: Callable[[Outcome], bool],
) -> dict[str, float]:
    """A model's share of right units: of those on which the models differ, and of the others."""
    error = 1 - level
    share = _disagreement(review, 1 - _OF_SHARE * error)
    shares, ends = [], []
    for differ in (True, False):
        now = [one for one in answered if one[0].unit.differ == differ]
        early = [one for one in now if one[0].id in first]
        at_first, counts = (
            Counts.of_share(sum(right(said) for _, said in own), len(own)).scaled(_worth(own))
            for own in (early, now)
        )
        shares.append((counts.mean + 1) / 2)
        ends.append(share_interval(at_first, counts, 1 - (1 - _OF_SHARE) * error / 2))
    weight = _share(review)
    low = min(one * ends[0].low + (1 - one) * ends[1].low for one in share)
    high = max(one * ends[0].high + (1 - one) * ends[1].high for one in share)
    estimate = weight * shares[0] + (1 - weight) * shares[1]
    return _described(estimate, Interval(low, high))


def _described(estimate: float, interval: Interval) -> dict[str, float]:
    ends = {"estimate": estimate, "low": interval.low, "high": interval.high}
    return {name: round(value, 6) for name, value in ends.items()}
