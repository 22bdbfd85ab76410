"""This package, by its own recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from harness import Job, Predict, main

from nlp_adapt import AdaptationTrainer, Domain, load_recipe
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from nlp_adapt.prediction.predictor import Predictor

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
# Compositions that no method has a name for.
STAGES = {"dann_mcc": [{"objectives": {"task": {}, "dann": {}, "mcc": {}}}]}


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    few = job.method.startswith("few_")
    recipe = load_recipe(*recipe_of(job, "auto" if few else job.method))
    trainer = AdaptationTrainer(
        job.encoder,
        recipe.adaptation_config(),
        domain(job, "source"),
        domain(job, "target"),
        target_few_shot=domain(job, "few") if few else None,
    )
    with quiet_libraries(debug=False):
        trainer.train()
    return lambda texts: answers(trainer, job, texts)


def recipe_of(job: Job, method: str) -> tuple[Path, dict[str, Any]]:
    """The method's own recipe, with the job's settings."""
    folder = RECIPES / ("ner" if job.words else "sentiment")
    own = folder / f"{method}.yaml"
    settings: dict[str, Any] = {"method": method} if own.is_file() else {"stages": STAGES[method]}
    return own if own.is_file() else folder / "source_only.yaml", {
        **settings,
        "output_dir": job.scratch,
        "overwrite": True,
        "seed": job.seed,
        "max_steps": job.steps,
        "per_device_train_batch_size": job.batch_size,
        "learning_rate": job.learning_rate,
        "head_learning_rate": job.head_learning_rate,
        "warmup_steps": job.warmup_steps,
        "weight_decay": job.weight_decay,
        "max_length": job.max_length,
        "precision": job.precision,
        "validation_fraction": 0.0,
        "compare_source_only": False,
        "fall_back": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "data_doctor": "off",
        "disable_tqdm": True,
    }


def domain(job: Job, side: str) -> Domain:
    """A side of the job; the target has no labels to leave out."""
    task = TOKEN_CLASSIFICATION if job.words else SEQUENCE_CLASSIFICATION
    texts, labels = job.texts[side], job.labels.get(side)
    places = [f"{side}:{number}" for number in range(len(texts))]
    rows = make_dataset(task, texts, places, labels, job.label_names)
    return Domain(side, task, **{"unlabelled" if labels is None else "train": rows})


def answers(trainer: AdaptationTrainer, job: Job, texts: Any) -> list[Any]:
    """Probabilities of texts; of words, a tag each."""
    task = trainer.task
    places = [f"test:{number}" for number in range(len(texts))]
    rows = make_dataset(task.name, texts, places)
    encoded = task.encode(rows, trainer.processing_class, job.max_length)
    predictor = Predictor(trainer.model, trainer.processing_class, task, max_length=job.max_length)
    logits = predictor.logits(encoded)
    if job.words:
        tags = task.decode(logits, encoded, [len(words) for words in texts])
        return [[task.label_names.index(tag) for tag in row] for row in tags]
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return (odds / odds.sum(-1, keepdims=True)).tolist()


if __name__ == "__main__":
    main(train, "nlp-adapt")
