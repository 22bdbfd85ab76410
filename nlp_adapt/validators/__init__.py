"""Scores of a model for choosing one without target labels: higher is better.

A validator sees arrays alone. Target labels are not among them: `Predictions` has no place for them.
"""

from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import nearest
from nlp_adapt.validators.scores import (
    EstimatedAccuracy,
    InformationMaximisation,
    LabelFree,
    Predictions,
    SourceRisk,
    Validator,
)

VALIDATORS: dict[str, Validator] = {
    "label_free": LabelFree(),
    "estimated_accuracy": EstimatedAccuracy(),
    "information_maximisation": InformationMaximisation(),
    "source_risk": SourceRisk(),
}

__all__ = [
    "VALIDATORS",
    "Predictions",
    "Validator",
    "features_are_read",
    "score_all",
    "selecting_validator",
]


def selecting_validator(name: str) -> Validator:
    """The validator `name`, which is to choose a model."""
    if name not in VALIDATORS:
        known = list(VALIDATORS)
        raise ConfigError(
            f"unknown validator '{name}'{nearest(name, known)} (there are {', '.join(known)})"
        )
    return VALIDATORS[name]


def score_all(predictions: Predictions) -> dict[str, float]:
    """Every score that these predictions allow, by name."""
    return {
        name: validator.score(predictions)
        for name, validator in VALIDATORS.items()
        if validator.applies(predictions)
    }


def features_are_read() -> bool:
    """Whether any score needs features beside the logits."""
    return any(validator.reads_features for validator in VALIDATORS.values())
