"""A masked-language-modelling head for any encoder: the checkpoint's own, or a fresh one."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Token ids of many rows, one after the other, and `[rows + 1]` where each begins.
TokenRows = tuple[np.ndarray, np.ndarray]


class MlmHead(nn.Module):
    """Hidden states to vocabulary logits: dense, activation, norm, then the tied decoder.

    The decoder's matrix is passed in at each call instead of being held, so that it stays one
    parameter of the encoder; only an untied decoder is held here.

    Args:
        bias: `[vocabulary]` decoder bias.
        decoder: `[vocabulary, embedding size]`, or None if tied.
    """

    def __init__(
        self,
        dense: nn.Module,
        activation: nn.Module,
        norm: nn.Module,
        bias: Tensor,
        decoder: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation
        self.norm = norm
        self.bias = nn.Parameter(bias.detach().clone())
        self.decoder = None if decoder is None else nn.Parameter(decoder.detach().clone())

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Logits `[tokens, vocabulary]` of hidden states `[tokens, hidden]`.

        Args:
            embeddings: The encoder's input embeddings `[vocabulary, embedding size]`.
        """
        transformed = self.norm(self.activation(self.dense(hidden)))
        return F.linear(
            transformed, embeddings if self.decoder is None else self.decoder, self.bias
        )


def own_mlm_head(task_model: Any) -> MlmHead | None:
    """The head of the checkpoint that `task_model` was loaded from; None where it has none."""
    path = getattr(task_model.config, "_name_or_path", "")
    return load_mlm_head(path, task_model) if path else None


def fresh_mlm_head(task_model: Any, counts: Tensor | None = None) -> MlmHead:
    """A new head, initialised as BERT's.

    Args:
        counts: `[vocabulary]` how often each token occurs, which its bias then says.
    """
    config = task_model.config
    vocabulary, size = task_model.get_input_embeddings().weight.shape
    dense = nn.Linear(int(config.hidden_size), size)
    nn.init.normal_(dense.weight, std=float(getattr(config, "initializer_range", None) or 0.02))
    nn.init.zeros_(dense.bias)
    bias = torch.zeros(vocabulary)
    if counts is not None:
        bias = ((counts + 0.5) / (counts + 0.5).sum()).log()
    return MlmHead(dense, nn.GELU(), nn.LayerNorm(size, eps=1e-12), bias)


def token_counts(texts: Sequence[TokenRows], special: Tensor, size: int) -> Tensor:
    """`[size]` how often each token occurs in the texts, but for `special` `[vocabulary]` ones."""
    total = np.zeros(size, dtype=np.float64)
    for ids, _ in texts:
        total += np.bincount(ids, minlength=size)[:size]
    counts = torch.from_numpy(total).float()
    known = min(size, len(special))
    counts[:known][special[:known]] = 0.0
    return counts


def load_mlm_head(path: str, task_model: Any) -> MlmHead | None:
    """The head in the checkpoint at `path`, or None if it has none of a known shape."""
    from transformers import AutoModelForMaskedLM
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, loading = AutoModelForMaskedLM.from_pretrained(
            path,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError):  # no such files any more, or no masked-LM class for this encoder
        return None
    finally:
        logging.set_verbosity(level)
    inside = f"{model.base_model_prefix}."
    if any(not key.startswith(inside) for key in loading["missing_keys"]):
        return None
    return _read_head(model, task_model.get_input_embeddings().weight)


def _read_head(model: Any, embeddings: Tensor) -> MlmHead | None:
    """Copy the head of a masked-LM model if it is dense, activation, norm and decoder."""
    output = model.get_output_embeddings()
    if not isinstance(output, nn.Linear) or output.weight.shape != embeddings.shape:
        return None
    parts = _parts(model)
    if parts is None:
        return None
    dense, activation, norm = parts
    tied = torch.equal(output.weight, model.get_input_embeddings().weight)
    bias = torch.zeros(len(embeddings)) if output.bias is None else output.bias
    return MlmHead(
        copy.deepcopy(dense), activation, copy.deepcopy(norm), bias, None if tied else output.weight
    )


def _parts(model: Any) -> tuple[nn.Linear, nn.Module, nn.LayerNorm] | None:
    """Dense layer, activation and norm before a masked-LM model's decoder, if that is all it has."""
    output = model.get_output_embeddings()
    encoder = set(model.base_model.modules())
    leaves = [
        module
        for module in model.modules()
        if module not in encoder and module is not output and not list(module.children())
    ]
    dense = [module for module in leaves if isinstance(module, nn.Linear)]
    norms = [module for module in leaves if isinstance(module, nn.LayerNorm)]
    if len(dense) != 1 or len(norms) != 1:
        return None
    activations = [
        module
        for module in leaves
        if not list(module.parameters(recurse=False))
        and not isinstance(module, (nn.Dropout, nn.modules.loss._Loss))
    ]
    # RoBERTa-like heads call GELU as a function and so show no activation module.
    return dense[0], activations[0] if activations else nn.GELU(), norms[0]
