"""Writing the class shares that the user knows into a trained model's decisions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nlp_adapt.errors import ModelError
from nlp_adapt.metrics.class_shares import aligning_bias, predicted_shares
from nlp_adapt.modeling.architectures import output_layer, plain_model


def align_model(
    model: Any, logits: np.ndarray, shares: np.ndarray, names: Sequence[str]
) -> tuple[dict[str, Any], np.ndarray]:
    """Change the classifier's bias so that the model's predictions have the told shares.

    The bias is part of the saved model, and so of all that reads it.

    Args:
        logits: `[units, classes]` that the model gives unlabelled texts of the target.
        shares: `[classes]` told shares.

    Returns:
        What results.json says of it, by class: the shares `told`, and those `predicted_before` and
        `predicted` on these texts, with the `bias` that was added; and that bias `[classes]`.

    Raises:
        ModelError: If the classifier has no bias.
    """
    bias = aligning_bias(logits, shares)
    add_bias(model, bias)
    found = {
        "told": shares,
        "predicted_before": predicted_shares(logits),
        "predicted": predicted_shares(logits + bias),
        "bias": bias,
    }
    described = {
        key: dict(zip(names, values.round(4).tolist(), strict=True))
        for key, values in found.items()
    }
    return described, bias


@torch.no_grad()
def add_bias(model: Any, bias: np.ndarray) -> None:
    """Add constants `[classes]` to the logits of a model, as its classifier's own bias.

    Raises:
        ModelError: If the classifier has no bias.
    """
    own = biased_layer(model).bias
    own.add_(torch.from_numpy(bias).to(own))


def biased_layer(model: Any) -> torch.nn.Linear:
    """The last layer, which gives the logits, where it has a bias.

    Raises:
        ModelError: If it has none: a plain model of its class could not keep one.
    """
    layer = output_layer(model)
    if layer.bias is None:
        raise ModelError(
            f"target_class_shares are written into the bias of the classifier, and that of "
            f"{type(plain_model(model)).__name__} has none: choose another encoder, such as BERT or "
            "RoBERTa, or leave them out."
        )
    return layer
