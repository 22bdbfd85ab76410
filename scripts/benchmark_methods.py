"""Measure methods on pairs of domains: equal seeds and yardsticks in every table, resumable.

    python scripts/benchmark_methods.py --data DATA --suite snippets \
        --methods source_only auto twin_of_auto target_trained --seeds 3

DATA holds `sentiment/snippets` and `sentiment/amazon_blitzer`; of the suite `wnut`
`ner_plo/conll2003/news.{train,dev,test}.jsonl.gz`, `ner_plo/wnut17/*.test.jsonl.gz` (of youtube
`*.dev`), both with PER, LOC and ORG alone, and `ner/wnut17/*.unlabeled.jsonl.gz`.

A method trains as its recipe in recipes/ says, but for the rows and lengths that a suite names and
what `--set` changes. `twin_of_METHOD` is the source-only model of the method's own run, under the
same schedule; name it beside the method, and one run gives both. `target_trained` is the budget of
`source_only` spent on target labels, which else are read only to score a finished model, and
`shares_told` is `source_only` that knows the target's class shares, as a user may.
`distilled_from_mpnet-base` learns the answers of that encoder's source-only model to the target's
text; `--teachers FOLDER` keeps those models, each trained once. A method may carry options: `mcc:options.mcc.temperature=2`. Each finished model is a line in `<out>.runs.jsonl`
with a hash of the code that made it; a benchmark that was interrupted goes on where it stopped, and
lines of other code are kept apart. Several processes share the work with `--shard 1/2` and
`--shard 2/2`. `--report` only writes the page. `--keep FOLDER` keeps what each model predicts, for
`benchmark_validators.py` and `benchmark_review.py`.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark_runs import KEY, SMALL, Run, append, code_hash, key_of, made_alike, read_runs
from distilled import teacher_of
from kept_predictions import keep
from methods_page import report
from methods_table import DISTILLED, SHARES_TOLD, SOURCE_ONLY, TARGET_TRAINED, TWIN
from protocol import published
from suites import SUITES, read_domain

from nlp_adapt import AdaptationError, AdaptationTrainer, Domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.errors import ConfigError
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.yardsticks import yardsticks
from nlp_adapt.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
BUDGET_OF = (TARGET_TRAINED, SHARES_TOLD)  # trained as source_only
KEPT = {
    "macro_f1": ("macro_f1", "macro_precision", "macro_recall", "accuracy", "auc", "oracle"),
    "f1": ("f1", "precision", "recall", "support", "per_type", "oracle"),
}


def main() -> None:
    args = parse_arguments()
    suite = SUITES[args.suite]
    out = args.out or page_of(args.suite, args.encoder)
    runs_file = out.with_suffix(".runs.jsonl")
    made_by = {
        "suite": args.suite, "encoder": args.encoder, "code": code_hash(),
        "set": dict(item.split("=", 1) for item in args.set),
    }  # fmt: skip
    distils = not args.report and any(DISTILLED in name for name in args.methods)
    if distils and args.teachers is None:
        raise ConfigError("name a folder for the teachers of distilled models with --teachers.")
    pairs = [tuple(pair.split(">")) for pair in args.pairs] or suite["pairs"]
    part, parts = (int(number) for number in args.shard.split("/"))
    todo = [] if args.report else jobs(args.methods, args.seeds, pairs, args.set)
    domains = {name: read_domain(args.data, suite, name) for pair in pairs for name in pair if todo}
    for keys in todo[part - 1 :: parts]:
        done = [key_of(run) for run in read_runs(runs_file) if made_alike(run, made_by)]
        missing = [key for key in keys if key not in done]
        if not missing:
            continue
        for run in train_and_score(args, suite, missing, domains, made_by):
            append(runs_file, [run])
            score = run["scores"][suite["measure"]]
            print(f"{key_of(run)} {score:.4f} ({run['seconds']:.0f} s)", file=sys.stderr)
        if part == 1:
            write_page(out, args, read_runs(runs_file))
    write_page(out, args, read_runs(runs_file))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the suites' domains")
    parser.add_argument("--suite", choices=SUITES, default="snippets")
    parser.add_argument(
        "--methods", nargs="+", default=[SOURCE_ONLY, "auto", f"{TWIN}auto", TARGET_TRAINED]
    )
    parser.add_argument("--encoder", default=SMALL, help="the model to start from; a page each")
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="such as 'movie>tweets'; all if none"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument("--out", type=Path, help="the page; default: by suite and encoder")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="recipe keys")
    parser.add_argument("--shard", default="1/1", help="this process's share, such as 2/2")
    parser.add_argument("--report", action="store_true", help="train nothing, write the page anew")
    parser.add_argument("--teachers", type=Path, help="a folder for the teachers of distilled ones")
    parser.add_argument("--keep", type=Path, help="a folder for what each model predicts")
    return parser.parse_args()


def page_of(suite: str, encoder: str) -> Path:
    """The page of a suite; encoders other than the small one have their own."""
    name = encoder.removeprefix("builtin:").replace("/", "_")
    pages = {"wnut": "ner"}
    own = "" if encoder == SMALL else f".{name}"
    return Path("docs/benchmarks") / f"{pages.get(suite, suite)}{own}.md"


def jobs(
    methods: Sequence[str],
    seeds: int,
    pairs: Sequence[tuple[str, str]],
    settings: Sequence[str] = (),
) -> list[list[Run]]:
    """What to train, in order: each job is one run and the methods and pairs that it stands for.

    A run trains a method and its twin. A model that never sees the target's text is the same for all
    targets of a source, and one that is trained on the target the same for all sources: both are
    trained once, unless the rows are augmented, which may read the other domain.
    """
    found: dict[tuple[Any, ...], list[Run]] = {}
    for seed, method in itertools.product(range(1, seeds + 1), methods):
        trained = method.removeprefix(TWIN)
        name, *options = trained.split(":")
        augmented = any(option.startswith("augment=") for option in (*settings, *options))
        for source, target in pairs:
            shared = {SOURCE_ONLY: (source, None), TARGET_TRAINED: (None, target)}
            own = (source, target)
            model = (seed, trained, *(own if augmented else shared.get(name, own)))
            key = dict(zip(KEY, (method, seed, source, target), strict=True))
            found.setdefault(model, []).append(key)
    return list(found.values())


def recipe_of(suite: dict[str, Any], method: str, settings: Mapping[str, Any]) -> Recipe:
    """The method's own recipe, or that of `auto` for one that has none, with the suite's rows."""
    own = ROOT / "recipes" / suite["recipes"] / f"{method}.yaml"
    path = own if own.is_file() else own.with_name("auto.yaml")
    kept = {} if own.is_file() else {"options": {}}
    return load_recipe(path, {**suite["recipe"], **kept, "method": method, **settings})


def train_and_score(
    args: argparse.Namespace,
    suite: dict[str, Any],
    keys: list[Run],
    domains: dict[str, Domain],
    made_by: Run,
) -> list[Run]:
    """Train one model, with its twin if that is asked for, and score it for each key."""
    first = keys[0]
    method, *options = first["method"].removeprefix(TWIN).split(":")
    on_target = method == TARGET_TRAINED
    if method in BUDGET_OF and suite["recipes"] == "ner":
        raise ConfigError(f"the suite {args.suite} has no labels for {method}; leave it out.")
    source = domains[first["target" if on_target else "source"]]
    targets = {key["target"]: domains[key["target"]] for key in keys}
    if args.suite == "amazon" and not on_target:
        targets = {name: scored_on_all(domain) for name, domain in targets.items()}
    own: Run = dict(item.split("=", 1) for item in (*args.set, *options))
    if method == SHARES_TOLD:
        own["target_class_shares"] = true_shares(targets[first["target"]])
    if method.startswith(DISTILLED):
        alone = ROOT / "recipes" / suite["recipes"] / "source_only.yaml"
        own["teacher"] = teacher_of(
            method, args.teachers, alone, suite["recipe"], replace(source, test=None), first["seed"]
        )
        method = "distillation"
    with tempfile.TemporaryDirectory() as folder:
        always = {"seed": first["seed"], "output_dir": folder, "disable_tqdm": True}
        always["fall_back"] = False  # the method is what is measured
        always["compare_source_only"] = any(key["method"].startswith(TWIN) for key in keys)
        recipe = recipe_of(
            suite,
            SOURCE_ONLY if method in BUDGET_OF else method,
            {"model": args.encoder, **own, **always},
        )
        trainer = AdaptationTrainer(
            recipe.model,
            recipe.adaptation_config(),
            replace(source, test=None),
            targets[first["target"]],
        )
        results = trainer.train()
        found = []
        for key in keys:
            model = "source_only" if key["method"].startswith(TWIN) else "adapted"
            scores = results[model]["target"]
            if key["target"] != first["target"]:
                scores = scores_on(trainer, targets[key["target"]])
            run = {**line(key, model, scores, results, KEPT[suite["measure"]]), **made_by}
            if args.keep is not None and not on_target:
                keep(args.keep, run, trainer, targets[key["target"]], twin=model == "source_only")
            found.append(run)
    return found


def line(key: Run, model: str, scores: Run, results: Run, kept: Sequence[str]) -> Run:
    """What is written of a finished model."""
    chosen, guard = results[model]["best"], results["guard"] or {}
    return {
        **key,
        "scores": {name: scores[name] for name in kept if name in scores},
        "label_free": results[model]["label_free"],
        "guard": guard.get("verdict") if model == "adapted" else None,
        "checkpoint": chosen and chosen["step"],
        "seconds": results[model]["seconds"],
        "steps": results[model]["steps"],
        "precision": results["precision"],
        "versions": results["versions"],
        "machine": results["machine"],
    }


def true_shares(domain: Domain) -> dict[str, float]:
    """How frequent each class but the last is among the rows that a model is scored on."""
    names, labels = domain.test.features["label"].names, domain.test["label"][:]
    return {
        name: round(labels.count(place) / len(labels), 4) for place, name in enumerate(names[:-1])
    }


def scored_on_all(domain: Domain) -> Domain:
    """Every labelled row to be scored, as in the literature, and none of them trained on."""
    from datasets import concatenate_datasets

    return replace(domain, train=None, test=concatenate_datasets([domain.train, domain.test]))


def scores_on(trainer: AdaptationTrainer, domain: Domain) -> Run:
    """How the trained model does on the test rows of another domain than its run's."""
    task, length = trainer.task, trainer.data.max_length
    rows = domain.with_labels(task.label_names).test
    encoded = task.encode(rows, trainer.processing_class, length)
    predictor = Predictor(trainer.model, trainer.processing_class, task, max_length=length)
    logits = predictor.logits(encoded)
    metrics = task.metrics(logits, encoded, rows)
    return metrics | yardsticks(task, logits, encoded, rows, metrics)


