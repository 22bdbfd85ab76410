"""Kept so that older imports work; use `nlp_adapt` instead."""

from nlp_adapt.prediction.tagged_text import TaggedText, tag_texts

__all__ = ["TaggedText", "tag_texts"]
