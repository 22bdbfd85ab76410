"""Masked-LM infill: random words are masked and filled in by a language model.

Kumar, Choudhary & Cho 2020, "Data Augmentation using Pre-trained Transformer Models", LIFELONGNLP.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from nlp_adapt.augmentation.texts import WordedText, chosen_words, is_word, same_case
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel
from nlp_adapt.modeling.word_pieces import WordPieces

TOP_K = 20
TEXTS_AT_ONCE = 32


class Infiller:
    """Rewrites random words with a masked language model; one word for one, so labels stay aligned.

    Only words that are a single token are rewritten, only by whole-word tokens, and never by
    themselves. Words of one text are masked together. Function words are best left alone, see
    `word_edits.common_words`.

    Args:
        model: The language model.
        tokenizer: Its fast tokenizer.
        rate: Share of words that are rewritten.
        top_k: A word is drawn from this many most probable ones.
        max_length: Longest text in tokens; words beyond it stay as they are.
        allowed: Words that may be filled in, letter case aside; default: all.
        kept: Words that are neither rewritten nor filled in, letter case aside.
        show_progress: Whether to show a bar.

    Raises:
        ConfigError: If the tokenizer has no mask token, or an option is out of range.
    """

    def __init__(
        self,
        model: MaskedLanguageModel,
        tokenizer: Any,
        rate: float = 0.15,
        top_k: int = TOP_K,
        max_length: int = 128,
        allowed: Collection[str] | None = None,
        kept: Collection[str] = (),
        show_progress: bool = False,
    ) -> None:
        require_mask_token(tokenizer)
        if not 0.0 <= rate <= 1.0 or top_k < 1:
            raise ConfigError("infill: rate must be between 0 and 1, and top_k at least 1.")
        self.model = model
        self.tokenizer = tokenizer
        self.rate = rate
        self.top_k = top_k
        self.max_length = max_length
        self.show_progress = show_progress
        size = model.encoder.get_input_embeddings().weight.shape[0]
        self._words = whole_words(tokenizer, size)
        self._kept = {word.casefold() for word in kept}
        folded = None if allowed is None else {word.casefold() for word in allowed}
        self._forbidden = torch.ones(size, dtype=torch.bool)
        for token, word in self._words.items():
            key = word.casefold()
            self._forbidden[token] = key in self._kept or (folded is not None and key not in folded)

    def fill(self, texts: Sequence[WordedText], generator: np.random.Generator) -> list[list[str]]:
        """The words of each text, some of them rewritten; at least one where one may be.

        Args:
            texts: Any number of texts; they are read in batches of like length.
            generator: Where the choices come from.
        """
        filled = [list(text.words) for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index].words))
        order = [index for index in order if texts[index].editable.any()]
        starts = range(0, len(order), TEXTS_AT_ONCE)
        for start in tqdm(starts, desc="infill", disable=not self.show_progress, leave=False):
            chosen = order[start : start + TEXTS_AT_ONCE]
            batch = [texts[index] for index in chosen]
            for row, position, word in self._fill_batch(batch, generator):
                filled[chosen[row]][position] = word
        return filled

    def _fill_batch(
        self, texts: list[WordedText], generator: np.random.Generator
    ) -> list[tuple[int, int, str]]:
        """Text, position and new word of each word of a batch that is rewritten."""
        encoded = self.tokenizer(
            [text.join(text.words, range(len(text.words))) for text in texts],
            padding=True, truncation=True, max_length=self.max_length, return_tensors="pt",
            return_token_type_ids=False,
        )  # fmt: skip
        spots = [
            (row, position, token)
            for row, text in enumerate(texts)
            for position, token in self._choose(encoded, row, text, generator)
        ]
        if not spots:
            return []
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        places = torch.tensor([row * ids.shape[1] + token for row, _, token in spots])
        old = ids.flatten()[places]
        masked = ids.clone()
        masked.view(-1)[places] = self.tokenizer.mask_token_id
        device = next(self.model.encoder.parameters()).device
        logits = self.model.logits(masked.to(device), mask.to(device), places.to(device)).cpu()
        drawn = self._draw(logits, old, generator)
        return [
            (row, position, self._written(token, texts[row].words[position]))
            for (row, position, _), token in zip(spots, drawn, strict=True)
            if token is not None
        ]

    def _choose(
        self, encoded: Any, row: int, text: WordedText, generator: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Position and token of each word that is to be rewritten."""
        widths = (len(part) for pair in zip(text.gaps, text.words, strict=False) for part in pair)
        edges = list(accumulate(widths, initial=0))
        tokens = [
            _only_token(encoded, row, edges[2 * position + 1], edges[2 * position + 2])
            if text.editable[position] and text.words[position].casefold() not in self._kept
            else None
            for position in range(len(text.words))
        ]
        single = np.array([token is not None for token in tokens], dtype=bool)
        chosen = np.flatnonzero(chosen_words(single, self.rate, generator))
        return [(int(position), tokens[position]) for position in chosen]  # type: ignore[misc]

    def _draw(
        self, logits: Tensor, old: Tensor, generator: np.random.Generator
    ) -> list[int | None]:
        """A token for each place `[places]`, or None where none is allowed."""
        best, tokens = likeliest(logits, old, self._forbidden, self.top_k)
        cumulative = best.double().softmax(-1).cumsum(-1).numpy()
        draws = generator.random(len(cumulative))
        columns = (cumulative < draws[:, None] * cumulative[:, -1:]).sum(1)
        possible = best.isfinite().any(1).tolist()
        return [
            int(tokens[place, column]) if possible[place] else None
            for place, column in enumerate(columns)
        ]

    def _written(self, token: int, old: str) -> str:
        word = self._words[token]
        return same_case(word, old) if word.islower() else word


def likeliest(logits: Tensor, old: Tensor, forbidden: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Logits and ids `[places, top_k]` of the likeliest tokens that may be filled in.

    Args:
        logits: `[places, vocabulary]`.
        old: `[places]` the tokens that stood there, which are left out.
        forbidden: `[vocabulary]` tokens that are never filled in.
        top_k: How many.
    """
    kept = logits.masked_fill(forbidden, -torch.inf)
    kept = kept.scatter(1, old.unsqueeze(1), -torch.inf)
    best = kept.topk(min(top_k, kept.shape[1]), dim=-1)
    return best.values, best.indices


def require_mask_token(tokenizer: Any) -> None:
    """Refuse tokenizers without a mask token."""
    if getattr(tokenizer, "mask_token_id", None) is None:
        raise ConfigError("infill: the tokenizer has no mask token; choose another edit.")


def whole_words(tokenizer: Any, size: int) -> dict[int, str]:
    """The tokens below `size` that are a word by themselves, and the word each stands for."""
    pieces = WordPieces(tokenizer)
    whole = pieces.ordinary[~pieces.continues[pieces.ordinary]]
    tokens = [token for token in whole.tolist() if token < size]
    written = [tokenizer.decode([token]).strip() for token in tokens]
    return {token: word for token, word in zip(tokens, written, strict=True) if is_word(word)}


def _only_token(encoded: Any, row: int, start: int, end: int) -> int | None:
    """The token of a word at `start` to `end` in its text, if it is a single one of its own."""
    token = encoded.char_to_token(row, start)
    if token is None or token != encoded.char_to_token(row, end - 1):
        return None
    span = encoded.token_to_chars(row, token)
    return (
        token
        if span is not None and (start - 1 <= span.start <= start and span.end == end)
        else None
    )
