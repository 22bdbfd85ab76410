"""Measure cross-domain NER: CoNLL-2003 news to each source of WNUT-17, over several seeds.

    python scripts/benchmark_ner.py --data DATA --seeds 3 --methods source_only dann \
        --out docs/benchmarks/ner.md

DATA holds `ner_plo/conll2003/news.{train,dev,test}.jsonl.gz`, `ner_plo/wnut17/*.test.jsonl.gz` (for
youtube `*.dev`), both with PER, LOC and ORG alone, and `ner/wnut17/*.unlabeled.jsonl.gz`.

Each finished run is a line in `<out>.runs.jsonl`: a benchmark that was interrupted goes on where it
stopped. A source-only model sees no target, so one is trained for a seed and scored on all targets.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from nlp_adapt import AdaptationError, AdaptationTrainer, Recipe, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.loading import load_domain
from nlp_adapt.methods import stages_for
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.training.inputs.recipe import targets_of

TEST_FILES = {
    "reddit": "reddit.test",
    "stackexchange": "stackexchange.test",
    "twitter": "twitter.test",
    "youtube": "youtube.dev",
}
SOURCE = "news"
TASK = "token-classification"
SOURCE_ONLY = "source_only"
# What a line of results is not compared by: these differ between runs or between machines.
NOT_SETTINGS = ("method", "seed", "output_dir", "source", "target", "target_test", "disable_tqdm")
Run = dict[str, Any]


def main() -> None:
    args = parse_arguments()
    runs_file = args.out.with_suffix(".runs.jsonl")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(1, args.seeds + 1):
        for method in args.methods:
            groups = [args.targets] if method == SOURCE_ONLY else [[t] for t in args.targets]
            for targets in groups:
                recipe = recipe_for(args, method, seed, targets[0])
                done = {run["target"] for run in read_runs(runs_file) if belongs(run, recipe)}
                if set(targets) <= done:
                    continue
                print(f"{method}, seed {seed}: {', '.join(targets)}", file=sys.stderr)
                append(runs_file, train_and_score(args, recipe, targets))
                write_report(args, read_runs(runs_file))
    write_report(args, read_runs(runs_file))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder with ner_plo and ner")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N (default: 3)")
    parser.add_argument("--methods", nargs="+", default=[SOURCE_ONLY, "dann"])
    parser.add_argument("--targets", nargs="+", default=list(TEST_FILES), choices=TEST_FILES)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/ner.md"))
    parser.add_argument("--config", default="recipes/ner/dann.yaml", help="recipe for the rest")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="recipe keys to change"
    )
    return parser.parse_args()


def recipe_for(args: argparse.Namespace, method: str, seed: int, target: str) -> Recipe:
    """The recipe of one run; options of objectives that the method lacks are left out."""
    overrides = dict(item.split("=", 1) for item in args.set)
    recipe = load_recipe(args.config, {**overrides, "method": method, "seed": seed})
    recipe.task = TASK
    asked, recipe.options = recipe.options, {}
    stages = stages_for(recipe.adaptation_config())
    used = {name for stage in stages for name in stage.objectives}
    recipe.options = {name: own for name, own in asked.items() if name in used}
    recipe.compare_source_only = False
    recipe.eval_strategy = recipe.save_strategy = "no"
    recipe.source = str(args.data / "ner_plo" / "conll2003" / SOURCE)
    recipe.target = str(args.data / "ner" / "wnut17" / f"{target}.unlabeled.jsonl.gz")
    recipe.target_test = test_file(args, target)
    return recipe


def test_file(args: argparse.Namespace, target: str) -> str:
    return str(args.data / "ner_plo" / "wnut17" / f"{TEST_FILES[target]}.jsonl.gz")


def train_and_score(args: argparse.Namespace, recipe: Recipe, targets: list[str]) -> list[Run]:
    """Train one model and score it on the test rows of every target."""
    with tempfile.TemporaryDirectory() as folder:
        recipe.output_dir = str(Path(folder) / "run")
        source = load_source(recipe.source)
        target = None if recipe.method == SOURCE_ONLY else targets_of(recipe)
        trainer = AdaptationTrainer(
            model=recipe.model, args=recipe.adaptation_config(), source=source, target=target
        )
        results = trainer.train()
    predictor = Predictor(
        trainer.model, trainer.processing_class, trainer.task, max_length=trainer.data.max_length
    )
    adapted = results["adapted"]
    runs = []
    for name in targets:
        domain = load_test(test_file(args, name)).with_labels(trainer.task.label_names)
        (rows,) = domain.splits.values()
        encoded = trainer.task.encode(rows, predictor.tokenizer, predictor.max_length)
        metrics = trainer.task.metrics(predictor.logits(encoded), encoded, rows)
        runs.append(
            {
                "settings": settings_of(recipe),
                "method": recipe.method,
                "seed": recipe.seed,
                "target": name,
                "source_f1": adapted["source"]["f1"],
                "steps": adapted["steps"],
                "seconds": adapted["seconds"],
                "sentences": len(rows),
                "metrics": metrics,
                "versions": results["versions"],
                "machine": results["machine"],
                "precision": results["precision"],
            }
        )
    return runs


@functools.cache
def load_source(reference: str) -> Domain:
    """The tagged news, read once for all runs."""
    return load_domain(reference, task=TASK)


@functools.cache
def load_test(reference: str) -> Domain:
    """A target's tagged rows, which one file holds."""
    return load_domain(reference, task=TASK, test_fraction=0.0)


