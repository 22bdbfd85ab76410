"""Kept so that older imports work; use `nlp_adapt` instead."""

from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.prediction.predictor import Predictor

__all__ = ["Predictor", "load_predictor"]
