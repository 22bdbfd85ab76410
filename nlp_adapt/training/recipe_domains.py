"""The domains that a recipe names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nlp_adapt.config import Recipe
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.training.streamed_target import open_stream, sample_domain


def source_of(recipe: Recipe) -> Domain:
    """The labelled source, with `source_test` as its test rows where that is given."""
    if not recipe.source:
        raise ConfigError("source is missing: name a labelled file, folder, Hub id or builtin:.")
    return _domain(recipe, recipe.source, recipe.source_test, "source_test")


def target_of(recipe: Recipe) -> Domain | None:
    """The target, with `target_test` as its test rows where that is given."""
    if not recipe.target:
        return None
    if recipe.streaming:
        return _streamed(recipe)
    return _domain(recipe, recipe.target, recipe.target_test, "target_test")


def _streamed(recipe: Recipe) -> Domain:
    """A sample of a streamed target, with `target_test` as its test rows where that is given."""
    domain = sample_domain(open_stream(recipe.target, recipe), recipe.task, str(recipe.target))
    if not recipe.target_test:
        return domain
    held_out = _labelled(_load(recipe, recipe.target_test, test_fraction=0.0), "target_test")
    return replace(domain, test=held_out.test)


def _domain(recipe: Recipe, reference: Any, test: Any, test_key: str) -> Domain:
    if not test:
        return _load(recipe, reference)
    # With test rows of its own, no row of the domain needs to be held out.
    domain = _load(recipe, reference, test_fraction=0.0)
    held_out = _labelled(_load(recipe, test, test_fraction=0.0), test_key)
    names = domain.label_names or held_out.label_names or ()
    return replace(domain, test=held_out.with_labels(names).test, name=domain.name)


def _labelled(domain: Domain, key: str) -> Domain:
    """All labelled rows of a test reference as its test split."""
    from datasets import concatenate_datasets

    splits = [split for split in (domain.train, domain.validation, domain.test) if split]
    if not splits:
        raise DataError(f"{key} {domain.reference}: has no labelled rows to evaluate on.")
    return replace(domain, train=None, validation=None, test=concatenate_datasets(splits))


def _load(recipe: Recipe, reference: Any, **options: Any) -> Domain:
    return load_domain(
        reference,
        task=recipe.task,
        text_column=recipe.text_column,
        label_column=recipe.label_column,
        label_map=recipe.label_map or None,
        repair_tags=recipe.repair_tags,
        quarantine=recipe.quarantine,
        **options,
    )
