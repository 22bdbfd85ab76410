"""A frozen masked language model: an encoder with a head that knows which word may stand where.

Most encoders bring such a head. One that has lost it (a sentence encoder, a classifier) gets a head
fitted on the run's own text, the encoder left as it is: a rougher guess, but of the right words.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.architectures import plain_model
from nlp_adapt.modeling.backbone import resolve_model
from nlp_adapt.modeling.mlm_head import (
    MlmHead,
    TokenRows,
    fresh_mlm_head,
    load_mlm_head,
    token_counts,
)
from nlp_adapt.modeling.pretrained import load_encoder
from nlp_adapt.modeling.tokenizers import WordPieces

LOGGER = logging.getLogger("nlp_adapt")

FIT_PLACES = 4096
FIT_STEPS = 120
FIT_BATCH = 128
FIT_RATE = 0.2
FIT_LEARNING_RATE = 1e-3
ROWS_AT_ONCE = 32


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


def language_model_of(
    task_model: Any,
    tokenizer: Any,
    texts: Sequence[TokenRows],
    *,
    name: str | None = None,
    seed: int = 0,
    device: Any = None,
) -> MaskedLanguageModel:
    """A task model's encoder as it was pretrained, or a named model, with its head; both frozen.

    What training has made of the task model knows its task, not language.

    Args:
        texts: Text of the run, without labels; a head is fitted on it where the encoder has none.
        name: Hub id, folder or `builtin:` name of another model, which must bring its head.

    Raises:
        AdaptationError: If the model cannot be loaded, or there is neither a head nor text for one.
    """
    path = name or getattr(plain_model(task_model).config, "_name_or_path", "")
    if not path:
        raise ConfigError(
            "edit 'infill': the encoder was not loaded from a name or folder, so its pretrained "
            "weights are gone; name a masked language model with edit_model or augment_model."
        )
    encoder = load_encoder(path).to(device).requires_grad_(False).eval()
    head = load_mlm_head(resolve_model(path), encoder)
    fitted = head is None
    if head is None:
        if name is not None:
            raise ModelError(
                f"{name}: has no masked-language-modelling head; name a model that has one, such as "
                "bert-base-uncased."
            )
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


def fitted_head(encoder: Any, tokenizer: Any, texts: Sequence[TokenRows], seed: int) -> MlmHead:
    """A head fitted on masked words of the texts, starting from how often each word occurs.

    Args:
        texts: Tokenised text; each set has an equal part.
        seed: Which words are masked, and in which order they are read.
    """
    pieces = WordPieces(tokenizer)
    device = next(encoder.parameters()).device
    embeddings = encoder.get_input_embeddings().weight
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        counts = token_counts(texts, pieces.special, len(embeddings))
        head = fresh_mlm_head(encoder, counts).to(device)
        generator = np.random.default_rng(seed)
        parts = [
            _masked_states(encoder, pieces, tokenizer, rows, FIT_PLACES // len(texts), generator)
            for rows in texts
        ]
        states, labels = (torch.cat(list(part)).to(device) for part in zip(*parts, strict=True))
        _fit(head, states, labels, embeddings, counts.nonzero().squeeze(1).to(device))
    return head


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
