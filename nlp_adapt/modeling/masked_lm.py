"""A frozen masked language model: an encoder with a head that knows which word may stand where.

Most encoders bring such a head. One that has lost it (a sentence encoder, a classifier) gets a head
fitted on the run's own text, the encoder left as it is: a rougher guess, but of the right words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.backbone import load_encoder, resolve_model
from nlp_adapt.modeling.mlm_head import MlmHead, fresh_mlm_head, load_mlm_head
from nlp_adapt.modeling.word_pieces import WordPieces

LOGGER = logging.getLogger("nlp_adapt")

FIT_PLACES = 4096
FIT_STEPS = 120
FIT_BATCH = 128
FIT_RATE = 0.2
FIT_LEARNING_RATE = 1e-3
ROWS_AT_ONCE = 32

# Token ids of many rows, one after the other, and `[rows + 1]` where each begins.
TokenRows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MaskedLanguageModel:
    """An encoder and its masked-language-modelling head; neither is trained.

    Attributes:
        encoder: A bare encoder in evaluation mode.
        head: From its states to logits.
        fitted: Whether the head was fitted here, since the encoder brought none.
    """

    encoder: Any
    head: MlmHead
    fitted: bool = False

    @property
    def size(self) -> int:
        """Tokens that its encoder knows."""
        return len(self.encoder.get_input_embeddings().weight)

    @torch.no_grad()
    def logits(self, ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """Logits `[places, vocabulary]` in float32, computed at the places alone.

        Args:
            ids: `[rows, width]` token ids, masked at the places.
            mask: `[rows, width]` attention mask.
            places: Flat positions in `ids`.
        """
        states = self.encoder(input_ids=ids, attention_mask=mask)[0].flatten(0, 1)
        embeddings = self.encoder.get_input_embeddings().weight
        return self.head(states.index_select(0, places), embeddings).float()


def pretrained_language_model(
    name: str, tokenizer: Any, texts: Iterable[TokenRows], device: Any = None, seed: int = 0
) -> MaskedLanguageModel:
    """The masked language model of a checkpoint; its head is fitted on `texts` if it has none.

    Args:
        name: Hub id, folder or `builtin:` name.
        tokenizer: Its tokenizer.
        texts: Tokenised text of the domains, without labels.
        device: Where it runs.
        seed: Which texts a head is fitted on.

    Raises:
        ModelError: If the encoder cannot be loaded.
    """
    encoder = load_encoder(name).to(device)
    head = load_mlm_head(resolve_model(name), encoder)
    return language_model(encoder, head, tokenizer, texts, seed)


def named_language_model(name: str, device: Any = None) -> MaskedLanguageModel:
    """The masked language model `name`, which must bring its head.

    Raises:
        ModelError: If it cannot be loaded, or has none.
    """
    encoder = load_encoder(name).to(device)
    head = load_mlm_head(resolve_model(name), encoder)
    if head is None:
        raise ModelError(
            f"{name}: has no masked-language-modelling head; name a model that has one, such as "
            "bert-base-uncased."
        )
    return language_model(encoder, head, None, ())


def language_model(
    encoder: Any, head: MlmHead | None, tokenizer: Any, texts: Iterable[TokenRows], seed: int = 0
) -> MaskedLanguageModel:
    """An encoder with its head, or with one that is fitted on `texts`; both frozen.

    Raises:
        ModelError: If there is neither a head nor text to fit one on.
    """
    device = next(encoder.parameters()).device
    encoder.requires_grad_(False).eval()
    fitted = head is None
    if head is None:
        texts = list(texts)
        if not texts:
            raise ModelError(
                "the encoder has no masked-language-modelling head, and no text for one."
            )
        LOGGER.warning(
            "the encoder brings no masked-language-modelling head: one is fitted on the run's text, "
            "which fills in rougher guesses than a model that was pretrained with one."
        )
        head = fitted_head(encoder, tokenizer, texts, seed)
    return MaskedLanguageModel(encoder, head.to(device).requires_grad_(False).eval(), fitted)


def fitted_head(encoder: Any, tokenizer: Any, texts: list[TokenRows], seed: int) -> MlmHead:
    """A head fitted on masked words of the texts, starting from how often each word occurs.

    Args:
        encoder: The encoder, which stays as it is.
        tokenizer: Its tokenizer.
        texts: Tokenised text; each set has an equal part.
        seed: Which words are masked, and in which order they are read.
    """
    pieces = WordPieces(tokenizer)
    device = next(encoder.parameters()).device
    embeddings = encoder.get_input_embeddings().weight
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        head = fresh_mlm_head(encoder)
        counts = _frequencies(texts, pieces, len(embeddings))
        with torch.no_grad():
            head.bias.copy_(((counts + 0.5) / (counts + 0.5).sum()).log())
        head = head.to(device)
        generator = np.random.default_rng(seed)
        parts = [
            _masked_states(encoder, pieces, tokenizer, rows, FIT_PLACES // len(texts), generator)
            for rows in texts
        ]
        states, labels = (torch.cat(list(part)).to(device) for part in zip(*parts, strict=True))
        _fit(head, states, labels, embeddings, counts.nonzero().squeeze(1).to(device))
    return head


def _frequencies(texts: list[TokenRows], pieces: WordPieces, size: int) -> Tensor:
    """`[vocabulary]` how often each ordinary token occurs."""
    total = np.zeros(size, dtype=np.float64)
    for ids, _ in texts:
        total += np.bincount(ids, minlength=size)[:size]
    counts = torch.from_numpy(total).float()
    known = min(size, len(pieces.special))
    counts[:known][pieces.special[:known]] = 0.0
    return counts


@torch.no_grad()
def _masked_states(
    encoder: Any,
    pieces: WordPieces,
    tokenizer: Any,
    texts: TokenRows,
    wanted: int,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """States `[places, hidden]` at masked words of random rows, and the ids `[places]` there."""
    ids, offsets = texts
    device = next(encoder.parameters()).device
    states, labels, found = [], [], 0
    order = generator.permutation(len(offsets) - 1)
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = [ids[offsets[row] : offsets[row + 1]] for row in order[start : start + ROWS_AT_ONCE]]
        width = max(8, -(-max(map(len, rows)) // 8) * 8)
        batch = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(batch)
        for number, row in enumerate(rows):
            batch[number, : len(row)] = torch.from_numpy(row.astype(np.int64))
            mask[number, : len(row)] = 1
        drawn = torch.from_numpy(generator.random(batch.shape)) < FIT_RATE
        chosen = pieces.single(batch, mask) & drawn
        masked = torch.where(chosen, tokenizer.mask_token_id, batch)
        output = encoder(input_ids=masked.to(device), attention_mask=mask.to(device))[0]
        states.append(output[chosen.to(device)].float())
        labels.append(batch[chosen])
        found += int(chosen.sum())
        if found >= wanted:
            break
    return torch.cat(states), torch.cat(labels).to(device)


def _fit(head: MlmHead, states: Tensor, labels: Tensor, embeddings: Tensor, seen: Tensor) -> None:
    """Train the head to tell the masked words among those that occur at all."""
    if len(labels) == 0:
        return
    place = torch.full((len(embeddings),), -1, device=labels.device)
    place[seen] = torch.arange(len(seen), device=labels.device)
    decoder = embeddings[seen].float()
    optimizer = torch.optim.AdamW(head.parameters(), lr=FIT_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=FIT_STEPS)
    for _ in range(FIT_STEPS):
        chosen = torch.randint(len(labels), (FIT_BATCH,)).to(labels.device)
        hidden = head.norm(head.activation(head.dense(states[chosen])))
        logits = F.linear(hidden, decoder, head.bias[seen])
        loss = F.cross_entropy(logits, place[labels[chosen]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()  # a gradient left behind would count where a run clips its own
