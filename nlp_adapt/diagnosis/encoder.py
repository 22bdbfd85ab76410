"""A pretrained encoder as it is, which reads texts and words for probes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows, budget_batches
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.backbone import model_config
from nlp_adapt.modeling.cpu import autocast, choose_precision, prepare_prediction
from nlp_adapt.modeling.pretrained import load_encoder
from nlp_adapt.modeling.sentence_encoders.pooling import FIRST, trained_pooling
from nlp_adapt.modeling.suitability import refuse_architecture, with_padding
from nlp_adapt.modeling.tokenizers import for_words, load_tokenizer, training_limit


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that nothing is trained in.

    Attributes:
        encoder: The bare model.
        tokenizer: Its fast tokenizer, which pads as the model wants it.
        words: The same tokenizer, or a copy, for texts that come as words.
        longest: Most tokens of a row.
        first: Whether a text is read by its first token, as a sentence encoder may be trained to;
            else by the mean over its tokens.
    """

    encoder: Any
    tokenizer: Any
    words: Any
    longest: int
    first: bool

    @classmethod
    def open(cls, model: str) -> "FrozenEncoder":
        """The encoder of a Hub id, folder or `builtin:` name.

        Raises:
            ModelError: If it cannot be loaded, or is none that could be adapted.
        """
        config = model_config(model)
        refuse_architecture(config)
        tokenizer = with_padding(load_tokenizer(model), config)
        encoder = load_encoder(model).eval()
        if getattr(encoder.config, "is_encoder_decoder", False):
            encoder = encoder.get_encoder()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        limit = training_limit(config, tokenizer)
        first = trained_pooling(model) == FIRST
        return cls(encoder.to(device), tokenizer, for_words(tokenizer), limit, first)

    @torch.no_grad()
    def read(self, rows: EncodedRows) -> tuple[np.ndarray, np.ndarray | None]:
        """Features of rows and, where words carry labels, of their units.

        Returns:
            `[rows, width]` the pooled last states of each row, and `[units, width]` the last state of
            each unit's token; None where the unit is the row itself.

        Raises:
            ModelError: The model gives no states of tokens.
        """
        device = next(self.encoder.parameters()).device
        pooled: np.ndarray | None = None
        units: np.ndarray | None = None
        with autocast(device, choose_precision("auto", device)):
            tokens, pad_id = prepare_prediction(device), self.tokenizer.pad_token_id
            batches = budget_batches(rows, device, tokens=tokens, most_rows=256, pad_id=pad_id)
            for chosen, batch in batches:
                states, mask = self._states(batch)
                if pooled is None:
                    size = states.shape[-1]
                    pooled = np.zeros((len(rows), size), dtype=np.float32)
                    if rows.positions is not None:
                        units = np.zeros((rows.units, size), dtype=np.float32)
                mean = (states * mask).sum(1) / mask.sum(1)
                pooled[chosen] = (states[:, 0] if self.first else mean).cpu().numpy()
                if units is not None:
                    own = states.flatten(0, 1)[batch["unit_positions"]]
                    units[rows.units_of(chosen)] = own.cpu().numpy()
        if pooled is None:
            raise ModelError("there is no text for the encoder to read.")
        return pooled, units

    def _states(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """Last states `[rows, width, size]` in float32, and the mask `[rows, width, 1]`."""
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        states = getattr(self.encoder(**inputs), "last_hidden_state", None)
        if states is None or states.shape[:2] != inputs["input_ids"].shape:
            raise ModelError(
                f"{type(self.encoder).__name__} gives no state for each token to probe: choose "
                "another encoder, such as BERT or RoBERTa."
            )
        return states.float(), inputs["attention_mask"].unsqueeze(-1).float()
