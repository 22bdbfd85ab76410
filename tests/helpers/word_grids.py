"""Batches and grids of the words of the tiny vocabulary."""

from __future__ import annotations

from typing import Any

import torch

from nlp_adapt.augmentation.edits import Words
from nlp_adapt.modeling.tokenizers import WordPieces
from tests.helpers.tiny_batches import VOCABULARY, make_tokenizer

WORD = {token: index for index, token in enumerate(VOCABULARY)}


def ids_of(*rows: str) -> torch.Tensor:
    """Rows of equally many tokens of `VOCABULARY` between special ones."""
    return torch.tensor([[2, *(WORD[token] for token in row.split()), 3] for row in rows])


def batch_of(*rows: str, times: int = 1) -> dict[str, Any]:
    """A batch of such rows, each several times."""
    ids = ids_of(*rows).repeat(times, 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0]}


def tokens_as_words(*rows: str, times: int = 1) -> Words:
    """The grid of such a batch."""
    batch = batch_of(*rows, times=times)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    return Words(ids, mask, *WordPieces(make_tokenizer()).words(ids, mask))


def grid(*rows: str, fixed: str = "") -> Words:
    """A grid of single words by their numbers in `VOCABULARY`; those of `fixed` are not edited."""
    ids = torch.tensor([[WORD[word] for word in row.split()] for row in rows])
    editable = ~torch.isin(ids, torch.tensor([WORD[word] for word in fixed.split()]))
    places = torch.arange(ids.shape[1]).expand_as(ids)
    return Words(ids, torch.ones_like(ids), places, editable)
