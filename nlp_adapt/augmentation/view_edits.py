"""The edits that a student's view of the target may have, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from nlp_adapt.augmentation.token_edits import TOKEN_EDITS, TokenEditor
from nlp_adapt.augmentation.token_fills import TokenInfiller, TokenTermSwapper
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.architectures import plain_model
from nlp_adapt.modeling.backbone import load_tokenizer
from nlp_adapt.modeling.masked_lm import (
    MaskedLanguageModel,
    TokenRows,
    named_language_model,
    pretrained_language_model,
)

VIEW_EDITS = (*TOKEN_EDITS, "infill", "domain_terms")


def view_editor(
    kind: str,
    rate: float,
    *,
    tokenizer: Any,
    task_model: Any,
    tokens: Mapping[str, TokenRows],
    model: str | None = None,
    token_level: bool = False,
    seed: int = 0,
) -> nn.Module:
    """A module that gives an edited copy of a batch of target rows.

    Args:
        kind: One of `VIEW_EDITS`. `infill` masks words and lets the encoder, as it was pretrained,
            fill them in; `domain_terms` makes terms of the target terms of the source.
        rate: Share of words that are edited.
        tokenizer: The tokenizer of the rows.
        task_model: The model under training.
        tokens: Training rows of both sides, without labels.
        model: The masked language model of `infill`, if not the encoder's own.
        token_level: Whether words carry the labels, and so must stay in place.
        seed: Which rows a head is fitted on, where the encoder brings none.

    Raises:
        ConfigError: If the edit is unknown, or does not fit the tokenizer, the task or the data.
        ModelError: If the language model cannot be used.
    """
    if model is not None and kind != "infill":
        raise ConfigError(f"edit_model is there for edit infill, but edit is '{kind}'.")
    if kind == "infill":
        texts = [tokens[side] for side in ("source", "target") if side in tokens]
        language_model = _language_model(model, tokenizer, task_model, texts, seed)
        return TokenInfiller(tokenizer, language_model, rate, texts=texts)
    if kind == "domain_terms":
        if not {"source", "target"} <= set(tokens):
            raise ConfigError("edit 'domain_terms' needs the text of both domains.")
        embeddings = task_model.get_input_embeddings().weight
        return TokenTermSwapper(tokenizer, tokens["target"], tokens["source"], embeddings, rate)
    if kind not in TOKEN_EDITS:
        raise ConfigError(f"edit is '{kind}', but must be one of {', '.join(VIEW_EDITS)}.")
    return TokenEditor(tokenizer, kind, rate, keep_order=token_level)


def _language_model(
    name: str | None,
    tokenizer: Any,
    task_model: Any,
    texts: Sequence[TokenRows],
    seed: int,
) -> MaskedLanguageModel:
    device = next(task_model.parameters()).device
    if name is not None:
        if load_tokenizer(name).get_vocab() != tokenizer.get_vocab():
            raise ModelError(
                f"edit_model {name}: has another vocabulary than the encoder, so that it cannot "
                "rewrite its tokens; name a model with the same tokenizer."
            )
        return named_language_model(name, device)
    # As pretrained: what an earlier stage has made of the encoder knows its task, not language.
    path = getattr(plain_model(task_model).config, "_name_or_path", "")
    if not path:
        raise ConfigError(
            "edit 'infill': the encoder was not loaded from a name or folder, so its pretrained "
            "weights are gone; name a masked language model with edit_model."
        )
    return pretrained_language_model(path, tokenizer, texts, device, seed)
