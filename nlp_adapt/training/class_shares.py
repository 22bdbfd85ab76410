"""Writing class shares, told, a teacher's or the source-only twin's, into a model's decisions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nlp_adapt.errors import ModelError
from nlp_adapt.methods import METHODS
from nlp_adapt.metrics.class_shares import (
    aligning_bias,
    outside_bias,
    predicted_shares,
    shares_from_labels,
)
from nlp_adapt.modeling.architectures import output_layer, plain_model


def shares_to_keep(context: Any, twin: dict[str, Any] | None, model: Any) -> Any:
    """How often the teacher, or else the twin, says each class of the target, if a `model` keeps to that.

    None keeps to nothing, as the twin, which has no teacher.

    Args:
        context: The run's `RunContext`.
        twin: What results.json says of the twin; None where there is none.
    """
    wanted = context.config.keep_class_shares if model is not None else False
    if wanted is None:
        method = METHODS.get(context.method)  # none where stages are spelt out
        # Labels of the target that were trained on tell more than the twin knows.
        fits = "few_shot" not in context.data.train and output_layer(model).bias is not None
        wanted = method is not None and method.keeps_class_shares and fits
    sample = context.data.target_sample
    if wanted and sample is not None and sample.teacher is not None:
        shares = predicted_shares(sample.teacher).tolist()
        return dict(zip(context.task.label_names, shares, strict=True))
    evidence = twin["evidence"] if twin is not None and wanted else None
    return evidence and evidence["predicted"]


def align_model(
    scorer: Any, model: Any, labelled: Any = None, kept: Mapping[str, float] | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Change the classifier's bias so that the model's predictions have the target's class shares.

    They are counted on the unlabelled sample of the target. The bias is part of the saved model, and
    so of all that reads it.

    Args:
        scorer: The run's `Scorer`, which holds the told shares and the sample.
        labelled: Encoded texts drawn at random from the target, whose labels tell the shares where
            the user does not.
        kept: By class, the shares of the units for which the teacher or the twin says it, where
            nothing else tells the shares. Of words, that of `O` alone counts.

    Returns:
        What results.json says of it, by class: the shares `told`, `kept` (`kept_as` names the teacher)
        or `from_labels` (`labels` counts those), what was `predicted_before` and is `predicted` now, and
        the `bias` that was added; and that bias `[classes]`.

    Raises:
        ModelError: If the classifier has no bias.
    """
    logits, _ = scorer.read(model, scorer.data.target_sample)
    before = predicted_shares(logits)
    said: dict[str, Any] = {}
    names, outside, source = scorer.task.label_names, scorer.task.outside, "told"
    if scorer.target_shares is not None:
        shares = scorer.target_shares
    elif labelled is None:
        assert kept is not None  # else nothing is to be put right
        shares, source = np.array([kept[name] for name in names]), "kept"
        said = {"kept_as": "teacher"} if scorer.data.target_sample.teacher is not None else {}
    else:
        trained_on = "few_shot" in scorer.data.train
        own = None if trained_on else scorer.read(model, labelled)[0]
        shares = shares_from_labels(labelled.labels, before, own)
        said, source = {"labels": len(labelled.labels)}, "from_labels"
    bias = (
        aligning_bias(logits, shares)
        if outside is None
        else outside_bias(logits, outside, shares[outside])
    )
    add_bias(model, bias)
    found = {
        source: shares,
        "predicted_before": before,
        "predicted": predicted_shares(logits + bias),
        "bias": bias,
    }
    for key, values in found.items():
        said[key] = dict(zip(names, values.round(4).tolist(), strict=True))
    return said, bias


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
