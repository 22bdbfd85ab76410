"""Options that need or exclude each other."""

from typing import Any

from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import holds_secret
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.options import check_options


def check_config(config: Any) -> None:
    """Check every option by itself, then together."""
    check_options(config)
    _check_parts(config)
    _check_together(config)
    _check_shares(config)
    for code in config.hub_language:
        if not (code.isalpha() and code.islower() and 2 <= len(code) <= 3):
            raise ConfigError(f"hub_language: '{code}' is no language code such as en or deu.")
    for key, value in config.to_dict().items():
        if holds_secret(value):  # a run writes its options down
            raise ConfigError(
                f"{key} holds an access token or a login: take it out, and log in with "
                "`hf auth login` or HF_TOKEN instead."
            )


def _check_shares(config: Any) -> None:
    """What can be wrong with class shares before the classes are known."""
    shares = config.target_class_shares
    if shares and config.task == TOKEN_CLASSIFICATION:
        raise ConfigError(
            "target_class_shares is for texts: most words lie outside entities, and how many do is "
            "rarely known well enough to help; leave it out."
        )
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ConfigError(
                f"target_class_shares.{name} is {share:g}, but must be above 0 and below 1: write "
                "0.7 for 70 %."
            )


def _check_together(config: Any) -> None:
    """Options that need or exclude each other."""
    if config.max_steps <= 0 and config.num_train_epochs <= 0:
        raise ConfigError("num_train_epochs must be above 0, unless max_steps is.")
    if config.task == TOKEN_CLASSIFICATION and config.domain_features != "classifier":
        raise ConfigError(
            f"domain_features: {config.domain_features} pools the tokens of a sentence, but "
            "token-classification aligns words: leave it at classifier."
        )
    if config.load_best_model_at_end and config.eval_strategy == "no":
        raise ConfigError(
            "load_best_model_at_end chooses by scores during training: set eval_strategy to epoch "
            "or steps."
        )
    for name in ("eval_steps", "logging_steps", "save_steps"):
        steps = getattr(config, name)
        if steps > 1 and steps != int(steps):
            raise ConfigError(f"{name} is {steps}, but must be whole, or below 1 for a share.")
    if (config.torch_compile_backend or config.torch_compile_mode) and not config.torch_compile:
        raise ConfigError(
            "torch_compile_backend and torch_compile_mode need torch_compile: set it."
        )
    if config.bf16 and config.fp16:
        raise ConfigError("bf16 and fp16 exclude each other: set one of them.")
    if config.fall_back and not config.compare_source_only:
        raise ConfigError("fall_back needs the source-only twin: leave compare_source_only on.")
    if config.overwrite and config.resume:
        raise ConfigError("overwrite and resume exclude each other: set one of them.")
    if config.augment_model is not None and config.augment != "infill":
        raise ConfigError(
            f"augment_model is there for augment: infill, but augment is '{config.augment}'."
        )


def _check_parts(config: Any) -> None:
    """Options that say which parts train, and how fast."""
    if config.freeze not in ("none", "embeddings", "all") and not str(config.freeze).isdecimal():
        raise ConfigError(
            f"freeze is '{config.freeze}', but must be none, embeddings, all or a number of layers."
        )
    if config.freeze == "all" and (config.lora or config.gradual_unfreezing):
        other = "lora" if config.lora else "gradual_unfreezing"
        raise ConfigError(f"freeze: all leaves nothing to {other}: set one of them.")
    if config.merge_lora and not config.lora:
        raise ConfigError("merge_lora needs lora: set both, or neither.")