def write_page(out: Path, args: argparse.Namespace, runs: list[Run]) -> None:
    """Write the page of all that was run with this encoder."""
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = dict(item.split("=", 1) for item in args.set)
    # A page shows the settings of its last line: those that are asked for, where there are any.
    runs = sorted(runs, key=lambda run: bool(run["set"] == settings))
    last = runs[-1]["code"] if runs else ""
    methods = list(dict.fromkeys(run["method"] for run in runs if run["code"] == last))
    words = ["python", "scripts/benchmark_methods.py", "--data", "DATA", "--suite", args.suite]
    words += ["--encoder", args.encoder] if args.encoder != SMALL else []
    words += ["--methods", *(methods or args.methods)]
    words += ["--seeds", str(max((run["seed"] for run in runs), default=args.seeds))]
    words += ["--pairs", *args.pairs] if args.pairs else []
    words += ["--set", *args.set] if args.set else []
    words += ["--teachers", "FOLDER"] if any(DISTILLED in name for name in methods) else []
    words += (
        ["--out", f"docs/benchmarks/{out.name}"]
        if out.name != page_of(args.suite, args.encoder).name
        else []
    )
    suite = SUITES[args.suite] | {"published": published.section(args.suite)}
    page = report(suite, args.encoder, shlex.join(words), runs)
    out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_methods: {error}")
