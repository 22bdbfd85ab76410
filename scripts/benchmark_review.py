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
import json
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

SOURCE_ONLY = "source_only"
FOLDER = "sentiment/snippets"
RECIPE = {"max_source_rows": 2000, "max_length": 64, "num_train_epochs": 2}
PAIRS = ("movie>tweets", "tweets>movie", "nyt>tweets", "tweets>nyt", "movie>amazon", "nyt>amazon")
METHODS = ("auto", "dann")
OUT = Path("docs/benchmarks/review.md")
Run = dict[str, Any]


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


def read_runs(path: Path) -> list[Run]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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
        done = [{name: run[name] for name in keys[0]} for run in read_runs(runs_file(args))]
        missing = [key for key in keys if key not in done]
        if missing:
            with quiet_libraries(debug=False):
                found = train(args.data, missing)
            with runs_file(args).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(run) + "\n" for run in found)
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


def main() -> None:
    args = parse_arguments()
    if args.data is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        train_missing(args)


if __name__ == "__main__":
    main()
