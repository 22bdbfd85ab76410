"""Edited views of a batch of token ids: whole words are masked, deleted, replaced or shuffled.

Every edit keeps the length of a row. Deletion takes a word out of everybody's attention instead of
closing the gap, so that the words that carry labels stay where they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.word_pieces import WordPieces

TOKEN_EDITS = ("mask", "delete", "replace", "swap")
SWAP_REACH = 3.0


class TokenEditor(nn.Module):
    """Makes an edited copy of a batch; draws from torch's generator.

    Args:
        tokenizer: The tokenizer of the batch's ids.
        kind: `mask` words, `delete` them, `replace` them by random tokens of the same batch (the
            domain's own words, as often as they occur), or `swap` them with near neighbours
            (Lample et al. 2018: each of a share `rate` of words moves by at most 3).
        rate: Share of words that are edited.
        keep_order: Whether words must stay in place, as in token classification; `swap` is then
            refused.

    Raises:
        ConfigError: If the edit is unknown, or does not fit the tokenizer or the task.
    """

    def __init__(
        self, tokenizer: Any, kind: str, rate: float = 0.15, keep_order: bool = False
    ) -> None:
        super().__init__()
        if kind not in TOKEN_EDITS:
            raise ConfigError(f"edit is '{kind}', but must be one of {', '.join(TOKEN_EDITS)}.")
        if kind == "swap" and keep_order:
            raise ConfigError(
                "edit 'swap' moves words away from their labels; use mask, delete or replace in "
                "token classification."
            )
        mask_id = getattr(tokenizer, "mask_token_id", None)
        if kind == "mask" and mask_id is None:
            raise ConfigError(
                "edit 'mask': the tokenizer has no mask token; use delete or replace."
            )
        self.mask_id = -1 if mask_id is None else int(mask_id)
        self.kind = kind
        self.rate = rate
        self.pieces = WordPieces(tokenizer)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with edited `input_ids` (and `attention_mask`); all else is shared."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        words, editable = self.pieces.words(ids, mask)
        chosen = (self.pieces.draw(words) < self.rate) & editable
        if self.kind == "mask":
            return {**batch, "input_ids": torch.where(chosen, self.mask_id, ids)}
        if self.kind == "delete":
            return {**batch, "attention_mask": mask * ~(chosen & spared(chosen, editable))}
        if self.kind == "replace":
            return {**batch, "input_ids": torch.where(chosen, drawn_from(ids, editable), ids)}
        return {**batch, "input_ids": self._swapped(ids, words, chosen, mask)}

    def _swapped(self, ids: Tensor, words: Tensor, chosen: Tensor, mask: Tensor) -> Tensor:
        """Words in the order of their number plus noise; the pieces of a word stay together."""
        noise = self.pieces.draw(words) * SWAP_REACH * chosen
        # A special token or padding splits the row into parts; nothing moves across it.
        special = self.pieces.special[ids] | (mask == 0)
        part = 2 * special.cumsum(1) - special.long()
        keys = part.double() * (ids.shape[1] + SWAP_REACH) + words + noise
        return ids.gather(1, keys.argsort(dim=1, stable=True))


def spared(chosen: Tensor, editable: Tensor) -> Tensor:
    """`[rows, 1]`: whether something of the row would be left if the chosen tokens went."""
    return (editable & ~chosen).any(1, keepdim=True)


def drawn_from(ids: Tensor, editable: Tensor) -> Tensor:
    """Random tokens `[rows, width]` from the editable ones of the same batch."""
    pool = (editable | ~editable.any()).float().flatten()
    drawn = torch.multinomial(pool, ids.numel(), replacement=True)
    return ids.flatten()[drawn].view_as(ids)
