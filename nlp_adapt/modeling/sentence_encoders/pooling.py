"""What the head of a frozen encoder reads: the pooled states that the encoder was trained to give.

Sentence encoders are trained by the mean of their last states, while the heads of BERT and its kin
read the first token through a dense layer that nobody trained. A frozen encoder cannot learn to put a
text there. So one more layer of the architecture's own kind is added, which needs no training: its
queries are zero, so that every token attends to all alike, its values pass unchanged, and its
feed-forward part is zero. Its first state is the layer norm of the mean. The dense layer of the head
passes that on. The model stays a plain one, with a layer more in its config.json.
"""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nlp_adapt.modeling.architectures import (
    encoder_layers,
    encoder_of,
    head_modules,
    output_layer,
    plain_model,
)
from nlp_adapt.modeling.backbone import resolve_model
from nlp_adapt.modeling.pretrained import NEW, READING

MEAN, FIRST = "mean", "first"

# The mean outweighs the residual, the token's own state, by this; a power of 2 rounds nothing.
_GAIN = 256.0
# Features of unit variance pass the head's activation where it is nearly a straight line.
_SCALE = 0.3
_MOST = 1 << 16  # bytes of a file that is read here


@dataclass(frozen=True)
class _Names:
    """Modules of a layer and of the head, by their names.

    Attributes:
        value: Passes what it gets.
        gathered: Maps what attention gives.
        zero: Queries, keys and the feed-forward part.
        norms: Layer norms.
        dense: The head's layer below the logits, in the task model or its encoder.
        offset: Where the activation after it is a straight line.
    """

    value: str
    gathered: str
    zero: tuple[str, ...]
    norms: tuple[str, ...]
    dense: str
    offset: float = 0.0


def _bert(dense: str, offset: float = 0.0) -> _Names:
    return _Names(
        "attention.self.value",
        "attention.output.dense",
        ("attention.self.query", "attention.self.key", "intermediate.dense", "output.dense"),
        ("attention.output.LayerNorm", "output.LayerNorm"),
        dense,
        offset,
    )


_NAMES: dict[str, _Names] = {
    "bert": _bert("pooler.dense"),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert"), _bert("classifier.dense")),
    "electra": _bert("classifier.dense", offset=4.0),
    # Its bias by distance stays, so that near the first token weighs more in each head's own way.
    "mpnet": _Names(
        "attention.attn.v",
        "attention.attn.o",
        ("attention.attn.q", "attention.attn.k", "intermediate.dense", "output.dense"),
        ("attention.LayerNorm", "output.LayerNorm"),
        "classifier.dense",
    ),
    "distilbert": _Names(
        "attention.v_lin",
        "attention.out_lin",
        ("attention.q_lin", "attention.k_lin", "ffn.lin1", "ffn.lin2"),
        ("sa_layer_norm", "output_layer_norm"),
        "pre_classifier",
        offset=4.0,
    ),
}


def read_as_trained(task_model: Any, folder_or_id: str) -> None:
    """Make the head of a sentence classifier read what its frozen encoder was trained to give.

    That is what a sentence-transformers folder says, and else the mean where the head's dense layer
    is new. Nothing changes where the head was trained, or where it has no such layer.

    Args:
        task_model: As loaded, with `NEW` set; its config says how many layers it has then.
        folder_or_id: Where it was loaded from.
    """
    model = plain_model(task_model)
    how = trained_pooling(folder_or_id)
    if how is None and _has_new_dense(model):
        how = MEAN
    if how is None or "Classification" in str(model.config.architectures):
        return
    names = _NAMES.get(model.config.model_type)
    if names is None or getattr(model.config, "is_decoder", False):
        said = (
            f"a head of {model.config.model_type} cannot read the {how} of the encoder's states, for "
            "which it would need a layer of another kind; it reads what it does, untrained. Train "
            "more than the head (freeze: none), or choose a BERT, RoBERTa, DistilBERT or MPNet."
        )
    else:
        if how == MEAN:
            _add_mean_layer(model, names)
        _pass_through(model, names)
        layers = f", in a layer of its own ({model.config.num_hidden_layers} in all)"
        said = f"the frozen encoder is read by the {how} of its last states"
        said += (layers if how == MEAN else "") + "."
    setattr(task_model, READING, said)


def trained_pooling(folder_or_id: str) -> str | None:
    """How a sentence-transformers folder or repository pools: `mean`, `first`, or None.

    Max, several at once and the like are None: no plain head reads them.
    """
    modules = _read(folder_or_id, "modules.json")
    for module in modules if isinstance(modules, list) else ():
        if isinstance(module, dict) and str(module.get("type")).endswith(".Pooling"):
            path = str(module.get("path"))
            config = (
                _read(folder_or_id, f"{path}/config.json") if re.fullmatch(r"\w+", path) else None
            )
            return _MODES.get(_mode(config)) if isinstance(config, dict) else None
    return None


_MODES = {"mean": MEAN, "mean_tokens": MEAN, "cls": FIRST, "cls_token": FIRST}


def _mode(config: Mapping[str, Any]) -> str:
    """The one way in which a pooling module pools, as its config.json calls it, or nothing."""
    named = config.get("pooling_mode")  # since sentence-transformers 6
    if named is None:
        named = [key.removeprefix("pooling_mode_") for key, on in config.items()
                 if key.startswith("pooling_mode_") and on is True]  # fmt: skip
    several = named if isinstance(named, list) else [named]
    return str(several[0]) if len(several) == 1 else ""


def _read(folder_or_id: str, name: str) -> Any:
    """A small JSON file of a model, or None."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    folder = Path(resolve_model(folder_or_id))
    try:
        if not folder.exists():
            folder = Path(hf_hub_download(folder_or_id, name)).parents[name.count("/")]
        with (folder / name).open(encoding="utf-8") as file:
            return json.loads(file.read(_MOST))
    except (OSError, ValueError, RecursionError, HFValidationError):
        return None


def _has_new_dense(model: Any) -> bool:
    """Whether a layer between the encoder's states and the output layer is drawn at random."""
    output = {id(one) for one in output_layer(model).parameters()}
    head = {id(one) for part in head_modules(model).values() for one in part.parameters()}
    new: frozenset[str] = getattr(model, NEW, frozenset())
    named = model.named_parameters()
    return any(name in new and id(one) in head - output for name, one in named)


@torch.no_grad()
def _add_mean_layer(model: Any, names: _Names) -> None:
    """Add the layer whose states are the layer norm of the mean of those of the last one."""
    layers = encoder_layers(model)
    layer = copy.deepcopy(layers[-1])
    for name in names.zero:
        _set(layer.get_submodule(name), 0.0)
    _set(layer.get_submodule(names.value), 1.0)
    _set(layer.get_submodule(names.gathered), _GAIN)
    for name in names.norms:
        norm: Any = layer.get_submodule(name)
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    layers.append(layer)
    model.config.num_hidden_layers = len(layers)


@torch.no_grad()
def _pass_through(model: Any, names: _Names) -> None:
    """Let the head's dense layer and its activation pass on what they get, scaled."""
    holder = encoder_of(model) if names.dense.startswith("pooler") else model
    _set(holder.get_submodule(names.dense), _SCALE, names.offset)


def _set(layer: Any, factor: float, offset: float = 0.0) -> None:
    """Make a linear layer multiply by a number, and add one."""
    nn.init.eye_(layer.weight).mul_(factor)
    nn.init.constant_(layer.bias, offset)
