"""Opening what an earlier run saved or pushed, so that training can continue from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nlp_adapt.errors import ModelError
from nlp_adapt.files import nested
from nlp_adapt.modeling.backbone import check_folder, loading, refuse_missing_folder
from nlp_adapt.names import describe_head, head_order
from nlp_adapt.objectives import Objective
from nlp_adapt.tasks import TASKS, Task
from nlp_adapt.training.saving.run_folder import OBJECTIVES

_NEEDED = ("*.json", "*.safetensors", "*.txt", "*.model", f"adaptation/{OBJECTIVES}")


@dataclass(frozen=True)
class SavedRun:
    """A trained model and the state of the objectives that it was trained with.

    Attributes:
        objectives: Tensors by objective and name; empty where none were saved.
    """

    name: str
    folder: Path
    objectives: Mapping[str, Mapping[str, Tensor]]

    def task(self, name: str, label_names: Sequence[str]) -> Task:
        """The task with the labels in the model's own order, whatever order the data has."""
        from transformers import AutoConfig

        with loading(self.name, "configuration"):
            config = AutoConfig.from_pretrained(self.folder, trust_remote_code=False)
        order = head_order(config, TASKS[name].auto_class, label_names)
        if order is None:
            raise ModelError(
                f"{self.name}: {describe_head(config, TASKS[name].auto_class)}, but the data has "
                f"{', '.join(label_names)}; rename them with label_map, or start from the encoder."
            )
        return TASKS[name]([label_names[order.index(row)] for row in range(len(order))])


def open_saved(model: str | Path, revision: str | None = None) -> SavedRun:
    """Open a run folder, a model folder or a Hub repository that a run was pushed to.

    Raises:
        ModelError: If there is no trained model.
    """
    path = Path(model).expanduser()
    if not path.is_dir():
        refuse_missing_folder(str(model))
        path = _download(str(model), revision)
    # The objectives' state is that of the adapted model, whichever model is exported.
    own = (path / "adapted" / "model", path / "model")
    folder = next((one for one in own if (one / "config.json").is_file()), path)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{model}: holds no trained model (a model folder has config.json).")
    check_folder(folder)
    return SavedRun(str(model), folder, _read_objectives(path / "adaptation" / OBJECTIVES))


def lasting_state(objective: Objective) -> dict[str, Tensor]:
    """What a later run can go on from: an objective's state without what each run makes anew."""
    return _without_made_anew(objective, objective.state_dict())


def continue_objective(objective: Objective, state: Mapping[str, Tensor] | None) -> bool:
    """Load a `lasting_state` into an objective of the same build; leave another one as it is.

    Returns:
        Whether it was loaded.
    """
    saved = _without_made_anew(objective, state or {})  # earlier versions saved that as well
    own = {name: value.shape for name, value in lasting_state(objective).items()}
    if not saved or own != {name: value.shape for name, value in saved.items()}:
        return False
    objective.load_state_dict(saved, strict=False)
    return True


def take_over(
    objective: Objective, earlier: Objective | None, saved: Mapping[str, Tensor] | None = None
) -> bool:
    """Load all that an objective of an earlier stage has learnt, where the build is the same.

    Without such a stage, load what an earlier run has `saved`, if anything.

    Returns:
        Whether it was loaded.
    """
    if earlier is None:
        return continue_objective(objective, saved)
    own = {name: value.shape for name, value in objective.state_dict().items()}
    state = earlier.state_dict()
    if own == {name: value.shape for name, value in state.items()}:
        objective.load_state_dict(state)
        return True
    return continue_objective(objective, state)


def _without_made_anew(objective: Objective, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = tuple(f"{name}." for name in objective.made_anew)
    return {name: value for name, value in state.items() if not name.startswith(parts)}


def _download(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(_NEEDED)))
    except HFValidationError:
        raise ModelError(f"{repo_id}: is neither a folder nor the name of a repository.") from None
    except HfHubHTTPError as error:
        raise ModelError(
            f"{repo_id}: is neither a folder here nor a repository that you may read; check the "
            "spelling, or log in with `hf auth login` if it is private."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{repo_id}: is not in the local cache and the Hub cannot be reached; check the "
            "network, or name a local folder."
        ) from error


def _read_objectives(path: Path) -> dict[str, dict[str, Tensor]]:
    if not path.is_file():
        return {}
    try:
        return nested(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); delete it to start anew.") from error