def settings_of(recipe: Recipe) -> str:
    """A short name for everything that must agree between runs that are averaged."""
    own = {key: value for key, value in recipe.to_dict().items() if key not in NOT_SETTINGS}
    own.pop("options")  # those that the method takes are in its stages
    stages = [dataclasses.asdict(stage) for stage in stages_for(recipe.adaptation_config())]
    text = json.dumps([own, stages], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def belongs(run: Run, recipe: Recipe) -> bool:
    return (run["settings"], run["method"], run["seed"]) == (
        settings_of(recipe),
        recipe.method,
        recipe.seed,
    )


def read_runs(path: Path) -> list[Run]:
    """The finished runs; a line that an interrupted write left incomplete is passed over."""
    runs = []
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    for line in lines:
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return runs


def append(path: Path, runs: list[Run]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"\n{json.dumps(run)}" for run in runs)
        file.flush()
        os.fsync(file.fileno())


def write_report(args: argparse.Namespace, runs: list[Run]) -> None:
    """Write the table of all runs that have the settings of this command."""
    chosen: dict[str, list[Run]] = {}
    for method in args.methods:
        recipes = [recipe_for(args, method, s, args.targets[0]) for s in range(1, args.seeds + 1)]
        chosen[method] = [run for run in runs if any(belongs(run, recipe) for recipe in recipes)]
    recipe = recipe_for(args, args.methods[0], 1, args.targets[0])
    text = REPORT.format(
        seeds=args.seeds,
        f1=markdown(score_rows(args, chosen)),
        differences=markdown(difference_rows(args, chosen)),
        command=command(args),
        model=recipe.model,
        sizes=sizes(chosen),
    )
    args.out.write_text(text, encoding="utf-8")


REPORT = """\
# Cross-domain NER: news to WNUT-17

Strict span F1 in percent on each test source of WNUT-17, for models trained on CoNLL-2003 news with
PER, LOC and ORG; mean ± standard deviation over the seeds 1 to {seeds}. Adapted models also saw raw text of
the one target they are scored on, and no tag of it. `news` is the source's own test set, averaged
over all of a method's models. Encoder: `{model}`.

{f1}

Points above (+) or below (-) the source-only model of the same seed; mean ± standard deviation:

{differences}

{sizes}

Made by:

    {command}
"""


def score_rows(args: argparse.Namespace, chosen: dict[str, list[Run]]) -> list[list[str]]:
    rows = [["method", *args.targets, "mean of targets", SOURCE]]
    for method, runs in chosen.items():
        scores = scores_of(runs)
        cells = [spread([by_target.get(t) for by_target in scores.values()]) for t in args.targets]
        means = [mean_over(by_target, args.targets) for by_target in scores.values()]
        rows.append([method, *cells, spread(means), spread(source_scores(runs))])
    return rows


def difference_rows(args: argparse.Namespace, chosen: dict[str, list[Run]]) -> list[list[str]]:
    before = scores_of(chosen.get(SOURCE_ONLY, []))
    rows = [["method", *args.targets, "mean of targets"]]
    for method in (name for name in chosen if name != SOURCE_ONLY):
        after = scores_of(chosen[method])
        cells = []
        for target in args.targets:
            pairs = [(before.get(s, {}).get(target), own.get(target)) for s, own in after.items()]
            cells.append(spread([a - b for b, a in pairs if None not in (a, b)], signed=True))
        means = [
            (mean_over(before.get(seed, {}), args.targets), mean_over(own, args.targets))
            for seed, own in after.items()
        ]
        both = [a - b for b, a in means if None not in (a, b)]
        rows.append([method, *cells, spread(both, signed=True)])
    return rows


def scores_of(runs: list[Run]) -> dict[int, dict[str, float]]:
    """F1 by seed and target."""
    scores: dict[int, dict[str, float]] = {}
    for run in runs:
        scores.setdefault(run["seed"], {})[run["target"]] = run["metrics"]["f1"]
    return scores


def source_scores(runs: list[Run]) -> list[float | None]:
    """F1 on the source for each seed, averaged over the models of that seed."""
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        by_seed.setdefault(run["seed"], []).append(run["source_f1"])
    return [statistics.fmean(scores) for scores in by_seed.values()]


def mean_over(by_target: dict[str, float], targets: list[str]) -> float | None:
    if any(target not in by_target for target in targets):
        return None
    return statistics.fmean(by_target[target] for target in targets)


def spread(values: list[float | None], *, signed: bool = False) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{statistics.fmean(known):{'+' if signed else ''}.1f}"
    return f"{mean} ± {statistics.stdev(known):.1f}" if len(known) > 1 else mean


def sizes(chosen: dict[str, list[Run]]) -> str:
    """How large the test sets are, how many runs there are, and what they took."""
    runs = [run for runs in chosen.values() for run in runs]
    if not runs:
        return "No run has finished yet."
    tests = {r["target"]: (r["sentences"], r["metrics"]["support"]) for r in runs}
    listed = "; ".join(f"{name} {s:,} sentences, {e:,} entities" for name, (s, e) in tests.items())
    took = ", ".join(
        f"{method} {statistics.fmean(run['seconds'] for run in own):,.0f} s and "
        f"{statistics.fmean(run['steps'] for run in own):,.0f} steps"
        for method, own in chosen.items()
        if own
    )
    where = ", ".join(sorted({f"{r['machine']['device']} ({r['precision']})" for r in runs}))
    return f"Test sets: {listed}. One training took on average: {took}, on {where}."


def markdown(rows: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def command(args: argparse.Namespace) -> str:
    """This command, with the data folder by a name of its own."""
    words = ["python", "scripts/benchmark_ner.py", "--data", "DATA", "--seeds", str(args.seeds)]
    words += ["--methods", *args.methods]
    if args.targets != list(TEST_FILES):
        words += ["--targets", *args.targets]
    if args.config != "recipes/ner/dann.yaml":
        words += ["--config", args.config]
    if args.set:
        words += ["--set", *args.set]
    return shlex.join([*words, "--out", args.out.as_posix()])


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"error: {error}")
