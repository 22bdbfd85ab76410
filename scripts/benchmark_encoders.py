"""Measure what an encoder, and how much of it is trained, gains and costs: points against minutes.

    python scripts/benchmark_encoders.py --data DATA --pairs 'movie>tweets' --seeds 1

DATA holds `sentiment/snippets`. The source-only model is trained, and scored on the target, for each
encoder and each way of training it. Each finished run is a line in `<out>.runs.jsonl`, and a benchmark
that was interrupted goes on where it stopped. Target labels are read only after training, to score it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark_runs import append, code_hash, read_runs
from suites import SUITES, read_domain

from nlp_adapt import AdaptationError, AdaptationTrainer, Domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries

# Name -> its layers, and the learning rate that is usual for its size.
ENCODERS = {"builtin:minilm-l6": (6, 5e-5), "builtin:mpnet-base": (12, 2e-5)}
# In order of what they train; `fitted` takes no steps, `half` stands for a number of layers.
WAYS: dict[str, dict[str, Any]] = {
    "fitted": {"method": "logistic_regression"},
    "frozen": {"freeze": "all"},
    "lora": {"lora": True},
    "half": {"freeze": "half"},
    "whole": {},
}
RECIPE = {"max_source_rows": 1500, "max_length": 64, "num_train_epochs": 2}
DESCRIBED = {
    "fitted": "nothing: a linear head is fitted (`method: logistic_regression`)",
    "frozen": "the head (`freeze: all`)",
    "lora": "adapters (`lora: true`)",
    "half": "the upper half (`freeze: 3` of 6 layers, `freeze: 6` of 12)",
    "whole": "all",
}
Run = dict[str, Any]
Group = tuple[str, str]  # encoder and way


def main() -> None:
    args = parse_arguments()
    suite = SUITES["snippets"]
    runs_file = args.out.with_suffix(".runs.jsonl")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for key in jobs(args.pairs, args.encoders, args.ways, args.seeds):
        if any(key.items() <= run.items() for run in read_runs(runs_file)):
            continue
        domains = [read_domain(args.data, suite, key[side]) for side in ("source", "target")]
        run = train_and_score(key, *domains)
        append(runs_file, [run])
        print(f"{key} macro-F1 {run['macro_f1']:.4f}, {run['minutes']:.2f} min", file=sys.stderr)
    args.out.write_text(report(read_runs(runs_file)), encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    pairs = SUITES["snippets"]["pairs"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder that holds sentiment/")
    parser.add_argument(
        "--pairs", nargs="+", default=[">".join(pair) for pair in pairs], help="all if none"
    )
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=1, help="seeds 1 to N")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/encoders.md"))
    return parser.parse_args()


def jobs(
    pairs: Sequence[str], encoders: Sequence[str], ways: Sequence[str], seeds: int
) -> list[Run]:
    """What to train, cheap ways first."""
    return [
        {"encoder": encoder, "way": way, "seed": seed, "source": source, "target": target}
        for seed in range(1, seeds + 1)
        for source, target in (pair.split(">") for pair in pairs)
        for way in ways
        for encoder in encoders
    ]


def train_and_score(key: Run, source: Domain, target: Domain) -> Run:
    """Train one source-only model and score it on the target's test rows.

    `minutes` are the processor's own in training: on one thread they are those that an idle machine
    takes, whatever else this one does.
    """
    layers, rate = ENCODERS[key["encoder"]]
    settings = {
        "method": "source_only",
        **RECIPE,
        "learning_rate": rate,
        "model": key["encoder"],
        "seed": key["seed"],
        **{name: layers // 2 if it == "half" else it for name, it in WAYS[key["way"]].items()},
    }
    fixed = {"compare_source_only": False, "eval_strategy": "no", "disable_tqdm": True}
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(None, {**settings, **fixed, "output_dir": f"{folder}/run"})
        trainer = AdaptationTrainer(
            recipe.model, recipe.adaptation_config(), replace(source, test=None), target
        )
        before = time.process_time()
        results = trainer.train()
        seconds = time.process_time() - before
    scores = results["adapted"]["target"]
    return {
        **key,
        **{name: scores[name] for name in ("macro_f1", "accuracy", "auc")},
        "best_macro_f1": scores["oracle"]["macro_f1"],
        "minutes": round(seconds / 60, 3),
        "wall_seconds": results["adapted"]["seconds"],
        "steps": results["adapted"]["steps"],
        "precision": results["precision"],
        "settings": settings,
        "code": code_hash(),
        "versions": results["versions"],
        "machine": results["machine"],
    }


def report(runs: Sequence[Run]) -> str:
    """The page: means over the pairs and seeds that all rows have, worst first, and each pair."""
    if not runs:
        return "# Which encoder\n\nNo run has finished yet: see `scripts/benchmark_encoders.py`.\n"
    groups: dict[Group, list[Run]] = {}
    for run in runs:
        groups.setdefault((run["encoder"], run["way"]), []).append(run)
    pairs = sorted({(run["source"], run["target"]) for run in runs})
    shared = set.intersection(*({_place(run) for run in own} for own in groups.values()))
    table = (
        {group: [run for run in own if _place(run) in shared] for group, own in groups.items()}
        if shared
        else {}
    )
    ranked = sorted(table, key=lambda group: _mean(table[group], "macro_f1"))
    lines = [
        "# Which encoder",
        "",
        "What a larger encoder gains on another domain, and what it costs: the source-only model, "
        f"trained on {RECIPE['max_source_rows']:,} labelled rows of at most {RECIPE['max_length']} tokens for "
        f"{RECIPE['num_train_epochs']} epochs, scored on the target's test rows. `minilm-l6` has 22M "
        "parameters and learns at 5e-5, `mpnet-base` has 110M and learns at 2e-5. Worst first.",
        "",
        "Minutes are the processor's, on one thread, for training and scoring. `best threshold` is the "
        "macro-F1 at the threshold that the target's labels would choose, for reading only. Means are "
        "over the pairs and seeds that every row has; one run is one draw, and a difference of a "
        "point or two between rows says little.",
        "",
        "Made by `python scripts/benchmark_encoders.py --data DATA --pairs "
        + " ".join(f"'{source}>{target}'" for source, target in pairs)
        + f" --seeds {max(run['seed'] for run in runs)}`.",
        "",
        *_missing(groups),
        "| encoder | what trains | runs | macro-F1 | AUC | best threshold | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in ranked:
        own = table[group]
        numbers = [f"{100 * _mean(own, name):.1f}" for name in ("macro_f1", "auc", "best_macro_f1")]
        cells = [_short(group[0]), DESCRIBED[group[1]], str(len(own)), *numbers]
        lines.append(f"| {' | '.join(cells)} | {_mean(own, 'minutes'):.1f} |")
    lines += ["", *_by_pair(ranked or list(groups), pairs, groups), ""]
    hashes = ", ".join(sorted({run["code"] for run in runs}))
    newest = runs[-1]
    lines.append(
        f"Code: {hashes}. Versions: {json.dumps(newest['versions'])}. "
        f"Machine: {json.dumps(newest['machine'])}, precision {newest['precision']}."
    )
    return "\n".join(lines) + "\n"


def _missing(groups: dict[Group, list[Run]]) -> list[str]:
    """What has no run yet, so that nobody reads a comparison into the table that it does not hold."""
    lacking = [
        f"{_short(encoder)} {way}"
        for encoder, way in itertools.product(ENCODERS, WAYS)
        if (encoder, way) not in groups
    ]
    return [f"**Not measured yet:** {', '.join(lacking)}.", ""] if lacking else []


def _by_pair(
    ranked: Sequence[Group],
    pairs: Sequence[tuple[str, str]],
    groups: dict[Group, list[Run]],
) -> list[str]:
    """Macro-F1 of each pair."""
    lines = [
        "## By pair",
        "",
        "| encoder | what trains | " + " | ".join(f"{a} to {b}" for a, b in pairs) + " |",
        "|---" * (len(pairs) + 2) + "|",
    ]
    for encoder, way in ranked:
        cells = []
        for pair in pairs:
            own = [run for run in groups[encoder, way] if (run["source"], run["target"]) == pair]
            cells.append(f"{100 * _mean(own, 'macro_f1'):.1f}" if own else "")
        lines.append(f"| {_short(encoder)} | {way} | {' | '.join(cells)} |")
    return lines


def _place(run: Run) -> tuple[Any, ...]:
    return run["source"], run["target"], run["seed"]


def _short(encoder: str) -> str:
    return f"`{encoder.removeprefix('builtin:')}`"


def _mean(runs: Sequence[Run], name: str) -> float:
    return statistics.fmean(run[name] for run in runs)


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_encoders: {error}")
