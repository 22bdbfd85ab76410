"""Options of adversaries that a run without such an adversary does not read."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import Stage
from nlp_adapt.objectives import objective_class
from nlp_adapt.objectives.dann import RECIPE_WIDE

LOGGER = logging.getLogger(__name__)


def unread_options(config: AdaptationConfig, stages: Sequence[Stage]) -> list[str]:
    """The adversaries' recipe-wide options that were set, though no objective of `stages` has them."""
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    read = {
        item.name
        for stage in stages
        for name in stage.objectives
        for item in dataclasses.fields(objective_class(name).config_class)
        if item.default is None  # unset, which leaves it to the recipe
    }
    return [
        name
        for name, (own, _) in RECIPE_WIDE.items()
        if own not in read and getattr(config, name) != defaults[name]
    ]


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
