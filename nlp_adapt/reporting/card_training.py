"""How a model was trained, for its card: hyperparameters, the log as a table, intervals."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from nlp_adapt.reporting.comparison import half_width
from nlp_adapt.reporting.results import (
    MISSING,
    Results,
    main_measure,
    model_scores,
    part,
    percent,
    placed,
)
from nlp_adapt.reporting.table import Row

MOST_LINES = 12
# As transformers.Trainer's cards name them.
HYPERPARAMETERS = (
    *("learning_rate", "head_learning_rate", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "num_train_epochs", "max_steps", "lr_scheduler_type"),
    *("warmup_steps", "weight_decay", "max_grad_norm", "label_smoothing_factor", "seed"),
)


def hyperparameter_rows(results: Results, recipe: Mapping[str, Any]) -> list[Row]:
    """A table of what training was told; empty without a recipe."""
    known = {key: recipe[key] for key in HYPERPARAMETERS if recipe.get(key) not in (None, -1)}
    if not known:
        return []
    known |= {key: results[key] for key in ("max_length", "precision") if results.get(key)}
    return [["hyperparameter", "value"], *([key, f"{value}"] for key, value in known.items())]


def log_rows(results: Results, lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The adapted model's log at its validations, 12 of them at most; empty where there is none."""
    measure = main_measure(results)
    key = f"source_validation/{measure.key}"
    rows: list[Row] = []
    losses: list[float] = []
    epoch = 0.0
    for line in placed(lines, "adapted"):
        if "loss" in line:
            losses.append(line["loss"])
            epoch = line.get("epoch", 0.0)
        if "label_free" in line or key in line:
            loss = f"{fmean(losses):.4f}" if losses else MISSING
            shares = (line.get(key), line.get("estimated_accuracy"))
            rows.append([str(line["at"]), f"{epoch:.2f}", loss, *map(percent, shares)])
            losses = []
    if not rows:
        return []
    every = -(-len(rows) // MOST_LINES)
    kept = rows[::-1][::every][::-1]  # the last one is always among them
    titles = ["step", "epoch", "training loss", f"source {measure.title}, %"]
    return [[*titles, "estimated target accuracy, %"], *kept]


def interval_sentence(results: Results) -> str:
    """The 95 % interval of each model's main measure on the target, where it is known."""
    title = main_measure(results).title
    found = [
        f"{name} ± {100 * half:.1f}"
        for name, scores in model_scores(results).items()
        if (own := part(scores, "target")) and (half := half_width(own)) is not None
    ]
    return f"95 % intervals of {title} on the target: {', '.join(found)} points." if found else ""
