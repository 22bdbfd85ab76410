"""Frozen encoders: cached states and heads fitted on them."""
