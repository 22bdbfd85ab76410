"""Scores of a model for choosing one without target labels: higher is better.

A validator sees arrays alone. Target labels are not among them: `Predictions` has no place for them, and
`LabelledPredictions`, which has, goes to validators that declare `uses_target_labels` alone. Those may
be reported but never select.
"""

from nlp_adapt.errors import ConfigError
from nlp_adapt.usual_names import nearest
from nlp_adapt.validators.scores import (
    EstimatedAccuracy,
    InformationMaximisation,
    LabelFree,
    LabelledPredictions,
    Predictions,
    SourceRisk,
    TargetAccuracy,
    Validator,
)

VALIDATORS: dict[str, Validator] = {
    "label_free": LabelFree(),
    "estimated_accuracy": EstimatedAccuracy(),
    "information_maximisation": InformationMaximisation(),
    "source_risk": SourceRisk(),
    "target_accuracy": TargetAccuracy(),
}

__all__ = [
    "VALIDATORS",
    "LabelledPredictions",
    "Predictions",
    "Validator",
    "features_are_read",
    "score_all",
    "selecting_validator",
]


def selecting_validator(name: str) -> Validator:
    """The validator `name`, if it may choose a model."""
    known = list(_label_free())
    if name not in VALIDATORS:
        raise ConfigError(
            f"unknown validator '{name}'{nearest(name, known)} (there are {', '.join(known)})"
        )
    if name not in known:
        raise ConfigError(
            f"'{name}' reads target labels, so it may not choose a model; use one of "
            f"{', '.join(known)}."
        )
    return VALIDATORS[name]


def score_all(predictions: Predictions) -> dict[str, float]:
    """Every label-free score that these predictions allow, by name; labels of the target are left out."""
    if isinstance(predictions, LabelledPredictions):
        predictions = predictions.unlabelled()
    return {
        name: validator.score(predictions)
        for name, validator in _label_free().items()
        if validator.applies(predictions)
    }


def features_are_read() -> bool:
    """Whether any label-free score needs features beside the logits."""
    return any(validator.reads_features for validator in _label_free().values())


def _label_free() -> dict[str, Validator]:
    return {name: one for name, one in VALIDATORS.items() if not one.uses_target_labels}
