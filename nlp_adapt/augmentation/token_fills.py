"""Edits of a batch of token ids that a model or the corpora decide: infill and domain terms.

Both replace single-token words by single-token words, so that every row keeps its length, its words
and its units, and both draw from torch's generator: the edit of a step can be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.augmentation.domain_terms import (
    CANDIDATES,
    directions,
    domain_terms,
    nearest,
    substitute_weights,
)
from nlp_adapt.augmentation.infill import TOP_K, likeliest, require_mask_token, whole_words
from nlp_adapt.augmentation.word_edits import common_words
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel, TokenRows
from nlp_adapt.modeling.word_pieces import WordPieces


class TokenInfiller(nn.Module):
    """Words are masked together and filled in by a frozen language model, never by themselves.

    The model's head is part of the state dict, since it may have been fitted; its encoder is not: it
    stays as its checkpoint has it.

    Args:
        tokenizer: The tokenizer of the batch's ids, and of the language model.
        model: The language model.
        rate: Share of words that are edited.
        top_k: A word is drawn from this many most probable ones.
        texts: Token rows whose most frequent words are neither rewritten nor filled in; see
            `word_edits.common_words`.

    Raises:
        ConfigError: If the tokenizer has no mask token.
    """

    forbidden: Tensor

    def __init__(
        self,
        tokenizer: Any,
        model: MaskedLanguageModel,
        rate: float,
        top_k: int = TOP_K,
        texts: Sequence[TokenRows] = (),
    ) -> None:
        super().__init__()
        require_mask_token(tokenizer)
        self.mask_id = int(tokenizer.mask_token_id)
        self.rate = rate
        self.top_k = top_k
        self.pieces = WordPieces(tokenizer)
        self.head = model.head
        self._model = (model,)  # in a tuple: no part of this module's state
        size = model.encoder.get_input_embeddings().weight.shape[0]
        words = np.fromiter(whole_words(tokenizer, size), dtype=np.int64)
        counts = Counter[int]()
        for ids, _ in texts:
            counts.update(_word_counts(ids, self.pieces, words))
        forbidden = torch.ones(size, dtype=torch.bool)
        forbidden[torch.from_numpy(words)] = False
        forbidden[list(common_words(counts))] = True
        self.register_buffer("forbidden", forbidden, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TokenInfiller:
        """Let the encoder follow to another device or number format."""
        self._model[0].encoder._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> TokenInfiller:
        """Stay in evaluation mode, whatever the surrounding module does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with edited `input_ids`; all else is shared."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        words = self.pieces.single(ids, mask) & ~self.forbidden[ids]
        chosen = words & (torch.rand(ids.shape, device=ids.device) < self.rate)
        places = chosen.flatten().nonzero().squeeze(1)
        if len(places) == 0:
            return batch
        masked = torch.where(chosen, self.mask_id, ids)
        old = ids.flatten()[places]
        logits = self._model[0].logits(masked, mask, places)
        best, tokens = likeliest(logits, old, self.forbidden, self.top_k)
        drawn = torch.multinomial(best.softmax(-1), 1)
        new = tokens.gather(1, drawn).squeeze(1)
        return {**batch, "input_ids": ids.flatten().scatter(0, places, new).view_as(ids)}


class TokenTermSwapper(nn.Module):
    """Terms of the text's own domain become similar terms of the other domain.

    Both kinds of terms are words of a single token. The table is part of the state dict: it rests
    on embeddings that training moves.

    Args:
        tokenizer: The tokenizer of the batch's ids.
        own: Token rows of the domain whose text is edited.
        other: Token rows of the other domain.
        embeddings: `[vocabulary, size]` input embeddings, for similarity.
        rate: Share of the terms that are replaced.
    """

    place: Tensor
    substitutes: Tensor
    weights: Tensor

    def __init__(
        self, tokenizer: Any, own: TokenRows, other: TokenRows, embeddings: Tensor, rate: float
    ) -> None:
        super().__init__()
        self.rate = rate
        self.pieces = WordPieces(tokenizer)
        size = embeddings.shape[0]
        words = np.fromiter(whole_words(tokenizer, size), dtype=np.int64)
        mine, theirs = (_word_counts(rows[0], self.pieces, words) for rows in (own, other))
        terms: list[int] = []
        others: list[int] = []
        if mine and theirs:
            terms, others = domain_terms(mine, theirs)
        if not others:
            terms = []
        place = torch.full((size,), -1, dtype=torch.long)
        place[terms] = torch.arange(len(terms))
        table, weights = _substitutes(terms, others, embeddings.detach().float().cpu().numpy())
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("substitutes", torch.from_numpy(table))
        self.register_buffer("weights", torch.from_numpy(weights))

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with edited `input_ids`; all else is shared."""
        ids = batch["input_ids"]
        rows = self.place[ids]
        terms = self.pieces.single(ids, batch["attention_mask"]) & (rows >= 0)
        chosen = terms & (torch.rand(ids.shape, device=ids.device) < self.rate)
        found = rows[chosen]
        if len(found) == 0:
            return batch
        # A term without a similar one keeps its place: a last column stands for the term itself.
        itself = (self.weights[found].sum(-1, keepdim=True) == 0.0).float()
        drawn = torch.multinomial(torch.cat([self.weights[found], itself], dim=1), 1)
        options = torch.cat([self.substitutes[found], ids[chosen].unsqueeze(1)], dim=1)
        new = options.gather(1, drawn).squeeze(1)
        return {**batch, "input_ids": ids.masked_scatter(chosen, new)}


def _word_counts(ids: np.ndarray, pieces: WordPieces, words: np.ndarray) -> dict[int, int]:
    """How often each of `words` stands alone in flat token ids, whose rows special tokens part."""
    flat = torch.from_numpy(ids.astype(np.int64)).unsqueeze(0)
    alone = pieces.single(flat, torch.ones_like(flat))
    counts = np.bincount(flat[alone].numpy(), minlength=int(words.max(initial=0)) + 1)
    return {int(word): int(counts[word]) for word in words if counts[word]}


def _substitutes(
    terms: list[int], others: list[int], embeddings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and probabilities `[terms, candidates]` of what each term may become."""
    if not terms:
        return np.zeros((0, 1), dtype=np.int64), np.zeros((0, 1), dtype=np.float32)
    ours, theirs = (directions(embeddings[tokens], embeddings) for tokens in (terms, others))
    best, similarities = nearest(ours, theirs, CANDIDATES)
    return np.array(others)[best], substitute_weights(similarities).astype(np.float32)
