"""Domain adaptation for Hugging Face models: labels in one domain, raw text in another."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nlp_adapt.config import AdaptationConfig as AdaptationConfig
    from nlp_adapt.data.doctor import Finding as Finding
    from nlp_adapt.data.doctor import examine as examine
    from nlp_adapt.data.domain import Domain as Domain
    from nlp_adapt.data.loading import load_domain as load_domain
    from nlp_adapt.diagnosis.report import diagnose as diagnose
    from nlp_adapt.errors import AdaptationError as AdaptationError
    from nlp_adapt.modeling.outputs import DomainOutput as DomainOutput
    from nlp_adapt.modeling.outputs import Progress as Progress
    from nlp_adapt.objectives.base import Objective as Objective
    from nlp_adapt.objectives.base import StepView as StepView
    from nlp_adapt.prediction.attack import Attack as Attack
    from nlp_adapt.prediction.attack import attacked_logits as attacked_logits
    from nlp_adapt.prediction.opening import load_predictor as load_predictor
    from nlp_adapt.prediction.predictor import Predictor as Predictor
    from nlp_adapt.prediction.tagged_text import TaggedText as TaggedText
    from nlp_adapt.prediction.tagged_text import tag_texts as tag_texts
    from nlp_adapt.recipe import Recipe as Recipe
    from nlp_adapt.recipe import load_recipe as load_recipe
    from nlp_adapt.reviewing.session import review as review
    from nlp_adapt.training.trainer import AdaptationTrainer as AdaptationTrainer

# Each public name's home: imported on first use, so that `import nlp_adapt` is instant.
_HOMES = {
    "AdaptationConfig": "config",
    "AdaptationTrainer": "training.trainer",
    "load_domain": "data.loading",
    "Domain": "data.domain",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "examine": "data.doctor",
    "Finding": "data.doctor",
    "diagnose": "diagnosis.report",
    "load_predictor": "prediction.opening",
    "Predictor": "prediction.predictor",
    "tag_texts": "prediction.tagged_text",
    "TaggedText": "prediction.tagged_text",
    "Attack": "prediction.attack",
    "attacked_logits": "prediction.attack",
    "review": "reviewing.session",
    "Objective": "objectives.base",
    "StepView": "objectives.base",
    "DomainOutput": "modeling.outputs",
    "Progress": "modeling.outputs",
    "AdaptationError": "errors",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nlp_adapt' has no attribute '{name}'")
    return getattr(importlib.import_module(f"nlp_adapt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
