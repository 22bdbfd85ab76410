"""Edits of words: one engine behind the edited rows of a data set and a student's edited views.

Words stand in a grid: in rows of a data set each takes one place, in a batch one for each token. An
edit keeps the shape of the grid, so labels find their words.
Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques", EMNLP.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.tokenizers import is_single


@dataclass(frozen=True)
class Words:
    """Texts as a grid of words.

    Attributes:
        ids: `[rows, width]` the token, or the number of the word, at each place.
        mask: `[rows, width]` 0 at padding and where a word was deleted, else 1.
        word: `[rows, width]` which word of its row stands at each place, counted before edits.
        editable: `[rows, width]` whether the word may be edited.
    """

    ids: Tensor
    mask: Tensor
    word: Tensor
    editable: Tensor

    @property
    def single(self) -> Tensor:
        """`[rows, width]` editable words that take a single place."""
        return self.editable & is_single(self.word)


@dataclass(frozen=True)
class Choice:
    """How words are chosen at random.

    Attributes:
        rate: Share of the words that are edited.
        at_least_one: Whether every row with an eligible word has one edited. Short texts would
            otherwise mostly come out unchanged.
        generator: Source of all draws of an edit; None: torch's own.
    """

    rate: float
    at_least_one: bool = False
    generator: Generator | None = None

    def among(self, words: Words, eligible: Tensor) -> Tensor:
        """`[rows, width]` each eligible word with probability `rate`, all its places together."""
        shape, device = words.ids.shape, words.ids.device
        draws = torch.rand(shape, generator=self.generator, device=device).gather(1, words.word)
        chosen = (draws < self.rate) & eligible
        if self.at_least_one:
            draws = draws.masked_fill(~eligible, 2.0)
            chosen |= eligible & (draws == draws.amin(1, keepdim=True))
        return chosen


WordEdit = Callable[[Words, Choice], Words]


def delete(words: Words, choice: Choice) -> Words:
    """Take words out, but never all editable ones of a row."""
    chosen = choice.among(words, words.editable)
    some_left = (words.editable & ~chosen).any(1, keepdim=True)
    return replace(words, mask=words.mask * ~(chosen & some_left))


def mask(words: Words, choice: Choice, mask_id: int) -> Words:
    """Put the mask token in place of words."""
    chosen = choice.among(words, words.editable)
    return replace(words, ids=torch.where(chosen, mask_id, words.ids))


def substitute(words: Words, choice: Choice, pool: Tensor | None = None) -> Words:
    """Put others of the domain in place of words, drawn as often as they occur.

    They come from the running words `pool`, or else from the editable places of the grid.
    """
    ids, generator = words.ids, choice.generator
    chosen = choice.among(words, words.editable)
    if pool is not None:
        drawn = pool[torch.randint(len(pool), ids.shape, generator=generator)]
    else:
        weights = (words.editable | ~words.editable.any()).float().flatten()
        at = torch.multinomial(weights, ids.numel(), replacement=True, generator=generator)
        drawn = ids.flatten()[at].view_as(ids)
    return replace(words, ids=torch.where(chosen, drawn, ids))


def swap(words: Words, choice: Choice) -> Words:
    """Let words change places with the next; none crosses a fixed word."""
    word, editable = words.word, words.editable
    present = torch.zeros_like(editable).scatter(1, word, editable)
    followed = F.pad(present, (0, 1))[:, 1:].gather(1, word)
    chosen = choice.among(words, editable & followed)
    # Between the next two words; of several chosen in a row the last one moves.
    order = (word + 1.5 * chosen).argsort(dim=1, stable=True)
    return replace(words, ids=words.ids.gather(1, order), word=word.gather(1, order))


PLAIN: dict[str, WordEdit] = {"delete": delete, "replace": substitute, "swap": swap}


def mask_token_of(tokenizer: Any, edit: str) -> int:
    """The id of a tokenizer's mask token, or a ConfigError if it has none."""
    if getattr(tokenizer, "mask_token_id", None) is None:
        raise ConfigError(f"edit '{edit}': the tokenizer has no mask token; use delete or replace.")
    return int(tokenizer.mask_token_id)
