"""Measure what can be said of a model without target labels, and how often that is right.

    python scripts/benchmark_methods.py --data DATA --suite snippets --keep FOLDER --methods ...
    python scripts/benchmark_validators.py --keep FOLDER   # take these models in, and score
    python scripts/benchmark_validators.py                 # score what the tree holds

What each model predicts is in `docs/benchmarks/validators.npz`, and its scores are a line in
`docs/benchmarks/validators.runs.jsonl`, so that a new validator is scored without training. Scores that
read features need FOLDER. No label of a target is read but to say how far a score is off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from benchmark_runs import Run
from kept_predictions import ARCHIVE, SIDES, Arrays, kept, name_of, store, stored
from threadpoolctl import threadpool_limits
from validators_page import page, scored

from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance
from nlp_adapt.validators import Predictions

OUT = Path("docs/benchmarks/validators.md")
LINE = ("method", "seed", "source", "target", "suite", "encoder", "code", "set", "label_names")
MOST_SENTENCES = 120  # of taggers, on each side: each of their words has logits


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder of what `benchmark_methods.py` has kept")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def models(args: argparse.Namespace) -> Iterator[tuple[Run, Arrays]]:
    """Each model once; what a folder holds of it is more than what the tree does."""
    found = {name_of(run): (run, values) for run, values in stored(_archive(args))}
    for run, values in kept(args.keep) if args.keep is not None else ():
        whole = run["scores"]
        truth = whole["macro_f1"] if "macro_f1" in whole else whole["f1"]
        line = {name: run[name] for name in LINE} | {"measure": round(truth, 6)}
        found[name_of(run)] = line, first_sentences(values)
    yield from found.values()


def first_sentences(values: Arrays) -> Arrays:
    """Of taggers, what the first sentences of each side hold; of texts, everything."""
    found = dict(values)
    for side in SIDES:
        if (offsets := _offsets(values, side)) is not None:
            found[f"{side}_offsets"] = offsets[: MOST_SENTENCES + 1]
            words = int(found[f"{side}_offsets"][-1])
            for part in ("logits", "labels", "features"):
                if (name := f"{side}_{part}") in values:
                    found[name] = values[name][:words]
    return found


def _archive(args: argparse.Namespace) -> Path:
    return args.out.with_name(ARCHIVE.name)


def run_of(about: Run, values: Arrays) -> Run:
    """What the page reads of a model: its scores without target labels, and what is true."""
    sides = {side: values[f"{side}_logits"].astype(np.float32) for side in SIDES}
    labels = {side: values[f"{side}_labels"].astype(np.int64) for side in SIDES}
    offsets = {side: _offsets(values, side) for side in SIDES}
    words, names = offsets["target"] is not None, about["label_names"]
    features = {
        f"{side}_features": values[f"{side}_features"].astype(np.float32)
        for side in SIDES
        if f"{side}_features" in values
    }
    quality = _spans(sides["source"], labels["source"], offsets["source"], names) if words else None
    # No label of the target is in what is scored.
    predictions = Predictions(
        sides["source"],
        labels["source"],
        sides["target"],
        source_quality=None if quality is None else quality[0],
        **features,
    )
    said, truth = sides["target"].argmax(-1), labels["target"]
    known = truth >= 0
    return {
        **{name: about[name] for name in LINE},
        "words": words,
        "rows": len(truth) if not words else len(values["target_offsets"]) - 1,
        "accuracy": round(float((said == truth)[known].mean()), 6),
        "measure": about["measure"],
        "scores": {**about.get("validators", {}), **scored(predictions)},
        "source_variance": None if quality is None else quality[1],
        "counts": {side: None if own is None else np.diff(own) for side, own in offsets.items()},
        "predictions": predictions,
    }


def _offsets(values: Arrays, side: str) -> np.ndarray | None:
    """Where each row's words begin; None of texts."""
    own = values.get(f"{side}_offsets")
    return None if own is None or len(own) - 1 == len(values[f"{side}_labels"]) else own


def _spans(
    logits: np.ndarray, labels: np.ndarray, offsets: np.ndarray | None, names: Sequence[str]
) -> tuple[float, float]:
    """Span F1 and its variance; unlabelled words count not."""
    assert offsets is not None
    outside, known = names.index("O"), labels >= 0
    truth, said = (np.where(known, one, outside) for one in (labels, logits.argmax(-1)))
    return f1_with_variance(count_spans(truth, said, offsets, TagSet.of(names)))


def main() -> None:
    args = parse_arguments()
    with threadpool_limits(1):  # small matrices, on cores that train meanwhile
        found = [(about, values, run_of(about, values)) for about, values in models(args)]
    if not found:
        raise SystemExit("benchmark_validators: nothing is stored; give --keep.")
    lines = [
        ({**about, "validators": run["scores"], "accuracy": run["accuracy"]}, values)
        for about, values, run in found
    ]
    store(lines, _archive(args))
    args.out.write_text(page([run for *_, run in found]), encoding="utf-8")


if __name__ == "__main__":
    main()
