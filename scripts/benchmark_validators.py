"""Measure what can be said of a model without target labels, and how often that is right.

    python scripts/benchmark_validators.py --data DATA --keep FOLDER   # train what is missing, score
    python scripts/benchmark_validators.py                             # score the stored predictions

DATA holds `sentiment/snippets`. Each checkpoint of each run is a line in
`docs/benchmarks/validators.runs.jsonl`, and its predictions are in `docs/benchmarks/validators.npz`, so
that a new validator is scored without training. FOLDER keeps the features as well, which are too large
for the tree. A benchmark that was interrupted goes on where it stopped. No label of a target is read
before its models are trained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_runs import SMALL, Run, code_hash, read_lines
from validators_page import page, scored

from nlp_adapt.validators import Predictions

SOURCE_ONLY = "source_only"
FOLDER = "sentiment/snippets"
DOMAINS = ("movie", "tweets", "nyt", "amazon")
METHODS = ("auto", "dann:lambda_max=1.0", "mcc", "self_training", "daln", "dann:lambda_max=0.1")
HEADS = 3  # source-only models with freshly drawn heads
# Fewer steps than these teach a small encoder nothing, and all its models say one class alone.
RECIPE = {"max_source_rows": 1500, "max_target_rows": 1500, "max_length": 64, "num_train_epochs": 2}
MOST_ROWS = 600
OUT = Path("docs/benchmarks/validators.md")
PARTS = ("source_logits", "source_labels", "target_logits", "target_labels")
FEATURES = ("source_features", "target_features")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds sentiment/; trains with it")
    parser.add_argument("--keep", type=Path, help="folder for all predictions, with their features")
    parser.add_argument("--domains", nargs="+", default=DOMAINS)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--encoder", default=SMALL)
    parser.add_argument("--checkpoints", action="store_true", help="not only the last of each run")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def jobs(args: argparse.Namespace) -> Iterator[list[Run]]:
    """What one trained model each answers: the source-only one of a source stands for all targets."""
    pairs = list(itertools.permutations(args.domains, 2))
    pairs = sorted(pairs, key=lambda pair: pairs.index(pair) % (len(args.domains) - 1))
    sources = [
        [_key(SOURCE_ONLY, seed, *pair) for pair in pairs if pair[0] == source]
        for seed, source in itertools.product(range(1, HEADS + 1), args.domains)
    ]
    yield from sources[: len(args.domains)]
    for method, pair in itertools.product(args.methods, pairs):
        yield [_key(method, 1, *pair)]
    yield from sources[len(args.domains) :]


def _key(method: str, seed: int, source: str, target: str) -> Run:
    return {"method": method, "seed": seed, "source": source, "target": target}


def name_of(key: Run, checkpoint: int) -> str:
    """What the predictions of a checkpoint are called."""
    return ".".join(
        [key["source"], key["target"], key["method"], str(key["seed"]), str(checkpoint)]
    )


def train_missing(args: argparse.Namespace) -> None:
    """Train each model whose predictions are neither stored nor kept, and keep them."""
    args.keep.mkdir(parents=True, exist_ok=True)
    told = {
        run["name"].rpartition(".")[0] for run in read_lines(args.out.with_suffix(".runs.jsonl"))
    }
    for keys in jobs(args):
        missing = [
            key
            for key in keys
            if not (args.keep / f"{name_of(key, 0)}.done").exists()
            and name_of(key, 0).rpartition(".")[0] not in told
        ]
        if missing:
            train(args, missing)
            for key in missing:
                (args.keep / f"{name_of(key, 0)}.done").touch()
            print(f"{missing} trained", file=sys.stderr, flush=True)


def train(args: argparse.Namespace, keys: Sequence[Run]) -> None:
    """Train one model, and let it answer the rows of each key's target at each checkpoint."""
    from nlp_adapt import AdaptationTrainer, load_domain, load_recipe
    from nlp_adapt.training.scoring import Scorer

    def domain(name: str) -> Any:
        return load_domain(str(args.data / FOLDER / name), name=name)

    first = keys[0]
    method, *options = first["method"].split(":")
    told = dict(option.split("=", 1) for option in options)
    with tempfile.TemporaryDirectory() as folder:
        fixed = {"compare_source_only": False, "disable_tqdm": True, "data_doctor": "off"}
        fixed["eval_strategy"] = "epoch" if args.checkpoints else "no"
        own = {"model": args.encoder, "method": method, "seed": first["seed"], "output_dir": folder}
        recipe = load_recipe(None, {**RECIPE, **fixed, **told, **own})
        trainer = AdaptationTrainer(
            recipe.model,
            recipe.adaptation_config(),
            replace(domain(first["source"]), test=None),
            replace(domain(first["target"]), test=None),
        )
        rows = {key["target"]: _rows(trainer, domain(key["target"])) for key in keys}
        checkpoints = []
        validation = Scorer.validation

        def recorded(scorer: Scorer, model: Any, precision: str) -> dict[str, float]:
            checkpoints.append(
                {name: predictions(scorer, model, one) for name, one in rows.items()}
            )
            return validation(scorer, model, precision)

        Scorer.validation = recorded  # type: ignore[method-assign]
        try:
            results = trainer.train()
        finally:
            Scorer.validation = validation  # type: ignore[method-assign]
        last = {n: predictions(trainer.scorer, trainer.model, one) for n, one in rows.items()}
        name, read = first["target"], "target_logits"
        if not checkpoints or not np.allclose(last[name][read], checkpoints[-1][name][read]):
            checkpoints.append(last)
    for key in keys:
        for number, found in enumerate(checkpoints, 1):
            about = {"code": code_hash(), "encoder": args.encoder, "set": RECIPE}
            about |= {"versions": results["versions"], "last": number == len(checkpoints)}
            keep(args.keep / f"{name_of(key, number)}.npz", found[key["target"]], {**key, **about})


