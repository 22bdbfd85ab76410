"""Options that were set, though the run does not read them: an adversary's without an adversary."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import Stage
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.objectives import objective_class
from nlp_adapt.objectives.dann import RECIPE_WIDE

LOGGER = logging.getLogger(__name__)


def unread_options(config: AdaptationConfig, stages: Sequence[Stage]) -> list[str]:
    """Recipe-wide options that were set, though no objective of `stages` has them.

    These are those of adversaries and, where the units are texts, the weights of words.
    """
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    read = {
        item.name
        for stage in stages
        for name in stage.objectives
        for item in dataclasses.fields(objective_class(name).config_class)
        if item.default is None  # unset, which leaves it to the recipe
    }
    unread = [name for name, (own, _) in RECIPE_WIDE.items() if own not in read]
    if config.task != TOKEN_CLASSIFICATION:
        unread.append("domain_words")
    return [name for name in unread if getattr(config, name) != defaults[name]]


def warn_of_unread(config: AdaptationConfig, stages: Sequence[Stage]) -> None:
    """Say which options do nothing; no error, since several methods may share a recipe."""
    unread = unread_options(config, stages)
    if unread:
        objectives = sorted({name for stage in stages for name in stage.objectives})
        LOGGER.warning(
            "%s: changes nothing, since no objective of this run reads it (it has %s).",
            ", ".join(unread),
            ", ".join(objectives) or "none",
        )
