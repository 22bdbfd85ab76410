"""Loading pretrained encoders with a plain task head, and choosing what trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from nlp_adapt.errors import ConfigError, ModelError

FREEZE_CHOICES = ("none", "embeddings", "all")


def resolve_model(model: str) -> str:
    """A Hub id or local folder as it is; `builtin:` names as the folder of the installed weights."""
    if model.startswith("builtin:"):
        from nlp_adapt.modeling.builtin import builtin_model_path

        return str(builtin_model_path(model))
    if model.startswith((".", "/", "~")) or Path(model).exists():
        path = Path(model).expanduser()
        if not (path / "config.json").is_file():
            raise ModelError(f"{model}: no model there (a model folder holds config.json).")
        return str(path)
    return model


def load_tokenizer(model: str, *, words: bool = False) -> Any:
    """The fast tokenizer of `model`.

    Args:
        model: Hub id, folder or `builtin:` name.
        words: Whether it will be given words instead of text: byte-level BPE tokenizers, such as
            RoBERTa's, then put a space before each word.
    """
    from transformers import AutoConfig, AutoTokenizer

    path = resolve_model(model)
    options: dict[str, Any] = {}
    try:
        if words and AutoConfig.from_pretrained(path).model_type in _BYTE_LEVEL:
            options["add_prefix_space"] = True
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{model}: has no fast tokenizer; use a model with tokenizer.json.")
    return tokenizer


_BYTE_LEVEL = {"roberta", "gpt2", "longformer", "bart", "modernbert", "deberta"}


def load_task_model(
    model: str, auto_class: str, label_names: list[str], attn_implementation: str | None = None
) -> Any:
    """An `AutoModelFor*` in float32 with a head for `label_names`.

    Args:
        model: Hub id, folder or `builtin:` name.
        auto_class: Name of the transformers auto class.
        label_names: Class names in index order.
        attn_implementation: `sdpa`, `eager`, or None for the model's own choice.

    Raises:
        ModelError: If it cannot be found, reached or read.
    """
    import transformers

    kind = getattr(transformers, auto_class)
    options: dict[str, Any] = (
        {"attn_implementation": attn_implementation} if attn_implementation else {}
    )
    try:
        return kind.from_pretrained(
            resolve_model(model),
            num_labels=len(label_names),
            id2label=dict(enumerate(label_names)),
            label2id={name: index for index, name in enumerate(label_names)},
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "model", error) from error


def freeze(model: Any, what: str) -> None:
    """Stop parts of a task model from training: `none`, `embeddings`, or `all` of the encoder."""
    if what not in FREEZE_CHOICES:
        raise ConfigError(f"freeze is '{what}', but must be one of {', '.join(FREEZE_CHOICES)}.")
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    if what == "none":
        return
    frozen: nn.Module = model.base_model
    if what == "embeddings":
        frozen = getattr(model.base_model, "embeddings", None) or model.get_input_embeddings()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)


def longest_input(model: Any, tokenizer: Any) -> int:
    """Most tokens a row may have for this model."""
    limit = getattr(tokenizer, "model_max_length", None) or 10**9
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions:
        # RoBERTa-like models count positions from padding_idx + 1.
        reserved = 2 if model.config.model_type in _OFFSET_POSITIONS else 0
        limit = min(limit, positions - reserved)
    return int(min(limit, 10**6))


_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}


def _cannot_load(model: str, part: str, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    lowered = str(error).lower()
    if "connect" in lowered or "offline" in lowered or "couldn't reach" in lowered:
        return ModelError(
            f"{model}: the {part} is not in the local cache and the Hub cannot be reached; "
            "check the network, or name a local folder or builtin:minilm-l6."
        )
    return ModelError(f"{model}: the {part} cannot be loaded ({reason})")
