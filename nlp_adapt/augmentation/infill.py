"""Masked-LM infill: random words are masked together and filled in by a language model.

Kumar, Choudhary & Cho 2020, "Data Augmentation using Pre-trained Transformer Models", LIFELONGNLP.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.augmentation.edits import Choice, Words, mask_token_of
from nlp_adapt.augmentation.texts import is_word
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel
from nlp_adapt.modeling.tokenizers import WordPieces


class Infill(nn.Module):
    """Single-token words become other single-token words that fit.

    The model's head is in the state dict, since it may have been fitted; its encoder stays as its
    checkpoint has it.

    Args:
        model: The language model, of whose tokens the grid is made.
        tokenizer: Its tokenizer; a ConfigError if it has no mask token.
        words: Its tokens that are words, see `whole_words`.
        counts: Word counts of the text. The most frequent words are neither rewritten nor filled in.
        allowed: Words that may be filled in, case-folded; None: all.
        top_k: A word is drawn from this many most probable ones.
    """

    rewritable: Tensor
    forbidden: Tensor

    def __init__(
        self,
        model: MaskedLanguageModel,
        tokenizer: Any,
        words: Mapping[int, str],
        counts: Mapping[str, int],
        allowed: Collection[str] | None = None,
        top_k: int = 20,
    ) -> None:
        super().__init__()
        self.mask_id = mask_token_of(tokenizer, "infill")
        self.top_k = top_k
        self.head = model.head
        self._model = (model,)  # in a tuple: no part of this module's state
        common = common_words(counts)
        rewritable = torch.zeros(model.size, dtype=torch.bool)
        forbidden = torch.ones(model.size, dtype=torch.bool)
        for token, word in words.items():
            key = word.casefold()
            rewritable[token] = key not in common
            forbidden[token] = key in common or (allowed is not None and key not in allowed)
        self.register_buffer("rewritable", rewritable, persistent=False)
        self.register_buffer("forbidden", forbidden, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Infill":
        """Let the encoder follow to another device or number format."""
        self._model[0].encoder._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> "Infill":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, words: Words, choice: Choice) -> Words:
        """The grid with words that the language model expects."""
        ids = words.ids
        chosen = choice.among(words, words.single & self.rewritable[ids])
        places = chosen.flatten().nonzero().squeeze(1)
        if len(places) == 0:
            return words
        old = ids.flatten()[places].unsqueeze(1)
        masked = torch.where(chosen, self.mask_id, ids)
        logits = self._model[0].logits(masked, words.mask, places)
        logits = logits.masked_fill(self.forbidden, -torch.inf).scatter(1, old, -torch.inf)
        best, tokens = logits.topk(min(self.top_k, logits.shape[1]), dim=-1)
        possible = best[:, :1].isfinite()
        weights = best.where(possible, 0.0).softmax(-1)
        drawn = torch.multinomial(weights, 1, generator=choice.generator)
        new = tokens.gather(1, drawn).where(possible, old).squeeze(1)
        return replace(words, ids=ids.flatten().scatter(0, places, new).view_as(ids))


def whole_words(tokenizer: Any, size: int) -> dict[int, str]:
    """The tokens below `size` that are a word by themselves, and the word each stands for."""
    pieces = WordPieces(tokenizer)
    whole = pieces.ordinary[~pieces.continues[pieces.ordinary]]
    decode = tokenizer.backend_tokenizer.decode  # the wrapped one takes four times as long
    words = {token: decode([token]).strip() for token in whole.tolist() if token < size}
    return {token: word for token, word in words.items() if is_word(word)}


def common_words(counts: Mapping[str, int]) -> set[str]:
    """The most frequent words, case-folded: those that make up half of all running words.

    In English prose about 150: articles, pronouns, prepositions, negations. They hold sentences
    together, so edits leave them alone.
    """
    folded = Counter[str]()
    for word, count in counts.items():
        folded[word.casefold()] += count
    ordered = sorted(folded, key=lambda word: (-folded[word], word))
    seen = accumulate(folded[word] for word in ordered)
    return {word for word, upto in zip(ordered, seen, strict=True) if 2 * upto <= folded.total()}
