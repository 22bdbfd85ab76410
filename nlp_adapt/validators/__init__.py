"""Scores of a model for choosing one without target labels: higher is better.

A validator sees arrays alone. Target labels are not among them unless it declares
`uses_target_labels`; such a validator may be reported but never selects.
"""

from __future__ import annotations

from collections.abc import Mapping

from nlp_adapt.config import nearest
from nlp_adapt.errors import ConfigError
from nlp_adapt.validators.base import Predictions, Validator
from nlp_adapt.validators.estimated_accuracy import EstimatedAccuracy
from nlp_adapt.validators.information_maximisation import InformationMaximisation
from nlp_adapt.validators.label_free import LabelFree
from nlp_adapt.validators.source_risk import SourceRisk
from nlp_adapt.validators.target_accuracy import TargetAccuracy

VALIDATORS: Mapping[str, Validator] = {
    "label_free": LabelFree(),
    "estimated_accuracy": EstimatedAccuracy(),
    "information_maximisation": InformationMaximisation(),
    "source_risk": SourceRisk(),
    "target_accuracy": TargetAccuracy(),
}

__all__ = ["VALIDATORS", "Predictions", "Validator", "score_all", "selecting_validator"]


def selecting_validator(name: str) -> Validator:
    """The validator `name`, if it may choose a model.

    Raises:
        ConfigError: If there is none, or if it reads target labels.
    """
    known = [key for key, validator in VALIDATORS.items() if not validator.uses_target_labels]
    if name not in VALIDATORS:
        raise ConfigError(
            f"unknown validator '{name}'{nearest(name, known)} (there are {', '.join(known)})"
        )
    if VALIDATORS[name].uses_target_labels:
        raise ConfigError(
            f"'{name}' reads target labels, so it may not choose a model; use one of "
            f"{', '.join(known)}."
        )
    return VALIDATORS[name]


def score_all(predictions: Predictions) -> dict[str, float]:
    """Every label-free score that these predictions allow, by name."""
    return {
        name: validator.score(predictions)
        for name, validator in VALIDATORS.items()
        if not validator.uses_target_labels and validator.applies(predictions)
    }
