"""Kept so that older imports work; use `nlp_adapt` instead."""

from nlp_adapt.prediction.predictor import Predictor, load_predictor

__all__ = ["Predictor", "load_predictor"]
