"""Measure what class shares and a handful of labels of the target are worth, without adaptation.

    python scripts/benchmark_few_labels.py --data DATA --logits SCRATCH --seeds 2

DATA holds `sentiment/snippets`. Trains one source-only model per source and seed, keeps its logits of
every target in SCRATCH, and sets its decisions from the target's true shares, or from a few labelled
rows that are drawn at random again and again. Each result is a line in `<out>.runs.jsonl`, and what is
there is not measured again. `--trained 20 50 --trained-pairs 'movie>tweets'` also trains on so many
labelled rows, one draw a seed, with and without their class shares.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_runs import Run, append, code_hash, read_lines
from few_labels_page import page
from suites import SUITES, read_domain

from nlp_adapt import AdaptationError, AdaptationTrainer, Domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.metrics.class_shares import aligning_bias, predicted_shares, shares_from_labels
from nlp_adapt.metrics.classification import classification_metrics
from nlp_adapt.validators.scores import Predictions, estimated_shares, probabilities

SUITE = SUITES["snippets"]
DOMAINS = ("amazon", "movie", "nyt", "tweets")
LABELS = (5, 10, 20, 50, 100, 200)
DRAWS = 200
POOL_ROWS = 1500  # of a target: read without labels, and drawn from
GRID = np.array([[1 - share, share] for share in np.linspace(0.01, 0.99, 50)])
OFF = (-0.1, -0.05, 0.05, 0.1)  # by how much a told share may be wrong


def main() -> None:
    args = parse_arguments()
    runs_file = args.out.with_suffix(".runs.jsonl")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.logits.mkdir(parents=True, exist_ok=True)
    domains = {name: read_domain(args.data, SUITE, name) for name in DOMAINS}
    for seed, source in itertools.product(range(1, args.seeds + 1), args.sources):
        path = args.logits / f"{source}.{seed}.npz"
        if not path.is_file():
            np.savez_compressed(path, **logits_of_a_model(source, seed, domains))
        for run in (*of_logits(path, source, seed), *of_training(args, seed, source, domains)):
            key = {name: run[name] for name in ("use", "source", "target", "seed", "labels")}
            if any(key.items() <= done.items() for done in read_lines(runs_file)):
                continue
            measure = run.pop("measure")
            append(runs_file, [{**run, **measure(), "code": code_hash()}])
            print(key, file=sys.stderr)
        args.out.write_text(page(read_lines(runs_file)), encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder that holds sentiment/")
    parser.add_argument("--logits", required=True, type=Path, help="scratch folder for logits")
    parser.add_argument("--sources", nargs="+", default=list(DOMAINS))
    parser.add_argument("--seeds", type=int, default=2, help="seeds 1 to N")
    parser.add_argument("--trained", nargs="+", type=int, default=[], help="labels to train on")
    parser.add_argument("--trained-pairs", nargs="+", default=[], help="such as 'movie>tweets'")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/few_labels.md"))
    return parser.parse_args()


def logits_of_a_model(source: str, seed: int, domains: dict[str, Domain]) -> dict[str, np.ndarray]:
    """Logits and labels of a source-only model: held-out source rows, pool and test of each target."""
    targets = {name: domain for name, domain in domains.items() if name != source}
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_for(source, next(iter(targets.values())), seed, folder, domains)
        trainer.train()
        found = {}
        (held,) = trainer.data.evaluation["source_validation"].values()
        found["source/logits"], _ = trainer.scorer.read(trainer.model, held.encoded)
        found["source/labels"] = held.encoded.labels
        for name, domain in targets.items():
            domain = domain.with_labels(trainer.task.label_names)
            for part, rows in (("pool", pool_of(domain)), ("test", domain.test)):
                found[f"{name}/{part}/logits"] = logits_of(trainer, rows)
                found[f"{name}/{part}/labels"] = np.asarray(rows["label"][:])
    return found


def pool_of(domain: Domain) -> Any:
    """Training rows of a target, in an order of their own."""
    rows = domain.train.shuffle(seed=0)
    return rows.select(range(min(POOL_ROWS, len(rows))))


def logits_of(trainer: AdaptationTrainer, rows: Any) -> np.ndarray:
    encoded = trainer.task.encode(rows, trainer.processing_class, trainer.args.max_length)
    return trainer.scorer.read(trainer.model, encoded)[0]


def trainer_for(
    source: str, target: Domain, seed: int, folder: str, domains: dict[str, Domain], **options: Any
) -> AdaptationTrainer:
    """A source-only run as in the benchmark of methods."""
    few_shot = options.pop("target_few_shot", None)
    fixed = {
        "method": "source_only",
        "seed": seed,
        "output_dir": folder,
        "compare_source_only": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "data_doctor": "off",
        "disable_tqdm": True,
    }
    recipe = load_recipe(None, {**SUITE["recipe"], **fixed, **options})
    return AdaptationTrainer(
        recipe.model,
        recipe.adaptation_config(),
        replace(domains[source], test=None),
        replace(target, test=None),
        target_few_shot=few_shot,
    )


def of_logits(path: Path, source: str, seed: int) -> Iterator[Run]:
    """What shares and labels do to the decisions of a trained model, target by target."""
    saved = np.load(path)
    for target in DOMAINS:
        if target == source:
            continue
        key = {"source": source, "target": target, "seed": seed}
        data = pool, _, test, truth = [
            saved[f"{target}/{part}/{what}"]
            for part in ("pool", "test")
            for what in ("logits", "labels")
        ]
        # Macro-F1 over the shares that predictions are matched to, which all draws read.
        curve = cache(
            lambda p=pool, t=test, y=truth: [macro_f1(t + aligning_bias(p, s), y) for s in GRID]
        )
        held = (saved["source/logits"], saved["source/labels"])
        yield {
            **key,
            "use": "shares",
            "labels": 0,
            "measure": lambda a=data, b=held: shares_told(*a, b),
        }
        for count in LABELS:
            yield {
                **key,
                "use": "bias",
                "labels": count,
                "measure": lambda a=data, n=count, c=curve: bias_fitted(*a, n, c),
            }


def shares_told(
    pool: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, held: Any
) -> Run:
    """Macro-F1 with the shares of the pool's labels, near ones and estimated ones."""
    told, before = shares_of(labels), predicted_shares(pool)
    estimates = estimated_shares(Predictions(*held, pool))
    cuts = np.quantile(test[:, 1] - test[:, 0], np.linspace(0.01, 0.99, 99))
    off = {f"{by:+.2f}": np.clip(told + np.array([-by, by]), 0.02, 0.98) for by in OFF}
    means = probabilities(pool).mean(0)
    return {
        "macro_f1": macro_f1(test, truth),
        "told": macro_f1(test + aligning_bias(pool, told), truth),
        "one_step": macro_f1(test + np.log(told / means), truth),
        "off": {by: macro_f1(test + aligning_bias(pool, one), truth) for by, one in off.items()},
        "estimates": {
            name: macro_f1(test + aligning_bias(pool, one.clip(0.02) / one.clip(0.02).sum()), truth)
            for name, one in estimates.items()
        },
        "best": max(macro_f1(test + np.array([0.0, -cut]), truth) for cut in cuts),
        "shares": {
            "true": round(float(told[1]), 4),
            "predicted": round(float(before[1]), 4),
            **{name: round(float(one[1]), 4) for name, one in estimates.items()},
        },
    }


