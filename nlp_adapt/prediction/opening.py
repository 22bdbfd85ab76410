"""Opening a saved model for prediction: a folder, a run, adapters, an ensemble or a Hub id.

An ensemble is several models as one, whose probabilities are averaged or stacked: a folder with its
members and `ensemble.json`, which `nlp-adapt predict` and `teacher:` open like any model.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError, ModelError, RunError, first_line
from nlp_adapt.files import write_folder
from nlp_adapt.metrics import calibration
from nlp_adapt.modeling.backbone import fetch_adapters, loading, resolve_model
from nlp_adapt.modeling.cpu import choose_precision
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.modeling.suitability import fit_to_tokenizer, with_padding
from nlp_adapt.modeling.tokenizers import check_vocabulary, load_tokenizer, read_alike
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION, labels_of, order_by_name
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.tasks import TASKS, Task

ENSEMBLE = "ensemble.json"


def load_predictor(
    model: str | Path,
    *,
    precision: str = "fp32",
    batch_size: int = 64,
    device: str | None = None,
    max_length: int | None = None,
) -> Predictor:
    """Open a saved model, a run folder or a Hub id for prediction.

    Args:
        model: Model folder, adapter folder, ensemble, run folder or Hub id.
        device: Where it runs; default: a GPU if there is one.
        max_length: Longest row in tokens; default: that of the run, which its tokenizer states.

    Raises:
        ModelError: If it cannot be loaded or is not a classification model.
        ConfigError: If the model cannot read `max_length` tokens.
    """
    import transformers

    if (Path(model) / ENSEMBLE).is_file():
        members, weights = _read_ensemble(model)
        found = load_members(
            members,
            precision=precision,
            batch_size=batch_size,
            device=device,
            max_length=max_length,
        )
        return EnsemblePredictor(found, weights)
    name = str(_model_folder(model))
    with loading(str(model), "configuration"):
        path = fetch_adapters(resolve_model(name))
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
        architectures = " ".join(config.architectures or [])
        kind = TOKEN_CLASSIFICATION if "TokenClass" in architectures else SEQUENCE_CLASSIFICATION
        if "Classification" not in architectures:
            raise ModelError(f"{model}: is not a classification model; train one first.")
        label_names = labels_of(config, str(model))
    task = TASKS[kind](label_names)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = _moved(load_task_model(path, task.auto_class, label_names), device)
    tokenizer = load_tokenizer(name, words=task.units_are_words)
    check_vocabulary(tokenizer, loaded.config, name)
    tokenizer = with_padding(tokenizer, loaded.config)
    fit_to_tokenizer(loaded, tokenizer)
    if precision == "auto":
        precision = choose_precision("auto", torch.device(device))
    return Predictor(
        loaded, tokenizer, task, precision=precision, batch_size=batch_size, max_length=max_length
    )


def load_members(models: Sequence[str | Path], **options: Any) -> list[Predictor]:
    """Open several models or runs that can stand beside each other.

    Raises:
        ConfigError: If there are fewer than two.
        ModelError: If one cannot be opened, or its task, labels, vocabulary or pieces differ.
    """
    if len(models) < 2:
        raise ConfigError("an ensemble needs at least two models.")
    members = [load_predictor(model, **options) for model in models]
    first = members[0]
    for path, member in zip(models, members, strict=True):
        order = order_by_name(member.label_names, first.label_names)
        for what, fits in (
            ("task differs", member.task.name == first.task.name),
            ("labels differ", order is not None),
            ("vocabulary differs", member.tokenizer.get_vocab() == first.tokenizer.get_vocab()),
            ("way to split text differs", read_alike(member.tokenizer, first.tokenizer)),
        ):
            if not fits:
                raise ModelError(f"{path}: its {what} from that of {models[0]}.")
        if member.label_names != first.label_names:
            member.take_labels(first.task, order or [])
    return members


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

    def logits(self, rows: EncodedRows, told: Callable[[int], Any] | None = None) -> np.ndarray:
        """Log of the mean probabilities, or the stacked logits: `[units, classes]`."""
        every = log_probabilities(self.members, rows, told)
        if self.weights is None:
            return np.log(np.exp(every).mean(0).clip(1e-30)).astype(np.float32)
        matrix, bias = self.weights
        return (side_by_side(every) @ matrix.T + bias).astype(np.float32)

    def take_labels(self, task: Task, order: Sequence[int]) -> None:
        """Name the labels as `task` does, in its order, in every member."""
        for member in self.members:
            member.take_labels(task, order)
        if self.weights is not None:
            matrix, bias = self.weights
            columns = [
                number * len(order) + row for number in range(len(self.members)) for row in order
            ]
            self.weights = matrix[order][:, columns], bias[order]
        self.task = task

    def logits_and_features(self, rows: EncodedRows) -> tuple[np.ndarray, np.ndarray]:
        """Raise `ModelError`: each member has features of its own."""
        raise ModelError(
            "an ensemble has no features of its own, from which likeness could be told: give one "
            "of its members."
        )


def save_ensemble(
    folder: Path, models: Sequence[str | Path], weights: tuple[np.ndarray, np.ndarray] | None = None
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
    values: dict[str, Any] = {"format": 1}
    values["members"] = [f"member-{number}" for number in range(1, len(models) + 1)]
    if weights is not None:
        values["weights"] = {"matrix": weights[0].tolist(), "bias": weights[1].tolist()}

    def write(staged: Path) -> None:
        for name, model in zip(values["members"], models, strict=True):
            shutil.copytree(_model_folder(model), staged / name)
        (staged / ENSEMBLE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    write_folder(folder, write)


def log_probabilities(
    members: Sequence[Predictor], rows: EncodedRows, told: Callable[[int], Any] | None = None
) -> np.ndarray:
    """Each member's log-softmax of the logits, `[members, units, classes]` in float64."""
    logits = [member.logits(rows, told) for member in members]
    return calibration.log_probabilities(np.stack(logits))


def side_by_side(every: np.ndarray) -> np.ndarray:
    """`[members, units, classes]` as `[units, members * classes]`."""
    return every.transpose(1, 0, 2).reshape(every.shape[1], -1)


def _model_folder(model: str | Path) -> str | Path:
    """The model's own folder of a run; anything else as it is."""
    inner = Path(model) / "model"
    return inner if (inner / "config.json").is_file() else model


def _read_ensemble(folder: str | Path) -> tuple[list[Path], tuple[np.ndarray, np.ndarray] | None]:
    """The members' folders, and the weights that stack them if there are any."""
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


def _moved(model: Any, device: str) -> Any:
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device '{device}' cannot be used here ({first_line(error)})."
        ) from error
