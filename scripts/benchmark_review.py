"""Measure `nlp-adapt review` by simulation: which model it names, and from how many labels.

    python scripts/benchmark_review.py --data DATA              # train what is missing, then simulate
    python scripts/benchmark_review.py                          # simulate from the stored answers

DATA holds `sentiment/snippets`. What each model answers on every labelled row of its target is a line
in `docs/benchmarks/review.runs.jsonl`: class numbers alone, no texts. A benchmark that was interrupted
goes on where it stopped. No label of a target is read before its models are trained.
"""

from __future__ import annotations

import argparse
import base64
import functools
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_runs import Run, append, read_lines
from review_page import BUDGETS, LABELS, LOOKS, MOST_LABELS, RIGHT, page

from nlp_adapt.reviewing.intervals import (
    Counts,
    as_share,
    exact_interval,
    mean_interval,
    product_interval,
)

SOURCE_ONLY = "source_only"
FOLDER = "sentiment/snippets"
RECIPE = {"max_source_rows": 2000, "max_length": 64, "num_train_epochs": 2}
PAIRS = ("movie>tweets", "tweets>movie", "nyt>tweets", "tweets>nyt", "movie>amazon", "nyt>amazon")
METHODS = ("auto", "dann")
OUT = Path("docs/benchmarks/review.md")
ERROR = 0.05


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds sentiment/; trains with it")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, help="such as 'movie>tweets'")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=2000, help="simulated reviews of each run")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def runs_file(args: argparse.Namespace) -> Path:
    return args.out.with_suffix(".runs.jsonl")


def jobs(args: argparse.Namespace) -> Iterator[list[Run]]:
    """What one model each answers: the source-only one of a source stands for all its targets."""
    pairs = [tuple(pair.split(">")) for pair in args.pairs]
    for source in dict.fromkeys(source for source, _ in pairs):
        targets = [target for own, target in pairs if own == source]
        yield [_key(SOURCE_ONLY, source, target, args.seed) for target in targets]
        for method in args.methods:
            yield from ([_key(method, source, target, args.seed)] for target in targets)


def _key(method: str, source: str, target: str, seed: int) -> Run:
    return {"method": method, "source": source, "target": target, "seed": seed}


def train_missing(args: argparse.Namespace) -> None:
    """Train each model whose answers are not stored, and store them."""
    from nlp_adapt.cli.console import quiet_libraries

    for keys in jobs(args):
        done = [{name: run[name] for name in keys[0]} for run in read_lines(runs_file(args))]
        missing = [key for key in keys if key not in done]
        if missing:
            with quiet_libraries(debug=False):
                found = train(args.data, missing)
            append(runs_file(args), found)
            print(f"{missing} trained", file=sys.stderr)


def train(data: Path, keys: Sequence[Run]) -> list[Run]:
    """Train one model and let it answer every labelled row of each key's target."""
    from datasets import concatenate_datasets

    from nlp_adapt import AdaptationTrainer, Predictor, load_domain, load_recipe

    def domain(name: str) -> Any:
        return load_domain(str(data / FOLDER / name), name=name)

    first = keys[0]
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(
            None,
            {
                **RECIPE,
                "method": first["method"],
                "seed": first["seed"],
                "output_dir": folder,
                "compare_source_only": False,
                "disable_tqdm": True,
            },
        )
        trainer = AdaptationTrainer(
            recipe.model,
            recipe.adaptation_config(),
            replace(domain(first["source"]), test=None),
            replace(domain(first["target"]), test=None),
        )
        results = trainer.train()
        predictor = Predictor(
            trainer.model,
            trainer.processing_class,
            trainer.task,
            max_length=trainer.args.max_length,
        )
        found = []
        for key in keys:
            target = domain(key["target"]).with_labels(predictor.label_names)
            rows = concatenate_datasets([target.train, target.test])
            answers = predictor.predict(list(rows["text"]))
            classes = [predictor.label_names.index(one["label"]) for one in answers]
            found.append(
                {
                    **key,
                    "rows": len(rows),
                    "truth": packed(rows["label"][:]),
                    "answers": packed(classes),
                    "versions": results["versions"],
                }
            )
    return found


def packed(classes: Sequence[int]) -> str:
    """Class numbers as short text."""
    return base64.b64encode(zlib.compress(bytes(classes), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    """The class numbers of `packed`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)


def signs_of(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """For each adapted model: +1, 0, -1 for each row it gains, or loses, against its twin; 2 for neither.

    A row on which both give the same answer is 0, one on which they differ and both are wrong is 2.
    """
    twins = {(run["source"], run["target"]): run for run in runs if run["method"] == SOURCE_ONLY}
    found = {}
    for run in runs:
        twin = twins.get((run["source"], run["target"]))
        if run["method"] == SOURCE_ONLY or twin is None:
            continue
        truth, ours, theirs = (
            unpacked(text) for text in (run["truth"], run["answers"], twin["answers"])
        )
        signs = (ours == truth).astype(np.int8) - (theirs == truth)
        signs[(signs == 0) & (ours != theirs)] = 2
        found[f"{run['source']} to {run['target']}, {run['method']}"] = signs
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
    if args.data is not None:
        train_missing(args)
    found = {
        name: simulate(signs, args.draws)
        for name, signs in signs_of(read_lines(runs_file(args))).items()
    }
    planned = len(args.pairs) * len(args.methods)
    args.out.write_text(page(found, args.draws, planned, formula, price()), encoding="utf-8")


if __name__ == "__main__":
    main()
