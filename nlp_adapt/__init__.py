"""Domain adaptation for Hugging Face models: labels in one domain, raw text in another."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nlp_adapt.config import AdaptationConfig, Recipe
    from nlp_adapt.data.domain import Domain
    from nlp_adapt.data.loading import load_domain
    from nlp_adapt.errors import AdaptationError
    from nlp_adapt.recipe import load_recipe
    from nlp_adapt.training.trainer import AdaptationTrainer

# Where each public name lives: imported on first use, so that `import nlp_adapt` is instant.
_HOMES = {
    "AdaptationConfig": "nlp_adapt.config",
    "AdaptationError": "nlp_adapt.errors",
    "AdaptationTrainer": "nlp_adapt.training.trainer",
    "Domain": "nlp_adapt.data.domain",
    "Recipe": "nlp_adapt.config",
    "load_domain": "nlp_adapt.data.loading",
    "load_recipe": "nlp_adapt.recipe",
}

__all__ = [  # noqa: RUF022 - the order a reader wants
    "AdaptationConfig",
    "AdaptationTrainer",
    "load_domain",
    "Domain",
    "Recipe",
    "load_recipe",
    "AdaptationError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nlp_adapt' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
