"""Whether a model can be trained rightly: what cannot is refused before the first step.

An entry in `architectures` refuses what is known; two short rows through the model show the rest,
so that classes that nobody has looked at yet are safe as well.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import collate, pack_rows, to_tensors
from nlp_adapt.errors import ConfigError, ModelError, first_line
from nlp_adapt.modeling.architectures import architecture_of, averages_logits, plain_model
from nlp_adapt.modeling.units import FeatureTap, unit_logits, without_dropout

PROBE_TEXTS = ("a", "some text that is a good deal longer than the other one")
PROBE_TOKENS = 16
# Of the largest logit. Rounding is a hundred times smaller in float32, and ten times in half of it.
TOLERANCE, COARSE_TOLERANCE = 1e-2, 1e-1
OTHERS = "choose another encoder, such as BERT or RoBERTa"


def refuse_architecture(config: Any) -> None:
    """Refuse what is known not to work."""
    reason = architecture_of(config).refused
    if not reason and any(hasattr(config, name) for name in ("vision_config", "audio_config")):
        reason = "it reads images or sound beside text, and text alone leaves parts of it idle"
    if reason:
        raise ModelError(f"{config.model_type} cannot be adapted: {reason}; {OTHERS}.")
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(
            "the model is quantised, but what a run compares, merges and saves is in full precision: "
            "load it without quantization_config, and set lora to spare memory."
        )


def with_padding(tokenizer: Any, config: Any) -> Any:
    """The tokenizer, or a copy of it that pads as the model wants it.

    One without a padding token gets the model's, or its own end token, as is usual for decoders;
    the saved tokenizer then makes the same batches as training.
    """
    side = architecture_of(config).padding_side
    if tokenizer.pad_token_id is not None and tokenizer.padding_side == side:
        return tokenizer
    own = copy.deepcopy(tokenizer)
    own.padding_side = own.init_kwargs["padding_side"] = side  # what is saved is the second
    if own.pad_token_id is None:
        known = getattr(config, "pad_token_id", None)
        own.pad_token = own.eos_token if known is None else own.convert_ids_to_tokens(known)
    return own


def fit_to_tokenizer(task_model: Any, tokenizer: Any, domain_features: str = "classifier") -> None:
    """Tell a model how its tokenizer pads, and try it on two rows.

    Args:
        task_model: A classification model; its configuration may change.
        tokenizer: See `with_padding`.
        domain_features: What discriminators are to read.
    """
    model = plain_model(task_model)
    kind = type(model).__name__
    pad_id = tokenizer.pad_token_id
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = pad_id
    encoded = tokenizer(list(PROBE_TEXTS), truncation=True, max_length=PROBE_TOKENS)["input_ids"]
    short, long = sorted(encoded, key=len)
    try:
        if (decodes := _read(task_model, [long], pad_id or 0)[2]) and pad_id is not None:
            model.config.pad_token_id = pad_id  # the head finds the last token by it
        alone, _, _ = _read(task_model, [short], pad_id or 0)
        padded, rebuilt, _ = _read(task_model, [short, long], pad_id or 0)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{kind} cannot read a batch of texts ({first_line(error)}); {OTHERS}."
        ) from error
    if not _close(padded[0][: len(alone[0])], alone[0]):
        raise ModelError(
            f"{kind} gives a text other logits when it is padded, so that results would depend on "
            f"the other texts of a batch; {OTHERS}."
        )
    if not _close(rebuilt, padded):
        raise ModelError(
            f"{kind}: its logits are not those of any one state that its last layer reads, so that "
            f"there are no features to align; {OTHERS}."
        )
    if decodes and domain_features == "first":
        raise ConfigError(
            f"domain_features first: {kind} reads from left to right, so that its first token knows "
            "nothing of the text; set domain_features to classifier, mean or max."
        )


def _read(task_model: Any, rows: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor, bool]:
    """Logits of rows, the same made of their features, and whether the last token alone decides."""
    width = max(map(len, rows))
    arrays = collate([(pack_rows(rows), np.arange(len(rows)))], width=width, pad_id=pad_id)
    batch = to_tensors(arrays, next(task_model.parameters()).device)
    tap = FeatureTap(task_model)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), without_dropout(task_model):
        logits = unit_logits(task_model, batch)
        tap.remove()
        if logits.dim() == 3 or not tap.sees_tokens:
            return logits, logits, False
        return logits, tap.layer(tap.take(batch)), not averages_logits(tap.config)


def _close(found: Tensor, wanted: Tensor) -> bool:
    tolerance = TOLERANCE if wanted.dtype == torch.float32 else COARSE_TOLERANCE
    # What is no number passes: that is for training to find out.
    return not bool((found - wanted).abs().max() > tolerance * wanted.abs().max())
