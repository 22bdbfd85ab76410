"""Options that were set, though the run does not read them: an adversary's without an adversary."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import Stage
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.objectives import OBJECTIVES, Objective, objective_class

LOGGER = logging.getLogger(__name__)


def unread_options(config: AdaptationConfig, stages: Sequence[Stage]) -> list[str]:
    """Recipe-wide options that were set, though no objective of `stages` follows them.

    Where the units are texts, the weights of words are read by none either.
    """
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    own = [objective_class(name) for stage in stages for name in stage.objectives]
    unread = [name for name in _followed(OBJECTIVES.values()) if name not in _followed(own)]
    if config.task != TOKEN_CLASSIFICATION:
        unread.append("domain_words")
    return [name for name in unread if getattr(config, name) != defaults[name]]


def _followed(objectives: Iterable[type[Objective]]) -> list[str]:
    """The recipe's options that options of these objectives follow."""
    names = (
        item.metadata["recipe"]
        for objective in objectives
        for item in dataclasses.fields(objective.config_class)
    )
    return list(dict.fromkeys(name for name in names if name is not None))


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