def _rows(trainer: Any, domain: Any) -> Any:
    """Labelled rows of a target, encoded; none of them is trained with its label."""
    from datasets import concatenate_datasets

    known = domain.with_labels(trainer.task.label_names)
    rows = concatenate_datasets([known.train, known.test]).shuffle(seed=0)
    rows = rows.select(range(min(len(rows), MOST_ROWS)))
    return trainer.task.encode(rows, trainer.processing_class, trainer.data.max_length)


def predictions(scorer: Any, model: Any, target: Any) -> dict[str, np.ndarray]:
    """Logits, features and labels of the source's validation rows and of a target's rows."""
    (held,) = scorer.data.evaluation["source_validation"].values()
    found = {"source_labels": held.encoded.labels, "target_labels": target.labels}
    for side, rows in (("source", held.encoded), ("target", target)):
        logits, features = scorer.read(model, rows.without_labels(), features=True)
        found[f"{side}_logits"] = logits.astype(np.float16)
        found[f"{side}_features"] = features.astype(np.float16)
    return found


def keep(path: Path, arrays: dict[str, np.ndarray], about: Run) -> None:
    """Write predictions with what they are of, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
    os.replace(part, path)


def stored(args: argparse.Namespace) -> list[Run]:
    """All predictions, those of the tree and those that are kept, as runs with their scores."""
    lines = {run["name"]: run for run in read_lines(args.out.with_suffix(".runs.jsonl"))}
    found: dict[str, tuple[Run, dict[str, np.ndarray]]] = {}
    archive = args.out.with_suffix(".npz")
    if archive.is_file():
        with np.load(archive) as arrays:
            for name, line in lines.items():
                found[name] = line, {part: arrays[f"{name}/{part}"] for part in PARTS}
    for path in sorted(args.keep.glob("*.npz")) if args.keep else []:
        with np.load(path) as arrays:
            about = json.loads(str(arrays["about"]))
            found[path.stem] = about, {part: arrays[part] for part in (*PARTS, *FEATURES)}
    return [_run(name, about, arrays) for name, (about, arrays) in found.items()]


def _run(name: str, about: Run, arrays: dict[str, np.ndarray]) -> Run:
    truth, logits = arrays["target_labels"], arrays["target_logits"].astype(np.float32)
    features = {part: arrays[part].astype(np.float32) for part in FEATURES if part in arrays}
    # No label of the target is in what is scored.
    source = arrays["source_logits"].astype(np.float32), arrays["source_labels"].astype(np.int64)
    predictions = Predictions(*source, logits, **features)
    accuracy = float((logits.argmax(-1) == truth).mean())
    return {
        **about,
        "name": name,
        "rows": len(truth),
        "accuracy": round(accuracy, 6),
        "truth_error": round((accuracy * (1 - accuracy) / len(truth)) ** 0.5, 6),
        "scores": {**about.get("scores", {}), **scored(predictions)},
        "predictions": predictions,
        "target_labels": truth,
    }


def store(args: argparse.Namespace, runs: Sequence[Run]) -> None:
    """Write a line and the compact predictions of each run."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines, arrays = [], {}
    for run in runs:
        own = run["predictions"]
        values = (own.source_logits, own.source_labels, own.target_logits, run["target_labels"])
        for part, value in zip(PARTS, values, strict=True):
            kind = np.float16 if part.endswith("logits") else np.int8
            arrays[f"{run['name']}/{part}"] = value.astype(kind)
        kept = {k: v for k, v in run.items() if k not in ("predictions", "target_labels")}
        lines.append(json.dumps(kept) + "\n")
    args.out.with_suffix(".runs.jsonl").write_text("".join(lines), encoding="utf-8")
    np.savez_compressed(args.out.with_suffix(".npz"), **arrays)


def main() -> None:
    args = parse_arguments()
    if args.data is not None:
        from nlp_adapt.cli.console import quiet_libraries

        with quiet_libraries(debug=False):
            train_missing(args)
    runs = stored(args)
    if not runs:
        sys.exit("benchmark_validators: nothing is stored; give --data and --keep to train.")
    store(args, runs)
    command = "python scripts/benchmark_validators.py --data DATA --keep FOLDER"
    args.out.write_text(page(runs, command), encoding="utf-8")


if __name__ == "__main__":
    main()
