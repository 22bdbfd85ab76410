"""Joining several models: an ensemble that averages or stacks, or a soup with averaged weights.

Wortsman et al. 2022, "Model soups", ICML (weights); Wolpert 1992, "Stacked generalization".
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import ConfigError, DataError, ModelError, RunError
from nlp_adapt.files import write_folder
from nlp_adapt.modeling.tokenizers import save_tokenizer
from nlp_adapt.prediction.opening import (
    EnsemblePredictor,
    load_members,
    log_probabilities,
    save_ensemble,
    side_by_side,
)
from nlp_adapt.prediction.predictor import Predictor, predict_logits
from nlp_adapt.validators import VALIDATORS, Predictions
from nlp_adapt.validators.scores import linear_map


def join(
    models: Sequence[str],
    folder: str | Path,
    how: str = "average",
    *,
    data: str | None = None,
    target: str | None = None,
) -> list[str]:
    """Make one model of several and save it.

    Args:
        models: Run or model folders.
        folder: Where to; must not be there yet.
        how: `average` or `stack`, for an ensemble, or `soup`, for a plain model.
        data: Labelled source rows that no model was trained on. `stack` is fitted on them; members
            join a soup only while its score on them does not fall.
        target: Target text: the label-free score then decides who joins a soup.

    Returns:
        The models that are in it, in the order they joined.

    Raises:
        AdaptationError: If the models do not fit each other, `data` is needed and missing, or the
            folder is there already.
    """
    out = Path(folder)
    if out.exists():
        raise RunError(f"{out}: is there already; choose another folder.")
    if how == "stack" and data is None:
        raise ConfigError("stacking needs labelled source rows: --data FILE.")
    members = load_members(models)
    first = members[0]
    if how == "soup":
        model, chosen = soup(members, _score(first, data, target))
        length = min(member.max_length for member in members)

        def write(staged: Path) -> None:
            model.save_pretrained(staged / "model")
            save_tokenizer(first.tokenizer, staged / "model", length)

        write_folder(out, write)
        return [models[index] for index in chosen]
    weights = stack(members, held_out_rows(_read(data, first), first)) if how == "stack" else None
    save_ensemble(out, models, weights)
    return list(models)


def stack(members: Sequence[Predictor], rows: EncodedRows) -> tuple[np.ndarray, np.ndarray]:
    """Fit logistic regression on the members' log-probabilities of held-out labelled source rows.

    Raises:
        ModelError: If the rows do not hold every class.
    """
    from sklearn.linear_model import LogisticRegression

    known = rows.labels >= 0
    features = side_by_side(log_probabilities(members, rows))[known]
    labels = rows.labels[known]
    if len(np.unique(labels)) < len(members[0].label_names):
        raise ModelError("stacking needs labelled rows of every class: give more data.")
    return linear_map(LogisticRegression(max_iter=1000).fit(features, labels))


def soup(
    members: Sequence[Predictor], score: Callable[[Any], float] | None = None
) -> tuple[Any, list[int]]:
    """One model with the averaged weights of members fine-tuned from the same encoder.

    With a `score`, higher for better, members join best first and stay only if the average does not
    get worse (greedy soup). Without one all are averaged.

    Returns:
        The model, and which members are in it, in the order they joined.

    Raises:
        ModelError: If the members differ in architecture or shape, or one is an ensemble itself.
    """
    if any(isinstance(member, EnsemblePredictor) for member in members):
        raise ModelError("an ensemble has no weights of its own to average: name its members.")
    states = [member.task_model.state_dict() for member in members]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise ModelError("weights can only be averaged over models of one architecture and size.")
    model = copy.deepcopy(members[0].task_model)
    if score is None:
        model.load_state_dict(_mean(states))
        return model, list(range(len(members)))
    scores = [score(member.task_model) for member in members]
    order = sorted(range(len(members)), key=lambda index: -scores[index])
    chosen, best = [order[0]], scores[order[0]]
    for index in order[1:]:
        model.load_state_dict(_mean([states[one] for one in (*chosen, index)]))
        value = score(model)
        if value >= best:
            chosen, best = [*chosen, index], value
    model.load_state_dict(_mean([states[one] for one in chosen]))
    return model, chosen


def held_out_rows(domain: Domain, predictor: Predictor) -> EncodedRows:
    """Labelled rows of a domain: validation rows, else test rows, else all that it has.

    The training rows of a domain with other splits are those that the members know.
    """
    domain = domain.with_labels(predictor.label_names)
    rows = next((part for part in (domain.validation, domain.test, domain.train) if part), None)
    if rows is None:
        raise DataError(f"{domain.reference or domain.name}: has no labelled rows.")
    return predictor.task.encode(rows, predictor.tokenizer, predictor.max_length)


def _score(first: Predictor, data: str | None, target: str | None) -> Callable[[Any], float] | None:
    """What decides which members join a soup: None lets all of them in."""
    if data is None:
        if target is not None:
            raise ConfigError("the label-free score also needs labelled source rows: --data FILE.")
        return None
    source, text = held_out_rows(_read(data, first), first), None
    if target is not None:
        rows = _read(target, first).without_labels()
        text = first.task.encode(rows, first.tokenizer, first.max_length)
    validator = VALIDATORS["source_risk" if text is None else "label_free"]
    pad_id = first.tokenizer.pad_token_id or 0

    def score(model: Any) -> float:
        logits = predict_logits(model, source, pad_id=pad_id)
        found = None if text is None else predict_logits(model, text, pad_id=pad_id)
        quality = first.task.source_quality(logits, source)
        predictions = Predictions(
            logits, source.labels, found, source_quality=None if quality is None else quality[0]
        )
        return validator.score(predictions)

    return score


def _read(reference: str | None, predictor: Predictor) -> Domain:
    return load_domain(reference, task=predictor.task.name, test_fraction=0.0)


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    averaged = dict(states[0])
    for name, value in states[0].items():
        if value.is_floating_point():
            total = sum(state[name].double() for state in states)
            averaged[name] = (torch.as_tensor(total) / len(states)).to(value.dtype)
    return averaged
