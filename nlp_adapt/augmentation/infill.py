"""Masked-LM infill: random words are masked and filled in by a language model of the domain.

Kumar, Choudhary & Cho 2020, "Data Augmentation using Pre-trained Transformer Models", LIFELONGNLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from nlp_adapt.errors import ConfigError


class Infiller:
    """Rewrites random words with a masked language model; one word for one, so labels stay aligned.

    Only words that are a single token are rewritten, and only by whole-word tokens.

    Args:
        model: An `AutoModelForMaskedLM`.
        tokenizer: Its fast tokenizer.
        rate: Share of words that are rewritten.
        top_k: A word is drawn from this many most probable ones.
        max_length: Longest text in tokens; words beyond it stay as they are.

    Raises:
        ConfigError: If the tokenizer has no mask token, or an option is out of range.
    """

    def __init__(
        self, model: Any, tokenizer: Any, rate: float = 0.15, top_k: int = 20, max_length: int = 128
    ) -> None:
        from nlp_adapt.modeling.word_pieces import WordPieces

        if getattr(tokenizer, "mask_token_id", None) is None:
            raise ConfigError("infill: the tokenizer has no mask token.")
        if not 0.0 <= rate <= 1.0 or top_k < 1:
            raise ConfigError("infill: rate must be between 0 and 1, and top_k at least 1.")
        self.model = model
        self.tokenizer = tokenizer
        self.rate = rate
        self.top_k = top_k
        self.max_length = max_length
        pieces = WordPieces(tokenizer)
        size = model.get_input_embeddings().weight.shape[0]
        self._forbidden = torch.ones(size, dtype=torch.bool)
        whole = pieces.ordinary[~pieces.continues[pieces.ordinary]]
        wordlike = [
            i for i in whole.tolist() if i < size and tokenizer.decode([i]).strip().isalnum()
        ]
        self._forbidden[wordlike] = False

    @torch.no_grad()
    def fill(
        self, texts: Sequence[Sequence[str]], generator: torch.Generator | None = None
    ) -> list[list[str]]:
        """Copies of texts, given as words, with some words rewritten.

        Args:
            texts: Word lists; one batch for the model.
            generator: A CPU generator for the choices; default: torch's own.
        """
        filled = [list(words) for words in texts]
        if not any(filled):
            return filled
        encoded = self.tokenizer(
            filled, is_split_into_words=True, padding=True, truncation=True,
            max_length=self.max_length, return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip
        spots = self._choose(encoded, filled, generator)
        if not spots:
            return filled
        ids = encoded["input_ids"].clone()
        rows, columns = (
            torch.tensor(part) for part in zip(*[spot[:2] for spot in spots], strict=True)
        )
        ids[rows, columns] = self.tokenizer.mask_token_id
        device = next(self.model.parameters()).device
        self.model.eval()
        mask = encoded["attention_mask"].to(device)
        logits = self.model(input_ids=ids.to(device), attention_mask=mask).logits.float().cpu()
        logits = logits[rows, columns].masked_fill(self._forbidden, -torch.inf)
        best = logits.topk(min(self.top_k, int((~self._forbidden).sum())), dim=-1)
        drawn = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
        chosen = best.indices.gather(1, drawn).squeeze(1).tolist()
        for (row, _, word), token in zip(spots, chosen, strict=True):
            filled[row][word] = self.tokenizer.decode([token]).strip()
        return filled

    def _choose(
        self, encoded: Any, texts: list[list[str]], generator: torch.Generator | None
    ) -> list[tuple[int, int, int]]:
        """Row, token position and word of each single-token word that is to be rewritten."""
        spots = []
        for row, words in enumerate(texts):
            draws = torch.rand(len(words), generator=generator)
            at: dict[int, list[int]] = {}
            for column, word in enumerate(encoded.word_ids(row)):
                if word is not None:
                    at.setdefault(word, []).append(column)
            spots += [
                (row, columns[0], word)
                for word, columns in at.items()
                if len(columns) == 1 and draws[word] < self.rate
            ]
        return spots
