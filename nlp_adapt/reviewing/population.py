"""What both models of a run say of the target's texts: the units that items are drawn from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.data.domain import Domain
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.errors import DataError, RunError
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import tag_words
from nlp_adapt.recipe import Recipe, load_recipe
from nlp_adapt.reviewing.intervals import independent
from nlp_adapt.reviewing.items import Unit, span_units
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.inputs.few_shot import text_key
from nlp_adapt.training.inputs.recipe import read_inputs
from nlp_adapt.training.saving.run_folder import RunFolder


@dataclass(frozen=True)
class Population:
    """The texts that were read, and what both models say of them.

    Attributes:
        name: What the texts are called.
        texts: How many, each counted once.
        units: The decisions that the models made on them.
        labels: Label names; for taggers the entity types.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    texts: int
    units: list[Unit]

    @property
    def is_tagged(self) -> bool:
        """Whether the units are stretches of text."""
        return self.task == TOKEN_CLASSIFICATION

    @property
    def differing(self) -> int:
        """On how many units the models differ."""
        return sum(unit.differ for unit in self.units)

    def to_dict(self) -> dict[str, Any]:
        """What of it is kept.

        `independent` is how many units count, where those of one text hang together; `predicted`
        counts the adapted model's labels of texts.
        """
        predicted = Counter(unit.adapted for unit in self.units if not self.is_tagged)
        return {
            "name": self.name,
            "texts": self.texts,
            "units": len(self.units),
            "differing": self.differing,
            "independent": independent(unit.place for unit in self.units),
            "predicted": dict(predicted),
        }


def survey(
    folder: RunFolder, data: str | None, *, test_rows: bool, most: int, seed: int, **options: Any
) -> Population:
    """Let both models of a run read the target's texts.

    Args:
        data: Other texts of the target than those of the run's recipe.
        test_rows: Whether texts may be read that the run was scored on.
        most: How many texts are read; of more, a random sample.
        options: As for `load_predictor`.

    Raises:
        RunError: If the run lacks a model.
        DataError: If no text is left.
    """
    recipe = load_recipe(folder.recipe)
    models = folder.adapted_model, folder.source_only
    for path in models:
        if not (path / "config.json").is_file():
            raise RunError(
                f"{path}: there is no model, and a review compares a run's adapted model with its "
                "source-only one; train with compare_source_only."
            )
    first = load_predictor(models[0], **options)
    name, texts, places = _texts(recipe, first, data, test_rows=test_rows)
    if len(texts) > most:
        kept = np.sort(np.random.default_rng([seed, 20]).permutation(len(texts))[:most])
        texts, places = [texts[i] for i in kept], [places[i] for i in kept]
    second = load_predictor(models[1], **options)
    words = first.task.units_are_words
    labels = entity_types(first.label_names) if words else first.label_names
    units = _read(first, second, texts, places)
    return Population(name, first.task.name, tuple(labels), len(texts), units)


def _read(
    first: Predictor, second: Predictor, texts: Sequence[Any], places: Sequence[str]
) -> list[Unit]:
    if first.task.units_are_words:
        return span_units(places, tag_words(first, texts), tag_words(second, texts))
    labels = ([one["label"] for one in model.predict(list(texts))] for model in (first, second))
    return [Unit(*one) for one in zip(texts, places, *labels, strict=True)]


def _texts(
    recipe: Recipe, predictor: Predictor, data: str | None, *, test_rows: bool
) -> tuple[str, list[Any], list[str]]:
    """A name for the target's texts, the texts, each once, and their places."""
    inputs = read_inputs(recipe) if recipe.target or recipe.targets else Inputs(())
    if data is not None:
        reading = recipe.reading("target") if inputs.targets else {}
        given = load_domain(
            data,
            task=predictor.task.name,
            **{**reading, "label_column": "none"},
            test_fraction=0.0,
            quarantine=recipe.quarantine,
        )
        domains: tuple[Domain, ...] = (given,)
    else:
        domains = inputs.targets
    if not domains:
        raise RunError(
            "the run's recipe names no target: give texts of the target domain with --data."
        )
    scored = set() if test_rows else {text_key(text) for text in _scored(inputs)}
    scored |= {text_key(text) for text in _released(inputs)}
    found: dict[str, tuple[Any, str]] = {}
    for domain in domains:
        for text, place in _rows(domain, test_rows=test_rows):
            if (key := text_key(text)) and key not in scored:
                found.setdefault(key, (text, place))
    name = " + ".join(domain.name for domain in domains)
    if not found:
        raise DataError(
            f"{name} has no text beside the rows that the run was scored or trained on with labels: "
            "give other text with --data, or draw from test rows with --test_rows."
        )
    return name, [text for text, _ in found.values()], [place for _, place in found.values()]


def _rows(domain: Domain, *, test_rows: bool) -> Iterator[tuple[Any, str]]:
    """Texts and places; never a label."""
    parts = [domain.train, domain.validation, domain.unlabelled]
    for part in [*parts, *([domain.test] if test_rows else [])]:
        if part is not None:
            yield from zip(part[domain.text_column][:], part["row"][:], strict=True)


def _scored(inputs: Inputs) -> Iterator[Any]:
    """The texts that the run's test scores come from."""
    for domain in inputs.targets:
        if domain.test is not None:
            yield from domain.test[domain.text_column][:]


def _released(inputs: Inputs) -> Iterator[Any]:
    """The texts that the adapted model has learnt with their labels, and answers better than others."""
    for domain in inputs.few_shot.values():
        if domain.train is not None:
            yield from domain.train[domain.text_column][:]
