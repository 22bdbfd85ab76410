"""Finished runs that nobody trained, whose two models differ on many texts of the target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_adapt.files import Manifest, write_json
from nlp_adapt.reviewing.items import Item, Unit
from nlp_adapt.reviewing.state import Review
from tests.helpers.results import run
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer

LABELS = ("negative", "positive")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def review_of(
    wins: int = 0,
    ties: int = 0,
    losses: int = 0,
    *,
    agreeing: tuple[int, int] = (0, 0),
    texts: int = 1000,
    differing: int = 200,
    labels: tuple[str, ...] = LABELS,
) -> Review:
    """A review with answers: wins of the adapted model, neither, losses, and (right, wrong) where both agree."""
    items, answers = {}, {}
    kinds = (
        [("=positive", True)] * wins + [("neither", True)] * ties + [("=negative", True)] * losses
    )
    kinds += [("=positive", False)] * agreeing[0] + [("=negative", False)] * agreeing[1]
    for number, (answer, differ) in enumerate(kinds):
        name = f"{number:012x}"
        unit = Unit(
            f"text {number}", f"t:{number}", "positive", "negative" if differ else "positive"
        )
        items[name] = Item(name, unit, "positive", "negative")
        answers[name] = answer
    population = {"name": "tweets", "texts": texts, "units": texts, "differing": differing}
    population["independent"] = texts
    population["predicted"] = {"positive": texts // 2, "negative": texts - texts // 2}
    state = Review("m", "sequence-classification", labels, 1, population, items)
    state.take(answers)
    return state


def reviewable_run(folder: Path, *, rows: int = 120, labels: tuple[str, ...] = LABELS) -> Path:
    """The folder of a classifier's run, its target in `tweets.csv` beside it."""
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(rows)]
    names = [labels[i % len(labels)] for i in range(rows)]
    lines = [f"{text},{name}\n" for text, name in zip(texts, names, strict=True)]
    for name in ("reviews", "tweets"):
        (folder / f"{name}.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    models = [spread_model(texts, labels, seed) for seed in (0, 1)]
    recipe = {"source": "reviews.csv", "target": "tweets.csv", "method": "dann"}
    return _finished(folder, models, recipe, labels=list(labels))


def spread_model(texts: list[str], labels: tuple[str, ...], seed: int) -> Any:
    """A random classifier that predicts each label about equally often."""
    model = tiny_model(labels=labels, seed=seed)
    rows = tiny_tokenizer()(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        model.classifier.weight *= 50
        model.classifier.bias -= model(**rows).logits.median(0).values
    return model


def reviewable_tagger(folder: Path, sentences: int = 40) -> Path:
    """The folder of a tagger's run, its target in `tweets.conll` beside it."""
    random = np.random.default_rng(4)
    lines = []
    for number in range(sentences):
        words = random.choice(WORDS, 6)
        tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "O"] if number % 2 else ["O"] * 6
        lines += [f"{word} {tag}" for word, tag in zip(words, tags, strict=True)] + [""]
    for name in ("reviews", "tweets"):
        (folder / f"{name}.conll").write_text("\n".join(lines) + "\n", encoding="utf-8")
    models = [tiny_model(task="TokenClassification", labels=TAGS, seed=seed) for seed in (0, 1)]
    with torch.no_grad():
        for model in models:
            model.classifier.weight *= 20
            model.classifier.bias[0] += 1
    task = "token-classification"
    recipe = {"source": "reviews.conll", "target": "tweets.conll", "method": "dann", "task": task}
    return _finished(folder, models, recipe, task=task, labels=list(TAGS))


def _finished(folder: Path, models: list[Any], recipe: dict[str, Any], **results: Any) -> Path:
    where = folder / "run"
    for path, model in zip((where / "model", where / "source_only" / "model"), models, strict=True):
        model.save_pretrained(path)
        tiny_tokenizer().save_pretrained(path)
    for side in ("source", "target"):
        recipe[side] = str(folder / recipe[side])
    (where / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    found = {**run([[40, 10], [10, 40]], [[45, 5], [5, 45]]), "format": 2, **results}
    found |= {"guard": None, "exported": "adapted", "cost": {}, "resumed": None}
    if results.get("task"):
        found |= {"source_only": {"steps": 1}, "adapted": {"steps": 1}}
    found.pop("cost")
    write_json(where / "results.json", found)
    paths = [where / name for name in ("results.json", "recipe.yaml", "model")]
    Manifest(where).seal(*paths, where / "source_only" / "model")
    return where
