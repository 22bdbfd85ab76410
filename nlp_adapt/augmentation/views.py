"""A student's view of a batch: the same rows, in the same places, with some of the words edited."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from nlp_adapt.augmentation import edits
from nlp_adapt.augmentation.infill import Infill, whole_words
from nlp_adapt.augmentation.terms import TermSwap
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.masked_lm import language_model_of
from nlp_adapt.modeling.mlm_head import TokenRows
from nlp_adapt.modeling.tokenizers import WordPieces, load_tokenizer


class EditedView(nn.Module):
    """Makes an edited copy of a batch of target rows; draws from torch's generator.

    Args:
        kind: One of `config.EDITS`. `infill` masks words and lets the pretrained encoder fill them
            in; `domain_terms` turns terms of the target into terms of the source.
        tokens: Training rows of both sides, without labels.
        model: The masked language model of `infill`, if not the encoder's own.
        token_level: Whether words carry the labels, and so must stay in place.

    Raises:
        ConfigError: If the edit does not fit the tokenizer, the task or the data.
        ModelError: If the language model cannot be used.
    """

    def __init__(
        self,
        kind: str,
        rate: float,
        *,
        tokenizer: Any,
        task_model: Any = None,
        tokens: Mapping[str, TokenRows],
        model: str | None = None,
        token_level: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if model is not None and kind != "infill":
            raise ConfigError(f"edit_model is there for edit infill, but edit is '{kind}'.")
        if kind == "swap" and token_level:
            raise ConfigError(
                "edit 'swap' moves words away from their labels; use mask, delete or replace in "
                "token classification."
            )
        self.choice = edits.Choice(rate)
        self.pieces = WordPieces(tokenizer)
        self.edit: edits.WordEdit
        if kind == "infill":
            rows = [tokens[side] for side in ("source", "target") if side in tokens]
            if model is not None and load_tokenizer(model).get_vocab() != tokenizer.get_vocab():
                raise ModelError(
                    f"edit_model {model}: has another vocabulary than the encoder, so that it "
                    "cannot rewrite its tokens; name a model with the same tokenizer."
                )
            device = next(task_model.parameters()).device
            language_model = language_model_of(
                task_model, tokenizer, rows, name=model, seed=seed, device=device
            )
            words = whole_words(tokenizer, language_model.size)
            counts = sum((self._counts(part, words) for part in rows), Counter[str]())
            self.edit = Infill(language_model, tokenizer, words, counts)
        elif kind == "domain_terms":
            if not {"source", "target"} <= set(tokens):
                raise ConfigError("edit 'domain_terms' needs the text of both domains.")
            embeddings = task_model.get_input_embeddings().weight
            words = whole_words(tokenizer, len(embeddings))
            own, other = (self._counts(tokens[side], words) for side in ("target", "source"))
            ids = {word: token for token, word in words.items()}
            self.edit = TermSwap(own, other, ids, tokenizer, embeddings)
        elif kind == "mask":
            self.edit = partial(edits.mask, mask_id=edits.mask_token_of(tokenizer, kind))
        else:
            self.edit = edits.PLAIN[kind]

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with other words, or without some in its `attention_mask`; all else is shared."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        words = self.edit(edits.Words(ids, mask, *self.pieces.words(ids, mask)), self.choice)
        return {**batch, "input_ids": words.ids, "attention_mask": words.mask}

    def _counts(self, rows: TokenRows, words: Mapping[int, str]) -> Counter[str]:
        """How often each word of a single token occurs."""
        ids = torch.from_numpy(rows[0]).long().unsqueeze(0)
        alone = ids[self.pieces.single(ids, torch.ones_like(ids))]
        counts = alone.bincount(minlength=max(words, default=0) + 1).tolist()
        return Counter({word: counts[token] for token, word in words.items() if counts[token]})
