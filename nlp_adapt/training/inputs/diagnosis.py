"""What the data doctor finds in the domains of a recipe, as far as they can be read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_adapt.data.doctor import NOTE, SERIOUS, Finding, examine
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import label_counts, what_was_read
from nlp_adapt.data.labels import LabelMap
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.modeling.backbone import model_config
from nlp_adapt.modeling.tokenizers import load_tokenizer, training_limit
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.recipe import Recipe
from nlp_adapt.training.inputs.domains import gather_inputs
from nlp_adapt.training.inputs.recipe import few_shot_of, sources_of, targets_of, with_own_map

NO_LIMIT = 10**9


def diagnose(recipe: Recipe) -> dict[str, Any]:
    """Read what a recipe names, as far as it can be read, and examine it.

    Returns:
        `task`, `domains` (name and rows by side, or by side and name where it has several),
        `findings`, and `refused`: whether training on this data would be.
    """
    recipe = with_own_map(recipe)
    refusals: list[Finding] = []
    notes: list[Finding] = []
    sources = _read(recipe, "source", sources_of, refusals)
    targets = _read(recipe, "target", targets_of, refusals)
    found: list[Finding] = []
    if sources:
        tokenizer = _tokenizer(recipe, notes)
        few_shot = _few_shot(recipe, sources, targets, refusals)
        try:
            if not refusals:
                LabelMap.of(recipe.label_map).refuse_unmet("any domain")
        except DataError as error:
            refusals.append(Finding("label-map", SERIOUS, "both", str(error)))
        limit = recipe.max_length
        if tokenizer is not None:
            limit = min(limit, training_limit(model_config(recipe.model), tokenizer))
        found = examine(sources, targets, few_shot=few_shot, tokenizer=tokenizer, max_length=limit)
    told = {finding.message for finding in found}
    findings = [one for one in refusals if one.message not in told] + found + notes
    sides = {"source": sources, "target": targets}
    return {
        "task": recipe.task,
        "domains": {
            side if len(domains) == 1 else f"{side} {domain.name}": _sizes(domain)
            for side, domains in sides.items()
            for domain in domains
        },
        "findings": [finding.to_dict() for finding in findings],
        "refused": any(finding.severity == SERIOUS for finding in findings),
    }


def _read(
    recipe: Recipe, side: str, read: Callable[[Recipe], Sequence[Domain]], refusals: list[Finding]
) -> Sequence[Domain]:
    """A side's domains, bad lines set aside and ill-formed tags repaired, so that all are seen."""
    lenient = with_own_map(recipe, quarantine=NO_LIMIT)
    for attempt in (recipe, lenient, with_own_map(lenient, repair_tags=True)):
        try:
            return read(attempt)
        except DataError as error:
            # What training refuses; the same fault met on each attempt is told once.
            if (refusal := Finding("refused", SERIOUS, side, str(error))) not in refusals:
                refusals.append(refusal)
    return ()


def _tokenizer(recipe: Recipe, notes: list[Finding]) -> Any:
    try:
        return load_tokenizer(recipe.model, words=recipe.task == TOKEN_CLASSIFICATION)
    except ModelError as error:
        reason = f"{error}.".replace("..", ".")
        unchecked = "Lengths in tokens were not checked."
        notes.append(Finding("tokenizer", NOTE, "both", reason, unchecked))
        return None


def _few_shot(
    recipe: Recipe, sources: Sequence[Domain], targets: Sequence[Domain], refusals: list[Finding]
) -> Mapping[str, Domain]:
    """The labelled target rows that a recipe releases, as a run would draw or read them."""
    if recipe.target_few_shot is None:
        return {}
    try:
        return dict(gather_inputs(recipe, sources, targets, few_shot_of(recipe)).few_shot)
    except DataError as error:
        refusals.append(Finding("refused", SERIOUS, "target", str(error)))
        return {}


def _sizes(domain: Domain) -> dict[str, Any]:
    return {
        "name": domain.name,
        "rows": {name: len(rows) for name, rows in domain.splits.items()},
        "labels": label_counts(domain),
        "read": what_was_read(domain),
    }
