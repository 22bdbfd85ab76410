"""Checks of objective options beyond their type."""

from __future__ import annotations

from typing import Any

from nlp_adapt.errors import ConfigError


def require_at_least(config: Any, least: float, *names: str) -> None:
    """Refuse options `names` of `config` that are below `least`."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise ConfigError(f"{name} is {value}, but must be at least {least:g}.")


def require_positive(config: Any, *names: str) -> None:
    """Refuse options `names` of `config` that are not above 0."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ConfigError(f"{name} is {value}, but must be above 0.")


def check_reversal(config: Any) -> None:
    """Check `lambda_max` and `source_warmup`, where they are set."""
    if config.lambda_max is not None:
        require_at_least(config, 0, "lambda_max")
    if config.source_warmup is not None:
        require_share(config, "source_warmup")


def require_share(config: Any, *names: str) -> None:
    """Refuse options `names` of `config` outside 0 (allowed) to 1 (not allowed)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(f"{name} is {value}, but must be at least 0 and below 1.")
