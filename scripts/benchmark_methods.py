"""Measure methods on sentiment domain pairs: equal budgets, several seeds, resumable.

    python scripts/benchmark_methods.py --data DATA --suite snippets \
        --methods source_only dann mcc target_trained --seeds 3 --out docs/benchmarks/snippets.md

DATA holds `sentiment/snippets` and `sentiment/amazon_blitzer`. Each finished run is a line in
`<out>.runs.jsonl`, and a benchmark that was interrupted goes on where it stopped. Target labels are
read only after training, to score it; `target_trained` is the same budget spent on target labels.
A method may carry options: `mcc:options.mcc.temperature=2`. Several processes can share the work
with `--shard 1/2` and `--shard 2/2`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from methods_page import SOURCE_ONLY, TARGET_TRAINED, report

from nlp_adapt import AdaptationError, AdaptationTrainer, Domain, load_domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.methods import selects_best_model
from nlp_adapt.prediction.predictor import Predictor

SUITES: dict[str, dict[str, Any]] = {
    "snippets": {
        "folder": "sentiment/snippets",
        "domains": ("amazon", "movie", "nyt", "tweets"),
        "recipe": {"max_source_rows": 2000, "max_length": 64},
        "held_out": "test rows",
    },
    "amazon": {
        "folder": "sentiment/amazon_blitzer",
        "domains": ("books", "dvd", "electronics", "kitchen"),
        "recipe": {"max_length": 128},
        "held_out": "all 2,000 labelled rows (target_trained: the 400 test rows)",
    },
}
Run = dict[str, Any]


def main() -> None:
    args = parse_arguments()
    suite = SUITES[args.suite]
    runs_file = args.out.with_suffix(".runs.jsonl")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pairs = [tuple(pair.split(">")) for pair in args.pairs] or list(
        itertools.permutations(suite["domains"], 2)
    )
    part, parts = (int(number) for number in args.shard.split("/"))
    domains = {name: read_domain(args.data, suite, name) for pair in pairs for name in pair}
    for index, keys in enumerate(jobs(args.methods, args.seeds, pairs, args.set)):
        if index % parts != part - 1:
            continue
        done = [{name: run[name] for name in keys[0]} for run in read_runs(runs_file)]
        missing = [key for key in keys if key not in done]
        if not missing:
            continue
        for run in train_and_score(args, suite, missing, domains):
            append(runs_file, run)
            key = {name: run[name] for name in keys[0]}
            print(f"{key} macro-F1 {run['macro_f1']:.4f} ({run['seconds']:.0f} s)", file=sys.stderr)
        if part == 1:
            args.out.write_text(report(args, suite, read_runs(runs_file)), encoding="utf-8")
    args.out.write_text(report(args, suite, read_runs(runs_file)), encoding="utf-8")


def jobs(
    methods: list[str], seeds: int, pairs: list[tuple[str, str]], settings: Sequence[str] = ()
) -> list[list[Run]]:
    """What to train, in order: each job is one model and the pairs that it stands for.

    A model that never sees the target's text is the same for all targets of a source, and one that
    is trained on the target the same for all sources: both are trained once, unless the rows are
    augmented, which may read the other domain.
    """
    found: dict[tuple[Any, ...], list[Run]] = {}
    for seed in range(1, seeds + 1):
        for method in methods:
            name, *options = method.split(":")
            augmented = any(option.startswith("augment=") for option in (*settings, *options))
            for source, target in pairs:
                shared = {SOURCE_ONLY: (source, None), TARGET_TRAINED: (None, target)}
                own = (source, target)
                model = (seed, method, *(own if augmented else shared.get(name, own)))
                key = {"method": method, "seed": seed, "source": source, "target": target}
                found.setdefault(model, []).append(key)
    return list(found.values())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder that holds sentiment/")
    parser.add_argument("--suite", choices=SUITES, default="snippets")
    parser.add_argument("--methods", nargs="+", default=[SOURCE_ONLY, "dann", TARGET_TRAINED])
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="such as 'movie>tweets'; all if none"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/snippets.md"))
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="recipe keys")
    parser.add_argument("--shard", default="1/1", help="this process's share, such as 2/2")
    return parser.parse_args()


def read_domain(data: Path, suite: dict[str, Any], name: str) -> Domain:
    return load_domain(str(data / suite["folder"] / name), name=name)


def train_and_score(
    args: argparse.Namespace, suite: dict[str, Any], keys: list[Run], domains: dict[str, Domain]
) -> list[Run]:
    """Train one model and score it on the held-out rows of the target of each key."""
    first = keys[0]
    method, *options = first["method"].split(":")
    settings = dict(item.split("=", 1) for item in [*args.set, *options])
    trained_on_target = method == TARGET_TRAINED
    source = domains[first["target" if trained_on_target else "source"]]
    targets = {key["target"]: domains[key["target"]] for key in keys}
    if args.suite == "amazon" and not trained_on_target:
        targets = {name: scored_on_all(domain) for name, domain in targets.items()}
    method = SOURCE_ONLY if trained_on_target else method
    asked = load_recipe(None, {"method": method, **settings})
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(
            None,
            {
                **suite["recipe"],
                "method": method,
                "seed": first["seed"],
                "output_dir": folder,
                "compare_source_only": False,
                # Only a method that picks a checkpoint looks at the run before its end.
                "eval_strategy": "epoch" if selects_best_model(asked) else "no",
                "disable_tqdm": True,
                **settings,
            },
        )
        trainer = AdaptationTrainer(
            recipe.model,
            recipe.adaptation_config(),
            replace(source, test=None),
            targets[first["target"]],
        )
        results = trainer.train()
        scores = {name: classification_scores(trainer, domain) for name, domain in targets.items()}
    return [
        {
            **key,
            "suite": args.suite,
            **scores[key["target"]],
            "seconds": results["adapted"]["seconds"],
            "steps": results["adapted"]["steps"],
            "precision": results["precision"],
            "settings": settings,
            "versions": results["versions"],
            "machine": results["machine"],
        }
        for key in keys
    ]


def scored_on_all(domain: Domain) -> Domain:
    """Every labelled row to be scored, as in the literature, and none of them trained on."""
    from datasets import concatenate_datasets

    return replace(domain, train=None, test=concatenate_datasets([domain.train, domain.test]))


def classification_scores(trainer: AdaptationTrainer, domain: Domain) -> dict[str, float]:
    """How the trained model does on a domain's test rows.

    Returns:
        `macro_f1` and `accuracy`. With two classes also `auc`, the area under the ROC curve, which
        does not depend on the threshold between them, and `best_macro_f1`, the most that any
        threshold reaches: what a perfect knowledge of the classes' shares would add.
    """
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    names = trainer.task.label_names
    test = domain.with_labels(names).test
    truth = np.array(test["label"])
    predictor = Predictor(
        trainer.model, trainer.processing_class, trainer.task, max_length=trainer.args.max_length
    )
    answers = predictor.predict(list(test["text"]))
    predicted = np.array([names.index(answer["label"]) for answer in answers])
    found = {
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "accuracy": float(accuracy_score(truth, predicted)),
    }
    if len(names) == 2:
        second = np.array([answer["scores"][names[1]] for answer in answers])
        found["auc"] = float(roc_auc_score(truth, second))
        found["best_macro_f1"] = best_macro_f1(truth, second)
    return found


def best_macro_f1(truth: np.ndarray, scores: np.ndarray) -> float:
    """The highest macro-F1 of two classes over all thresholds on the second one's score."""
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([[0], np.cumsum(truth[order])])  # of the second class, among the first k
    chosen = np.arange(len(truth) + 1)
    positive, negative = hits[-1], len(truth) - hits[-1]
    second = 2 * hits / np.maximum(chosen + positive, 1)
    rejected = len(truth) - chosen
    first = 2 * (rejected - (positive - hits)) / np.maximum(rejected + negative, 1)
    # Rows of equal score are on one side of any threshold.
    ends = np.append(np.flatnonzero(np.diff(scores[order])) + 1, [0, len(truth)])
    return float(((first + second) / 2)[ends].max())


def read_runs(path: Path) -> list[Run]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append(path: Path, run: Run) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_methods: {error}")
