"""Opening a saved model for prediction: a folder, a run, adapters, an ensemble or a Hub id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.backbone import (
    fetch_adapters,
    load_task_model,
    load_tokenizer,
    resolve_model,
)
from nlp_adapt.modeling.precision import choose_precision
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from nlp_adapt.prediction.ensembles import (
    EnsemblePredictor,
    is_ensemble,
    model_folder,
    read_ensemble,
)
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import TASKS


def load_predictor(
    model: str | Path,
    *,
    precision: str = "fp32",
    batch_size: int = 64,
    device: str | None = None,
) -> Predictor:
    """Open a saved model, a run folder or a Hub id for prediction.

    Args:
        model: Model folder, adapter folder, ensemble, run folder or Hub id.
        precision: Number format of the forward pass.
        batch_size: Rows per batch.
        device: Where it runs; default: a GPU if there is one.

    Raises:
        ModelError: If it cannot be loaded or is not a classification model.
    """
    import transformers

    if is_ensemble(model):
        members, weights = read_ensemble(model)
        options = {"precision": precision, "batch_size": batch_size, "device": device}
        return EnsemblePredictor(load_members(members, **options), weights)
    name = str(model_folder(model))
    path = fetch_adapters(resolve_model(name))
    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{model}: cannot be opened as a model ({reason})") from error
    architectures = " ".join(config.architectures or [])
    kind = TOKEN_CLASSIFICATION if "TokenClass" in architectures else SEQUENCE_CLASSIFICATION
    if "Classification" not in architectures:
        raise ModelError(f"{model}: is not a classification model; train one first.")
    label_names = [config.id2label[index] for index in range(config.num_labels)]
    task = TASKS[kind](label_names)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = _moved(load_task_model(path, task.auto_class, label_names), device)
    tokenizer = load_tokenizer(name, words=task.units_are_words)
    if precision == "auto":
        precision = choose_precision("auto", torch.device(device))
    return Predictor(loaded, tokenizer, task, precision=precision, batch_size=batch_size)


def load_members(models: Sequence[str | Path], **options: Any) -> list[Predictor]:
    """Open several models or runs that can stand beside each other.

    Raises:
        ConfigError: If there are fewer than two.
        ModelError: If one cannot be opened, or its task, labels or vocabulary differ.
    """
    if len(models) < 2:
        raise ConfigError("an ensemble needs at least two models.")
    members = [load_predictor(model, **options) for model in models]
    first = members[0]
    for path, member in zip(models, members, strict=True):
        for what, one, two in (
            ("task", member.task.name, first.task.name),
            ("labels", member.label_names, first.label_names),
            ("vocabulary", member.tokenizer.get_vocab(), first.tokenizer.get_vocab()),
        ):
            if one != two:
                raise ModelError(f"{path}: its {what} differs from that of {models[0]}.")
    return members


def _moved(model: Any, device: str) -> Any:
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"device '{device}' cannot be used here ({reason}).") from error