def bias_fitted(
    pool: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    count: int,
    curve: Callable[[], list[float]],
) -> Run:
    """Gains in macro-F1 from so many labelled rows, over many draws of them."""
    generator = np.random.default_rng(count)
    before, untouched = predicted_shares(pool), macro_f1(test, truth)
    gains = []
    for _ in range(DRAWS):
        drawn = generator.permutation(len(pool))[:count]
        shares = shares_from_labels(labels[drawn], before, pool[drawn])
        gains.append(np.interp(shares[1], GRID[:, 1], curve()) - untouched)
    return {
        "draws": DRAWS,
        "gain": float(np.mean(gains)),
        "gain_5": float(np.quantile(gains, 0.05)),
        "harmed": float(np.mean(np.array(gains) < -1.0)),
    }


def of_training(
    args: argparse.Namespace, seed: int, source: str, domains: dict[str, Domain]
) -> Iterator[Run]:
    """What training on labelled rows gives, with and without their class shares."""
    for pair, count, use in itertools.product(args.trained_pairs, args.trained, ("train", "both")):
        own, target = pair.split(">")
        if own == source:
            yield {
                "use": use,
                "source": source,
                "target": target,
                "seed": seed,
                "labels": count,
                "measure": lambda t=target, n=count, u=use: trained(source, t, seed, n, u, domains),
            }


def trained(
    source: str, target: str, seed: int, count: int, use: str, domains: dict[str, Domain]
) -> Run:
    """Macro-F1 of a model that also trains on rows drawn at random from the target."""
    domain = domains[target]
    drawn = np.random.default_rng(seed).permutation(POOL_ROWS)[:count]
    rows = pool_of(domain).select(np.sort(drawn))
    few = replace(domain, name="few", train=rows, test=None, reference="drawn")
    with tempfile.TemporaryDirectory() as folder:
        options = {"target_few_shot": few, "few_shot_use": use}
        trainer = trainer_for(source, domain, seed, folder, domains, **options)
        trainer.train()
        test = domain.with_labels(trainer.task.label_names).test
        logits = logits_of(trainer, test)
    return {"macro_f1": macro_f1(logits, np.asarray(test["label"][:]))}


def shares_of(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, minlength=2) / len(labels)


def macro_f1(logits: np.ndarray, truth: np.ndarray) -> float:
    """In percent."""
    predicted = logits.argmax(-1).tolist()
    return 100 * float(classification_metrics(truth.tolist(), predicted, ["0", "1"])["macro_f1"])


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_few_labels: {error}")
