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
import shlex
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlp_adapt import AdaptationError, AdaptationTrainer, Domain, load_domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.methods import selects_best_model

SOURCE_ONLY, TARGET_TRAINED = "source_only", "target_trained"
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
    for index, keys in enumerate(jobs(args.methods, args.seeds, pairs)):
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


def jobs(methods: list[str], seeds: int, pairs: list[tuple[str, str]]) -> list[list[Run]]:
    """What to train, in order: each job is one model and the pairs that it stands for.

    A model that never sees the target's text is the same for all targets of a source, and one that
    is trained on the target the same for all sources: both are trained once.
    """
    found: dict[tuple[Any, ...], list[Run]] = {}
    for seed in range(1, seeds + 1):
        for method in methods:
            name = method.split(":")[0]
            for source, target in pairs:
                shared = {SOURCE_ONLY: (source, None), TARGET_TRAINED: (None, target)}
                model = (seed, method, *shared.get(name, (source, target)))
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
    domain = load_domain(str(data / suite["folder"] / name), name=name)
    return domain


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
        scores = {first["target"]: results["adapted"]["target"]}
        for name, domain in targets.items():
            if name not in scores:
                scores[name] = classification_scores(trainer, domain)
    return [
        {
            **key,
            "suite": args.suite,
            "macro_f1": scores[key["target"]]["macro_f1"],
            "accuracy": scores[key["target"]]["accuracy"],
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
    """Macro-F1 and accuracy of the trained model on another domain's test rows."""
    from sklearn.metrics import accuracy_score, f1_score

    test = domain.with_labels(trainer.task.label_names).test
    names = trainer.task.label_names
    predicted = [answer["label"] for answer in trainer.predict(list(test["text"]))]
    truth = [names[label] for label in test["label"]]
    return {
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "accuracy": float(accuracy_score(truth, predicted)),
    }


def read_runs(path: Path) -> list[Run]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append(path: Path, run: Run) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
        file.flush()
        os.fsync(file.fileno())


def report(args: argparse.Namespace, suite: dict[str, Any], runs: list[Run]) -> str:
    """A Markdown table: a row a method, its mean, spread, gap closed and worst pair."""
    methods = list(dict.fromkeys(run["method"] for run in runs))
    pairs = sorted({(run["source"], run["target"]) for run in runs})
    mean = {
        (method, pair): [
            run["macro_f1"]
            for run in runs
            if run["method"] == method and (run["source"], run["target"]) == pair
        ]
        for method in methods
        for pair in pairs
    }
    command = " ".join(
        ["python", "scripts/benchmark_methods.py", "--data", "DATA", "--suite", args.suite,
         "--methods", *(shlex.quote(method) for method in methods), "--seeds", str(args.seeds),
         "--out", str(args.out), *(["--set", *args.set] if args.set else [])]
    )  # fmt: skip
    lines = [
        f"# Methods on the {args.suite} pairs",
        "",
        f"Macro-F1 in percent on the target's {suite['held_out']}; mean over pairs and seeds, and "
        "in brackets the standard deviation over seeds, averaged over pairs. `gap closed` is the "
        "share of the difference between source-only and a model trained on target labels; `worst` "
        "is the pair with the smallest mean difference to source-only.",
        "",
        *_unfinished(methods, pairs, mean),
        f"Made by `{command}`.",
        "",
        "| method | runs | mean | vs source-only | gap closed | worst | pairs worse by > 1 point |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        lines.append(_row(method, pairs, mean))
    lines += ["", "## By pair", "", "| pair | " + " | ".join(methods) + " |"]
    lines.append("|---" * (len(methods) + 1) + "|")
    for pair in pairs:
        cells = [_cell(mean[method, pair]) for method in methods]
        lines.append(f"| {pair[0]} to {pair[1]} | " + " | ".join(cells) + " |")
    if runs:
        newest = runs[-1]
        lines += [
            "",
            f"Versions: {json.dumps(newest['versions'])}. Machine: {json.dumps(newest['machine'])}, "
            f"precision {newest['precision']}.",
        ]
    return "\n".join(lines) + "\n"


def _unfinished(methods: list[str], pairs: list[tuple[str, str]], values: Any) -> list[str]:
    """A warning where some pairs have no run, or fewer than others: means are over what is there."""
    counts = {method: [len(values[method, pair]) for pair in pairs] for method in methods}
    most = max((max(own) for own in counts.values()), default=0)
    short = [method for method, own in counts.items() if min(own) < most]
    if not short:
        return []
    return [
        f"**Unfinished:** not every pair has {most} run{'s' if most > 1 else ''} of "
        f"{', '.join(short)}. A method's own mean is over the pairs that have one; its difference to "
        "source-only is over the same pairs on both sides.",
        "",
    ]


def _row(method: str, pairs: list[tuple[str, str]], values: dict[Any, list[float]]) -> str:
    done = [pair for pair in pairs if values[method, pair]]
    scores = [statistics.fmean(values[method, pair]) for pair in done]
    spread = [statistics.stdev(v) for pair in done if len(v := values[method, pair]) > 1]
    runs = sum(len(values[method, pair]) for pair in done)
    text = f"{100 * statistics.fmean(scores):.1f}"
    if spread:
        text += f" ({100 * statistics.fmean(spread):.1f})"
    gains = {}
    closed = "-"
    base = [pair for pair in done if values.get((SOURCE_ONLY, pair))]
    for pair in base:
        gains[pair] = statistics.fmean(values[method, pair]) - statistics.fmean(
            values[SOURCE_ONLY, pair]
        )
    if not gains or method == SOURCE_ONLY:
        return f"| {method} | {runs} | {text} | - | - | - | - |"
    topped = [pair for pair in gains if values.get((TARGET_TRAINED, pair))]
    gap = sum(
        statistics.fmean(values[TARGET_TRAINED, pair]) - statistics.fmean(values[SOURCE_ONLY, pair])
        for pair in topped
    )
    if gap > 0:
        closed = f"{100 * sum(gains[pair] for pair in topped) / gap:.0f} %"
    worst = min(gains, key=lambda pair: gains[pair])
    worse = sum(gain < -0.01 for gain in gains.values())
    return (
        f"| {method} | {runs} | {text} | {100 * statistics.fmean(gains.values()):+.1f} | {closed} | "
        f"{worst[0]} to {worst[1]} {100 * gains[worst]:+.1f} | {worse} |"
    )


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    text = f"{100 * statistics.fmean(values):.1f}"
    return text + (f" ({100 * statistics.stdev(values):.1f})" if len(values) > 1 else "")


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_methods: {error}")
