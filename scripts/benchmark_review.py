"""Measure `nlp-adapt review` by simulation: which model it names, and from how many labels.

    python scripts/benchmark_review.py

The models are those whose predictions on labelled rows of their target `benchmark_validators.py` has
stored (`docs/benchmarks/validators.npz`); nothing is trained.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from benchmark_runs import Run
from kept_predictions import ARCHIVE, Arrays, grouped, is_twin, stored, title_of, twin_of
from review_page import BUDGETS, LABELS, LOOKS, MOST_LABELS, RIGHT, page

from nlp_adapt.reviewing.intervals import (
    Counts,
    as_share,
    exact_interval,
    mean_interval,
    product_interval,
)

OUT = Path("docs/benchmarks/review.md")
ERROR = 0.05


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000, help="simulated reviews of each run")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def signs_of(models: Iterable[tuple[Run, Arrays]]) -> dict[str, np.ndarray]:
    """For each adapted model: +1, 0, -1 for each row it gains, or loses, against its twin; 2 for neither.

    A row on which both give the same answer is 0, one on which they differ and both are wrong is 2.
    """
    found: dict[str, np.ndarray] = {}
    texts = [(run, values) for run, values in models if "target_offsets" not in values]
    for pair, own in grouped(texts).items():
        answers = {run["method"]: values["target_logits"].argmax(-1) for run, values in own}
        truth = own[0][1]["target_labels"]
        for method, ours in answers.items():
            twin = answers.get(twin_of(method, list(answers)))
            if is_twin(method) or twin is None:
                continue
            signs = (ours == truth).astype(np.int8) - (twin == truth)
            signs[(signs == 0) & (ours != twin)] = 2
            found[f"{title_of(pair)}, {method}"] = signs
    return found


def simulate(signs: np.ndarray, draws: int, seed: int = 0) -> Run:
    """Reviews of one run, each in a new order, against labelling rows drawn from all."""
    random = np.random.default_rng(seed)
    gain = float(np.where(signs == 2, 0, signs).mean())
    differing = np.where(signs == 2, 0, signs)[signs != 0]
    leads = {
        "review": _leads(differing, draws, random),
        "random": _leads(np.where(signs == 2, 0, signs), draws, random),
    }
    side = 1 if gain > 0 else -1
    named = {name: _named(one, side) for name, one in leads.items()}
    verdicts = [
        _verdict(leads["review"][:, :LABELS], len(signs), len(differing), gain, number)
        for number in range(draws)
    ]
    return {
        "gain": gain,
        "share": len(differing) / len(signs),
        **{
            f"{name}_{n}": one[min(n, len(one)) - 1] for name, one in named.items() for n in BUDGETS
        },
        **{f"{name}_needed": _needed(one) for name, one in named.items()},
        "settled_right": float(np.mean([one[0] == side for one in verdicts])),
        "settled_wrong": float(np.mean([one[0] == -side for one in verdicts])),
        "covered": float(np.mean([one[1] for one in verdicts])),
    }


def _leads(signs: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """Wins minus losses after each label, `[draws, labels]`."""
    most = min(len(signs), MOST_LABELS)
    orders = (random.permutation(len(signs))[:most] for _ in range(draws))
    return np.stack([np.cumsum(signs[order], dtype=np.int16) for order in orders])


def _named(leads: np.ndarray, side: int) -> np.ndarray:
    """Share of draws in which the better model leads after each label; a tie is half of one."""
    return ((np.sign(leads) * side + 1) / 2).mean(0)


def _needed(named: np.ndarray) -> int | None:
    """After how many labels the better model leads in 95 % of draws, and from then on."""
    below = np.flatnonzero(named < RIGHT)
    last = int(below[-1]) if len(below) else -1
    return last + 2 if last + 1 < len(named) else None


@functools.cache
def _interval(wins: int, losses: int, rows: int, differing: int) -> tuple[float, float]:
    counts = Counts(wins, 0, losses)
    share = as_share(exact_interval(Counts.of_share(differing, rows), 1 - 0.1 * ERROR))
    return product_interval(share, mean_interval(counts, counts, 1 - 0.9 * ERROR))


def _verdict(
    leads: np.ndarray, rows: int, differing: int, gain: float, number: int
) -> tuple[int, bool]:
    """Which side the product's interval names after the first look, and whether it holds the gain."""
    count, lead = leads.shape[1], int(leads[number, -1])
    wins = (count + lead) / 2  # a tie counts as half of each, as in the product's first look
    low, high = _interval(wins, count - wins, rows, differing)
    return int(low > 0) - int(high < 0), low <= gain <= high


def formula(share: float, gain: float) -> tuple[float, int]:
    """Named right at 40 labels, and labels for 95 %, with two classes and many rows."""
    from scipy.stats import binom

    chance = (1 + gain / share) / 2

    def named(count: int) -> float:
        tie = binom.pmf(count / 2, count, chance) if count % 2 == 0 else 0.0
        return float(binom.sf(count // 2, count, chance) + tie / 2)

    return named(LABELS), next(n for n in range(1, 100_000, 2) if named(n) >= RIGHT)


def price(draws: int = 4000) -> list[list[str]]:
    """Width and coverage against the exact interval for a number of answers that is fixed."""
    rows = []
    for chance in (0.5, 0.65, 0.8, 0.95):
        random = np.random.default_rng(int(100 * chance))
        answers = np.cumsum(random.random((draws, LOOKS[-1])) < chance, 1)[:, np.array(LOOKS) - 1]
        ends = np.array([[_looks(one[0], one[i], i) for i in range(len(LOOKS))] for one in answers])
        fixed = np.array([[_fixed(one[i], i) for i in range(len(LOOKS))] for one in answers])
        inside = (ends[..., 0] <= chance) & (chance <= ends[..., 1])
        alone = (fixed[..., 0] <= chance) & (chance <= fixed[..., 1])
        widths = (ends[..., 1] - ends[..., 0]).mean(0) / (fixed[..., 1] - fixed[..., 0]).mean(0)
        rows.append(
            [
                f"{100 * chance:.0f}",
                *(f"{width:.2f}" for width in widths),
                *(f"{100 * one[:, 0].mean():.1f}" for one in (inside, alone)),
                *(f"{100 * one.all(1).mean():.1f}" for one in (inside, alone)),
            ]
        )
    return rows


@functools.cache
def _looks(first: int, now: int, look: int) -> tuple[float, float]:
    early, late = Counts.of_share(first, LOOKS[0]), Counts.of_share(now, LOOKS[look])
    return as_share(mean_interval(early, late, 1 - ERROR))


@functools.cache
def _fixed(hits: int, look: int) -> tuple[float, float]:
    return as_share(exact_interval(Counts.of_share(hits, LOOKS[look]), 1 - ERROR))


def main() -> None:
    args = parse_arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    signs = signs_of(stored(args.out.with_name(ARCHIVE.name)))
    found = {name: simulate(own, args.draws) for name, own in signs.items() if own.any()}
    args.out.write_text(
        page(found, args.draws, len(signs) - len(found), formula, price()), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
