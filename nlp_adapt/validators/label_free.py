"""The score that chooses a model unless the recipe names another."""

from __future__ import annotations

from nlp_adapt.validators.base import Predictions, Validator
from nlp_adapt.validators.information_maximisation import InformationMaximisation
from nlp_adapt.validators.source_risk import SourceRisk


class LabelFree(Validator):
    """Mean of source validation quality and target information maximisation.

    Either alone is fooled: the first by a model that forgot the target, the second by one that is
    certain and wrong. A model must still solve the source to score well.
    """

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        return 0.5 * (
            SourceRisk().score(predictions) + InformationMaximisation().score(predictions)
        )
