"""What a recipe names to train and evaluate on, read."""

from copy import copy
from dataclasses import replace
from typing import Any

from nlp_adapt.data.domain import Domain
from nlp_adapt.data.labels import LabelMap
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import label_key
from nlp_adapt.recipe import Recipe
from nlp_adapt.training.inputs.auxiliary import read_entries
from nlp_adapt.training.inputs.domains import Inputs, distinct, gather_inputs
from nlp_adapt.training.inputs.stream import open_stream, sample_domain


def read_inputs(recipe: Recipe) -> Inputs:
    """All that a recipe's run trains and evaluates on."""
    recipe, given = with_own_map(recipe), recipe
    sources = sources_of(recipe)
    stream = open_stream(recipe.target, recipe) if recipe.streaming and recipe.target else None
    targets = targets_of(recipe, stream)
    few_shot = few_shot_of(recipe)
    LabelMap.of(recipe.label_map).refuse_unmet("any domain")
    _refuse_target_labels(recipe)
    several: Any = recipe.sources or [recipe.source]
    inputs = gather_inputs(
        recipe,
        sources,
        targets,
        few_shot,
        stream=stream,
        references=[*several.values()] if isinstance(several, dict) else [*several],
        quarantine=recipe.quarantine,
        encoding=recipe.reading("source")["encoding"],
    )
    return replace(inputs, recipe=given)


def with_own_map(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with a label map that remembers what it met in all its domains, and changes."""
    own = copy(recipe)  # `replace` would make plain values of it again
    for key, value in {"label_map": LabelMap.of(recipe.label_map), **changes}.items():
        setattr(own, key, value)
    return own


def sources_of(recipe: Recipe) -> tuple[Domain, ...]:
    """The labelled sources, with the rows of `source_test` as test rows where they are given."""
    if not recipe.source and not recipe.sources:
        raise ConfigError("source is missing: name a labelled file, folder, Hub id or builtin:.")
    return _domains(recipe, "source")


def targets_of(recipe: Recipe, stream: TextStream | None = None) -> tuple[Domain, ...]:
    """The targets, with the rows of `target_test` as test rows where they are given.

    A streamed one is a sample of `stream`.
    """
    if recipe.targets and recipe.streaming:
        raise ConfigError(
            "streaming reads a single target: name all its files as a list under `target`, or turn "
            "streaming off for several targets."
        )
    if not recipe.target and not recipe.targets:
        return ()
    if recipe.streaming and isinstance(recipe.target_test, dict):
        raise ConfigError("target_test names rows by domain: that takes `targets`.")
    return (_streamed(recipe, stream),) if recipe.streaming else _domains(recipe, "target")


def few_shot_of(recipe: Recipe) -> Any:
    """What `target_few_shot` says, its references read."""

    def read(given: Any) -> Any:
        return (
            given if isinstance(given, int) else _load(recipe, "target", given, test_fraction=0.0)
        )

    given = recipe.target_few_shot
    if given is None:
        return None
    if recipe.streaming and isinstance(given, int):
        raise ConfigError(
            f"target_few_shot: {given} rows cannot be drawn from a streamed target, whose labels "
            "are not read; name a labelled file."
        )
    if isinstance(given, dict):
        return {name: read(one) for name, one in given.items()}
    return read(given)


def _refuse_target_labels(recipe: Recipe) -> None:
    """Refuse an auxiliary task that reads the target's own labels."""
    own = recipe.reading("target")["label_column"]
    for name, entry in (read_entries(recipe) if recipe.auxiliary else {}).items():
        same = entry.label_column is None or entry.label_column == own
        if entry.task == recipe.task and same and entry.reference in _of_targets(recipe):
            raise ConfigError(
                f"auxiliary.{name}.label_column: reads the target's own labels, which are never "
                "trained on; name another column, or release a few rows with target_few_shot."
            )


def _of_targets(recipe: Recipe) -> list[Any]:
    """The references of the targets and of their test rows."""
    found: list[Any] = []
    for given in (recipe.target, recipe.targets, recipe.target_test):
        found += [*given.values()] if isinstance(given, dict) else [given]
        found += given if isinstance(given, list) else []
    return [reference for reference in found if reference is not None]


def _domains(recipe: Recipe, side: str) -> tuple[Domain, ...]:
    """One domain from `source`, or several from `sources`; likewise of the target."""
    several = getattr(recipe, f"{side}s")
    test, test_key = getattr(recipe, f"{side}_test"), f"{side}_test"
    if not several:
        if isinstance(test, dict):
            raise ConfigError(f"{test_key} names rows by domain: that takes `{side}s`.")
        return (_domain(recipe, side, getattr(recipe, side), test, test_key),)
    if test and not isinstance(test, dict):
        raise ConfigError(
            f"with {side}s, {test_key} names the rows of each: {test_key}: {{NAME: ...}}."
        )
    tests = dict(test or {})
    named = isinstance(several, dict)
    references = several.items() if named else ((None, one) for one in several)
    found = []
    for own_name, reference in references:
        domain = _load(recipe, side, reference)
        name = own_name or domain.name
        if name in tests:
            domain = _domain(recipe, side, reference, tests.pop(name), f"{test_key}.{name}")
        found.append(replace(domain, name=name))
    domains = distinct(found, side)
    for name in tests:
        known = ", ".join(domain.name for domain in domains)
        raise ConfigError(f"{test_key}.{name}: there is no such {side} (there is {known}).")
    return domains


def _streamed(recipe: Recipe, stream: TextStream | None) -> Domain:
    """A sample of a streamed target, with `target_test` as its test rows where that is given."""
    stream = stream or open_stream(recipe.target, recipe)
    domain = sample_domain(stream, recipe.task, str(recipe.target))
    if not recipe.target_test:
        return domain
    held_out = _load(recipe, "target", recipe.target_test, test_fraction=0.0)
    held_out = _labelled(held_out, "target_test")
    return replace(domain, test=held_out.test, columns=held_out.columns)


def _domain(recipe: Recipe, side: str, reference: Any, test: Any, test_key: str) -> Domain:
    if not test:
        return _load(recipe, side, reference)
    # With test rows of its own, no row of the domain needs to be held out.
    domain = _load(recipe, side, reference, test_fraction=0.0)
    held_out = _labelled(_load(recipe, side, test, test_fraction=0.0), test_key)
    names = domain.label_names or held_out.label_names or ()
    if side == "target":  # its training rows may lack classes that are only scored
        known = {label_key(name) for name in names}
        names = (*names, *(n for n in held_out.label_names or () if label_key(n) not in known))
        domain = domain.with_labels(names)
    columns = tuple(dict.fromkeys((*domain.columns, *held_out.columns)))
    return replace(domain, test=held_out.with_labels(names).test, columns=columns)


def _labelled(domain: Domain, key: str) -> Domain:
    """All labelled rows of a test reference as its test split."""
    from datasets import concatenate_datasets

    splits = [split for split in (domain.train, domain.validation, domain.test) if split]
    if not splits:
        raise DataError(f"{key} {domain.reference}: has no labelled rows to evaluate on.")
    return replace(domain, train=None, validation=None, test=concatenate_datasets(splits))


def _load(recipe: Recipe, side: str, reference: Any, **options: Any) -> Domain:
    return load_domain(
        reference,
        task=recipe.task,
        **recipe.reading(side),
        label_map=recipe.label_map or None,
        repair_tags=recipe.repair_tags,
        quarantine=recipe.quarantine,
        **options,
    )
