"""Which tokens belong to one word, told from the vocabulary alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.modeling.architectures import continuing_tokens


class WordPieces(nn.Module):
    """Groups tokens `[rows, width]` into words by a lookup made once from a vocabulary."""

    continues: Tensor
    special: Tensor
    ordinary: Tensor

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        size = max(vocabulary.values()) + 1
        special = torch.zeros(size, dtype=torch.bool)
        special[list(tokenizer.all_special_ids)] = True
        continues = torch.zeros(size, dtype=torch.bool)
        continues[continuing_tokens(vocabulary)] = True
        known = torch.zeros(size, dtype=torch.bool)
        known[list(vocabulary.values())] = True
        self.register_buffer("special", special, persistent=False)
        self.register_buffer("continues", continues & ~special, persistent=False)
        self.register_buffer("ordinary", (known & ~special).nonzero().squeeze(1), persistent=False)

    def words(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Word of each token.

        Args:
            ids: `[rows, width]` token ids.
            mask: `[rows, width]` attention mask.

        Returns:
            `[rows, width]` running number of each token's word in its row (special tokens and
            padding count as words of their own), and whether the token may be edited: all but
            special tokens and padding.
        """
        special = self.special[ids] | (mask == 0)
        after_special = F.pad(special[:, :-1], (1, 0), value=True)
        starts = special | after_special | ~self.continues[ids]
        return starts.cumsum(1) - 1, ~special

    def single(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`[rows, width]` whether a token is a whole word, neither special nor padding.

        Args:
            ids: `[rows, width]` token ids.
            mask: `[rows, width]` attention mask.
        """
        words, editable = self.words(ids, mask)
        return editable & is_single(words)

    def draw(self, words: Tensor) -> Tensor:
        """`[rows, width]` uniform numbers from torch's generator, one and the same per word."""
        return torch.rand(words.shape, device=words.device).gather(1, words)


def is_single(words: Tensor) -> Tensor:
    """`[rows, width]` whether a word takes one place alone, from the running number of each."""
    parts = words[:, 1:] != words[:, :-1]
    return F.pad(parts, (1, 0), value=True) & F.pad(parts, (0, 1), value=True)
