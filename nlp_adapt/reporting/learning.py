"""What a run did not learn: one answer for every row, a loss that grew, labels that never counted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nlp_adapt.names import OUTSIDE, TOKEN_CLASSIFICATION, counted
from nlp_adapt.reporting.results import SIDES, Results, is_source_only, part

FEWEST_LINES = 3
RISE, LEAST_RISE = 1.1, 0.1  # of the task's loss, as a factor and in nats


def remarks_on_log(log: Path, model: str) -> list[str]:
    """What went wrong while a model of the run was trained, from the lines of log.jsonl."""
    lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    own = [line for line in lines if line.get("model") == model]
    return [*_loss(own), *_self_training(own)]


def _loss(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if broken := sum(bool(line.get("non_finite")) for line in lines):
        yield f"its loss was not finite in {counted(broken, 'step')}: lower learning_rate."
    losses = [line["task"] for line in lines if "task" in line]
    if len(losses) < FEWEST_LINES:
        return
    first, last = losses[0], fmean(losses[-max(1, len(losses) // 3) :])
    if last > max(RISE * first, first + LEAST_RISE):
        yield (
            f"its loss on the source rose from {first:.2f} to {last:.2f} in training: lower "
            "learning_rate, or raise warmup_steps."
        )


def _self_training(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    weights = [line["self_training/weight"] for line in lines if "self_training/weight" in line]
    if weights and not any(weights):
        yield (
            "self_training gave every row the weight 0, so that its teacher taught nothing: lower "
            "options.self_training.confidence, or choose another weighting."
        )


def what_was_not_learnt(results: Results) -> list[str]:
    """A sentence for each model and domain whose rows all get one answer, and for its training."""
    said = []
    for key, model in (("source_only", "The source-only model"), ("adapted", "The adapted model")):
        if key == "adapted" and is_source_only(results):
            model = "The model"
        for side in SIDES:
            name = part(results, side).get("name", f"the {side}")
            said += [f"{model} {what}." for what in one_answer(results, key, side, name)]
        said += [f"{model}: {remark}" for remark in part(results, key).get("remarks", ())]
    if one_answer(results, "source_only", "source", ""):
        said.append(
            "A source-only model that has not learnt its own domain is nothing to compare with: train "
            "longer, or with another learning_rate."
        )
    return said


def one_answer(results: Results, model: str, side: str, name: str) -> list[str]:
    """What a model says of every test row of a domain, or of each of several, if it is the same.

    Where the target has no labels, a sample of its texts tells.
    """
    scores = part(results, model, side)
    if domains := scores.get("domains"):
        pairs = [(_answer(results, own), own_name) for own_name, own in domains.items()]
        return [f"{what} in the test rows of {of}" for what, of in pairs if what]
    if scores:
        what = _answer(results, scores)
        return [f"{what} in the test rows of {name}"] if what else []
    shares = part(results, model, "evidence", "predicted") if side == "target" else {}
    only = next((label for label, share in shares.items() if share == 1.0), None)
    if only is None:
        return []
    what = "finds no entity" if only == OUTSIDE else f"predicts nothing but {only}"
    return [f"{what} in the text of {name}"]


def _answer(results: Results, scores: Results) -> str:
    if results["task"] == TOKEN_CLASSIFICATION:
        found = [count for kind, count in part(scores, "errors").items() if kind != "missed"]
        return "finds no entity" if scores.get("support") and found and not any(found) else ""
    matrix = scores.get("confusion_matrix") or []
    predicted = [sum(column) for column in zip(*matrix, strict=True)]
    if sum(map(bool, predicted)) != 1 or sum(any(row) for row in matrix) < 2:
        return ""
    label = scores["label_names"][next(i for i, count in enumerate(predicted) if count)]
    return f"predicts nothing but {label}"
