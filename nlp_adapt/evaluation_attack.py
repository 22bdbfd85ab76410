"""Kept so that older imports work; use `nlp_adapt` instead."""

from nlp_adapt.prediction.attack import Attack, attacked_logits

__all__ = ["Attack", "attacked_logits"]
