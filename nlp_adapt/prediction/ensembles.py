"""Several models as one: their probabilities averaged or stacked, or their weights averaged.

An ensemble that averages or stacks is a folder with its members and `ensemble.json`, which
`nlp-adapt predict` and `teacher:` open like any model. Averaged weights are a plain model.

Wortsman et al. 2022, "Model soups", ICML (weights); Wolpert 1992, "Stacked generalization".
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ModelError, RunError
from nlp_adapt.prediction.predictor import Predictor

ENSEMBLE = "ensemble.json"
HOWS = ("average", "stack", "soup")


class EnsemblePredictor(Predictor):
    """A `Predictor` over several models that read the same tokens.

    Args:
        members: Predictors with the same task, labels and vocabulary.
        weights: `[classes, members * classes]` and `[classes]` of a linear map on the members'
            log-probabilities, or None to average their probabilities.
    """

    def __init__(
        self, members: Sequence[Predictor], weights: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        first = members[0]
        super().__init__(
            first.task_model,
            first.tokenizer,
            first.task,
            precision=first.precision,
            batch_size=first.batch_size,
            max_length=min(member.max_length for member in members),
        )
        self.members = list(members)
        self.weights = weights

    def logits(self, rows: EncodedRows) -> np.ndarray:
        """Log of the mean probabilities, or the stacked logits: `[units, classes]`."""
        every = np.stack([log_probabilities(member.logits(rows)) for member in self.members])
        if self.weights is None:
            return np.log(np.exp(every).mean(0).clip(1e-30)).astype(np.float32)
        matrix, bias = self.weights
        return (_side_by_side(every) @ matrix.T + bias).astype(np.float32)

    def logits_and_features(self, rows: EncodedRows) -> tuple[np.ndarray, np.ndarray]:
        """Not for ensembles: each member has features of its own.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            "an ensemble has no features of its own, from which likeness could be told: give one "
            "of its members."
        )


def stack(members: Sequence[Predictor], rows: EncodedRows) -> tuple[np.ndarray, np.ndarray]:
    """Fit logistic regression on the members' log-probabilities of labelled rows.

    Args:
        members: See `opening.load_members`.
        rows: Held-out source rows with labels: the target's are never used.

    Raises:
        ModelError: If the rows do not hold every class.
    """
    from sklearn.linear_model import LogisticRegression

    known = rows.labels >= 0
    every = np.stack([log_probabilities(member.logits(rows)) for member in members])
    features, labels = _side_by_side(every)[known], rows.labels[known]
    classes = len(members[0].label_names)
    if len(np.unique(labels)) < classes:
        raise ModelError("stacking needs labelled rows of every class: give more data.")
    model = LogisticRegression(max_iter=1000).fit(features, labels)
    if classes == 2:
        return np.concatenate([-model.coef_, model.coef_]) / 2, np.concatenate(
            [-model.intercept_, model.intercept_]
        ) / 2
    return model.coef_, model.intercept_


def soup(
    members: Sequence[Predictor], score: Callable[[Any], float] | None = None
) -> tuple[Any, list[int]]:
    """One model with the members' weights averaged.

    Args:
        members: Models of one architecture, fine-tuned from the same encoder.
        score: Scores a model, higher for better. Members then join best first, and stay only if the
            average does not get worse (greedy soup). None averages all of them.

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


def save_ensemble(
    folder: Path,
    models: Sequence[str | Path],
    weights: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Copy the members into `folder` and write `ensemble.json`; all of it or nothing.

    Raises:
        RunError: If the folder is there already.
        ModelError: If a member is no local folder.
    """
    if folder.exists():
        raise RunError(f"{folder}: is there already; choose another folder.")
    for model in models:
        if not Path(model).is_dir():
            raise ModelError(f"{model}: is no local folder; download it first (`hf download`).")
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    names = []
    for number, model in enumerate(models, 1):
        names.append(f"member-{number}")
        shutil.copytree(model_folder(model), staged / names[-1])
    values: dict[str, Any] = {"format": 1, "members": names}
    if weights is not None:
        values["weights"] = {"matrix": weights[0].tolist(), "bias": weights[1].tolist()}
    (staged / ENSEMBLE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    staged.rename(folder)


def model_folder(model: str | Path) -> str | Path:
    """The model's own folder of a run; anything else as it is."""
    inner = Path(model) / "model"
    return inner if (inner / "config.json").is_file() else model


def is_ensemble(model: str | Path) -> bool:
    """Whether `model` is a folder that `save_ensemble` wrote."""
    return (Path(model) / ENSEMBLE).is_file()


def read_ensemble(
    folder: str | Path,
) -> tuple[list[Path], tuple[np.ndarray, np.ndarray] | None]:
    """The members' folders, and the weights that stack them if there are any.

    Raises:
        ModelError: If the folder is damaged.
    """
    file = Path(folder) / ENSEMBLE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        names = [str(name) for name in values["members"]]
        given = values.get("weights")
        weights = given and (np.array(given["matrix"]), np.array(given["bias"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: cannot be read ({error}).") from error
    if any(name in ("", "..") or Path(name).name != name for name in names):
        raise ModelError(f"{file}: members must be folders inside {folder}.")
    return [file.with_name(name) for name in names], weights


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Log-softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _side_by_side(every: np.ndarray) -> np.ndarray:
    """`[members, units, classes]` as `[units, members * classes]`."""
    return every.transpose(1, 0, 2).reshape(every.shape[1], -1)


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    averaged = {}
    for name, value in states[0].items():
        if value.is_floating_point():
            total = sum(state[name].double() for state in states)
            averaged[name] = (torch.as_tensor(total) / len(states)).to(value.dtype)
        else:
            averaged[name] = value
    return averaged
