"""Scores against labels: for classes, for spans, and for what goes wrong with spans.

`classification_metrics` and `span_metrics` are plain functions that return JSON-ready dicts; a run
is scored by them. The `evaluate.Metric` classes give the same numbers to users of `evaluate`.
Nothing here uses the network: do not load these by name, instantiate them.
"""

from typing import TYPE_CHECKING, Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.metrics.classification import classification_metrics
from nlp_adapt.metrics.spans import entity_surfaces, span_metrics

if TYPE_CHECKING:
    from nlp_adapt.metrics.modules import (
        F1,
        Accuracy,
        ClassF1,
        ClassificationReport,
        Matthews,
        SpanF1,
    )

# `evaluate` imports torch and transformers, which takes seconds: only its own users pay for it.
_MODULES = ("Accuracy", "ClassF1", "ClassificationReport", "F1", "Matthews", "SpanF1")

__all__ = [
    "F1",
    "Accuracy",
    "ClassF1",
    "ClassificationReport",
    "Matthews",
    "SpanF1",
    "classification_metrics",
    "entity_surfaces",
    "span_metrics",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'nlp_adapt.metrics' has no attribute '{name}'")
    try:
        from nlp_adapt.metrics import modules
    except ModuleNotFoundError as error:
        if error.name != "evaluate":
            raise
        raise ConfigError(
            f'{name} is a metric of the package evaluate: run `pip install "nlp-adapt[evaluate]"`.'
        ) from error

    return getattr(modules, name)
